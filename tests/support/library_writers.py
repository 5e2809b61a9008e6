"""Writes small Windows and macOS libraries, so that tests choose what a library needs and exports."""

from __future__ import annotations

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
) -> bytes:
    """A 64-bit library without code: the commands that describe it, and a table of symbols."""
    commands = [
        _named(0x0D, name, 16),
        *(_named(0x0C, library, 16) for library in needed),
        _named(0x8000001C, run_path, 4),
    ]
    version = minimum[0] << 16 | minimum[1] << 8
    commands.append(struct.pack("<IIIIII", 0x32, 24, 1, version, version, 0))
    size = sum(map(len, commands)) + 24
    strings, table = b"\0", b""
    for names, kind in ((exports, 0x0F), (hidden, 0x1F)):
        for symbol in names:
            table += struct.pack("<IBBHQ", len(strings), kind, 1, 0, 0)
            strings += b"_" + symbol.encode() + b"\0"
    at = 32 + size
    count = len(exports) + len(hidden)
    commands.append(struct.pack("<IIIIII", 0x02, 24, at, count, at + len(table), len(strings)))
    header = struct.pack("<8I", 0xFEEDFACF, machine, 0, 6, len(commands), size, 0, 0)
    return header + b"".join(commands) + table + strings


def _named(kind: int, text: str, between: int) -> bytes:
    # The text begins after what is fixed; the command's length is a multiple of eight.
    content = bytes(between - 4) + text.encode() + b"\0"
    length = 8 + 4 + len(content)
    padded = -(-length // 8) * 8
    return struct.pack("<III", kind, padded, 8 + between) + content.ljust(padded - 12, b"\0")
