"""Writes small ELF libraries, so that tests choose what a library needs and exports."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

X86_64, AARCH64 = 0x3E, 0xB7
_BINDINGS = {"global": 1, "weak": 2, "unique": 10}


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


def build_elf(
    *,
    machine: int = X86_64,
    soname: str = "",
    needed: Sequence[str] = (),
    run_path: str = "",
    versions: Mapping[str, Sequence[str]] | None = None,
    exports: Sequence[str] = (),
    unique: Sequence[str] = (),
    imports: Sequence[str] = (),
    executable_stack: bool = False,
) -> bytes:
    """A 64-bit little-endian library without code: headers and the tables that describe it."""
    strings = _Strings()
    dynamic = [(1, strings.add(name)) for name in needed]
    if soname:
        dynamic.append((14, strings.add(soname)))
    if run_path:
        dynamic.append((29, strings.add(run_path)))
    symbols = [struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)]
    for names, binding, section in ((exports, "global", 1), (unique, "unique", 1), (imports, "global", 0)):
        for name in names:
            symbols.append(struct.pack("<IBBHQQ", strings.add(name), _BINDINGS[binding] << 4, 0, section, 0, 0))
    needs = _version_needs(versions or {}, strings)
    contents = [
        (11, b"".join(symbols), 0, 24),
        (0x6FFFFFFE, needs, len(versions or {}), 0),
        (6, b"".join(struct.pack("<qQ", *entry) for entry in [*dynamic, (0, 0)]), 0, 16),
    ]
    return _assemble(machine, [(3, strings.data, 0, 0), *contents], executable_stack)


def _version_needs(versions: Mapping[str, Sequence[str]], strings: _Strings) -> bytes:
    table = b""
    for index, (library, names) in enumerate(versions.items()):
        last = index == len(versions) - 1
        following = 0 if last else 16 + 16 * len(names)
        table += struct.pack("<HHIII", 1, len(names), strings.add(library), 16, following)
        for position, name in enumerate(names):
            after = 0 if position == len(names) - 1 else 16
            table += struct.pack("<IHHII", 0, 0, 2 + position, strings.add(name), after)
    return table


def _assemble(machine: int, sections: list[tuple[int, bytes, int, int]], executable_stack: bool) -> bytes:
    body, headers = b"", [struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    start = 64 + 56
    for kind, content, info, entry_size in sections:
        offset = start + len(body)
        headers.append(struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, len(content), 1, info, 8, entry_size))
        body += content
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    table = start + len(body)
    header = struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, table, 0, 64, 56, 1, 64, len(headers), 0)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 7 if executable_stack else 6, 0, 0, 0, 0, 0, 16)
    return identity + header + stack + body + b"".join(headers)
