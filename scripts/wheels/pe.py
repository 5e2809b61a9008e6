"""Reads what a wheel has to know from a Windows library: what it imports and exports, and what was left in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["PeError", "PeLibrary", "is_pe", "read_pe"]

_MACHINES = {0x8664: "amd64", 0xAA64: "arm64", 0x14C: "win32"}
_OPTIONAL_64 = 0x20B
_EXPORTS, _IMPORTS, _DELAYED = 0, 1, 13


class PeError(ValueError):
    """The file is no 64-bit Windows library, or it is damaged."""


@dataclass(frozen=True)
class PeLibrary:
    """The facts of one library."""

    machine: str
    name: str
    needed: tuple[str, ...]
    exported: frozenset[str]
    has_debug: bool
    time: int


def is_pe(content: bytes) -> bool:
    return content[:2] == b"MZ"


def read_pe(content: bytes, name: str = "library") -> PeLibrary:
    """Parse a 64-bit PE library."""
    try:
        return _Reader(content).read()
    except (struct.error, IndexError, ValueError) as error:
        raise PeError(f"{name}: {error}" if isinstance(error, PeError) else f"{name} is damaged: {error}") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        if not is_pe(content):
            raise PeError("not a Windows library")
        start = self._unpack("<I", 0x3C)[0]
        if content[start : start + 4] != b"PE\0\0":
            raise PeError("not a Windows library")
        self._header = self._unpack("<HHIIIHH", start + 4)
        optional = start + 24
        if self._unpack("<H", optional)[0] != _OPTIONAL_64:
            raise PeError("not a 64-bit library")
        count = self._unpack("<I", optional + 108)[0]
        self._directories = [self._unpack("<II", optional + 112 + 8 * index) for index in range(count)]
        table = optional + self._header[5]
        self._sections = [self._unpack("<8sIIII", table + 40 * index) for index in range(self._header[1])]

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self._content, offset)

    def _offset(self, address: int) -> int:
        for _, size, start, raw_size, raw in self._sections:
            if start <= address < start + max(size, raw_size):
                return raw + address - start
        raise PeError(f"no section has the address {address:#x}")

    def _string(self, address: int) -> str:
        start = self._offset(address)
        return self._content[start : self._content.index(b"\0", start)].decode("ascii")

    def read(self) -> PeLibrary:
        own_name, exported = self._exports()
        sections = {bytes(section[0]).rstrip(b"\0") for section in self._sections}
        # A section's long name is "/" and an offset into the table of strings that only debug information needs.
        has_debug = bool(self._header[4]) or any(section.startswith((b"/", b".debug")) for section in sections)
        needed = [*self._imports(_IMPORTS, 20, 12), *self._imports(_DELAYED, 32, 4)]
        return PeLibrary(
            _MACHINES.get(self._header[0], f"machine-{self._header[0]:#x}"),
            own_name,
            tuple(needed),
            frozenset(exported),
            has_debug,
            self._header[2],
        )

    def _directory(self, index: int) -> tuple[int, ...]:
        return self._directories[index] if index < len(self._directories) else (0, 0)

    def _imports(self, index: int, entry_size: int, name_at: int) -> list[str]:
        address, _ = self._directory(index)
        found: list[str] = []
        offset = self._offset(address) if address else 0
        while address and (name := self._unpack("<I", offset + name_at)[0]):
            found.append(self._string(name))
            offset += entry_size
        return found

    def _exports(self) -> tuple[str, list[str]]:
        address, _ = self._directory(_EXPORTS)
        if not address:
            return "", []
        table = self._unpack("<IIHHIIIIIII", self._offset(address))
        names = self._offset(table[9]) if table[7] else 0
        return self._string(table[4]), [self._string(self._unpack("<I", names + 4 * i)[0]) for i in range(table[7])]
