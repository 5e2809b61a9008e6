"""Reads what a wheel has to know from a macOS library: needs, exports, and the oldest system it runs on."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MachError", "MachLibrary", "is_macho", "read_macho"]

_MAGIC = 0xFEEDFACF
_MACHINES = {0x01000007: "x86_64", 0x0100000C: "arm64"}
_SYMTAB, _LOAD, _WEAK, _REEXPORT = 0x02, 0x0C, 0x80000018, 0x8000001F
_ID, _RPATH, _SEGMENT, _VERSION_MIN, _BUILD_VERSION = 0x0D, 0x8000001C, 0x19, 0x24, 0x32
_SIGNATURE, _SIGNATURES, _CODE_DIRECTORY, _SHA256 = 0x1D, 0xFADE0CC0, 0xFADE0C02, 2
#: Marks that the linker itself sets in every library.
_LINKERS_OWN = {"__dso_handle", "_mh_dylib_header", "_mh_bundle_header"}
_N_STAB, _N_PEXT, _N_TYPE, _N_EXT = 0xE0, 0x10, 0x0E, 0x01


class MachError(ValueError):
    """The file is no 64-bit macOS library, or it is damaged."""


@dataclass(frozen=True)
class MachLibrary:
    """The facts of one library.

    ``minimum`` is the oldest macOS it says it runs on, ``signed`` whether a signature fits its bytes; None where there
    is no signature.
    """

    machine: str
    name: str
    needed: tuple[str, ...]
    run_paths: tuple[str, ...]
    minimum: tuple[int, int]
    exported: frozenset[str]
    has_debug: bool
    signed: bool | None


def is_macho(content: bytes) -> bool:
    return len(content) > 4 and struct.unpack_from("<I", content)[0] == _MAGIC


def read_macho(content: bytes, name: str = "library") -> MachLibrary:
    """Parse a 64-bit Mach-O library for one processor."""
    try:
        return _read(content)
    except (struct.error, ValueError) as error:
        raise MachError(
            f"{name}: {error}" if isinstance(error, MachError) else f"{name} is damaged: {error}"
        ) from error


def _read(content: bytes) -> MachLibrary:
    if not is_macho(content):
        raise MachError("not a 64-bit macOS library")
    _, machine, _, _, n_commands, _, _, _ = struct.unpack_from("<8I", content)
    needed, run_paths, own_name, minimum = list[str](), list[str](), "", (0, 0)
    exported, has_debug, signed = set[str](), False, None
    offset = 32
    for _ in range(n_commands):
        kind, size = struct.unpack_from("<II", content, offset)
        if kind in (_LOAD, _WEAK, _REEXPORT):
            needed.append(_text(content, offset, size))
        elif kind == _RPATH:
            run_paths.append(_text(content, offset, size))
        elif kind == _ID:
            own_name = _text(content, offset, size)
        elif kind in (_BUILD_VERSION, _VERSION_MIN):
            version = struct.unpack_from("<I", content, offset + (12 if kind == _BUILD_VERSION else 8))[0]
            minimum = (version >> 16, version >> 8 & 0xFF)
        elif kind == _SEGMENT:
            has_debug |= content[offset + 8 : offset + 24].rstrip(b"\0") == b"__DWARF"
        elif kind == _SYMTAB:
            symbols, stabs = _symbols(content, *struct.unpack_from("<4I", content, offset + 8))
            exported |= symbols
            has_debug |= stabs
        elif kind == _SIGNATURE:
            signed = _is_signed(content, struct.unpack_from("<I", content, offset + 8)[0])
        offset += size
    return MachLibrary(
        _MACHINES.get(machine, f"machine-{machine:#x}"),
        own_name,
        tuple(needed),
        tuple(run_paths),
        minimum,
        frozenset(exported),
        has_debug,
        signed,
    )


def _is_signed(content: bytes, at: int) -> bool:
    """Whether there are hashes of all pages before the signature at ``at``, and the right ones; nobody has to sign."""
    magic, _, count = struct.unpack_from(">3I", content, at)
    places = [struct.unpack_from(">2I", content, at + 12 + 8 * index)[1] for index in range(count)]
    if magic != _SIGNATURES:
        return False
    directories = [
        at + place for place in places if struct.unpack_from(">I", content, at + place)[0] == _CODE_DIRECTORY
    ]
    return bool(directories) and all(_fits(content, directory, at) for directory in directories)


def _fits(content: bytes, directory: int, end: int) -> bool:
    hashes, _, _, count, limit = struct.unpack_from(">5I", content, directory + 16)
    size, kind, _, page = struct.unpack_from(">4B", content, directory + 36)
    first = directory + hashes
    told = [content[first + size * index : first + size * (index + 1)] for index in range(count)]
    return (limit, kind) == (end, _SHA256) and told == list(_page_hashes(content[:end], 1 << page))


def _page_hashes(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield hashlib.sha256(content[start : start + size]).digest()


def _text(content: bytes, offset: int, size: int) -> str:
    start = offset + struct.unpack_from("<I", content, offset + 8)[0]
    return content[start : offset + size].split(b"\0")[0].decode("utf-8")


def _symbols(content: bytes, at: int, count: int, strings: int, _size: int) -> tuple[set[str], bool]:
    exported: set[str] = set()
    stabs = False
    for index in range(count):
        name, kind, section, _ = struct.unpack_from("<IBBH", content, at + 16 * index)
        stabs |= bool(kind & _N_STAB)
        if kind & _N_STAB or not kind & _N_EXT or kind & _N_PEXT or not kind & _N_TYPE or not section:
            continue
        start = strings + name
        exported.add(content[start : content.index(b"\0", start)].decode("utf-8").removeprefix("_"))
    return exported - _LINKERS_OWN, stabs
