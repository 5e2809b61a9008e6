"""Writes small Windows and macOS libraries, so that tests choose what a library needs and exports."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

_SECTION, _RAW = 0x1000, 0x400


def build_pe(
    *,
    machine: int = 0x8664,
    name: str = "libgpt4all-cpu.dll",
    needed: Sequence[str] = ("KERNEL32.dll",),
    exports: Sequence[str] = (),
    symbols: int = 0,
) -> bytes:
    """A 64-bit library without code, all of whose tables lie in one section."""
    body = bytearray(40 + 20 * (len(needed) + 1) + 4 * len(exports))

    def text(value: str) -> int:
        address = _SECTION + len(body)
        body.extend(value.encode() + b"\0")
        return address

    struct.pack_into("<IIHHII", body, 0, 0, 0, 0, 0, text(name), 1)
    imports = 40
    for index, library in enumerate(needed):
        struct.pack_into("<I", body, imports + 20 * index + 12, text(library))
    names = imports + 20 * (len(needed) + 1)
    struct.pack_into("<IIIII", body, 20, len(exports), len(exports), 0, _SECTION + names, 0)
    for index, export in enumerate(exports):
        struct.pack_into("<I", body, names + 4 * index, text(export))
    directories = [(0, 0)] * 16
    directories[0] = (_SECTION, 40)
    directories[1] = (_SECTION + imports, 20)
    optional = struct.pack("<H106xI", 0x20B, 16) + b"".join(struct.pack("<II", *entry) for entry in directories)
    header = b"PE\0\0" + struct.pack("<HHIIIHH", machine, 1, 0, symbols, symbols and 1, len(optional), 0x2022)
    section = struct.pack("<8sIIII16x", b".rdata", len(body), _SECTION, len(body), _RAW)
    start = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return (start + header + optional + section).ljust(_RAW, b"\0") + bytes(body)


def build_macho(
    *,
    machine: int = 0x0100000C,
    name: str = "@rpath/libgpt4all-cpu.dylib",
    needed: Sequence[str] = ("/usr/lib/libSystem.B.dylib",),
    run_path: str = "@loader_path",
    minimum: tuple[int, int] = (11, 0),
    exports: Sequence[str] = (),
    hidden: Sequence[str] = (),
    signed: bool = True,
) -> bytes:
    """A 64-bit library without code: the commands that describe it, a table of symbols, and a signature."""
    commands = [
        _named(0x0D, name, 16),
        *(_named(0x0C, library, 16) for library in needed),
        _named(0x8000001C, run_path, 4),
    ]
    version = minimum[0] << 16 | minimum[1] << 8
    commands.append(struct.pack("<IIIIII", 0x32, 24, 1, version, version, 0))
    size = sum(map(len, commands)) + 24 + 16 * signed
    strings, table = b"\0", b""
    for names, kind in ((exports, 0x0F), (hidden, 0x1F)):
        for symbol in names:
            table += struct.pack("<IBBHQ", len(strings), kind, 1, 0, 0)
            strings += b"_" + symbol.encode() + b"\0"
    at = 32 + size
    count = len(exports) + len(hidden)
    commands.append(struct.pack("<IIIIII", 0x02, 24, at, count, at + len(table), len(strings)))
    if signed:
        commands.append(struct.pack("<4I", 0x1D, 16, at + len(table + strings), 0))
    header = struct.pack("<8I", 0xFEEDFACF, machine, 0, 6, len(commands), size, 0, 0)
    content = header + b"".join(commands) + table + strings
    return content + _signature(content) if signed else content


def _signature(content: bytes) -> bytes:
    """What a linker adds where nobody signs: the hashes of all pages."""
    pages = [hashlib.sha256(content[at : at + 4096]).digest() for at in range(0, len(content), 4096)]
    fields = (0xFADE0C02, 44 + 32 * len(pages), 0x20400, 0x20002, 44, 0, 0, len(pages), len(content))
    directory = struct.pack(">9I4BI", *fields, 32, 2, 0, 12, 0) + b"".join(pages)
    return struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory


def _named(kind: int, text: str, between: int) -> bytes:
    # The text begins after what is fixed; the command's length is a multiple of eight.
    content = bytes(between - 4) + text.encode() + b"\0"
    length = 8 + 4 + len(content)
    padded = -(-length // 8) * 8
    return struct.pack("<III", kind, padded, 8 + between) + content.ljust(padded - 12, b"\0")
