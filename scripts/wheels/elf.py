"""Reads what a wheel has to know from an ELF library: needs, names and symbols."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["ElfError", "ElfLibrary", "Symbol", "read_elf"]

_MAGIC = b"\x7fELF"
_MACHINES = {
    0x03: "i686",
    0x15: "ppc64le",
    0x16: "s390x",
    0x28: "armv7l",
    0x3E: "x86_64",
    0xB7: "aarch64",
    0xF3: "riscv64",
    0x102: "loongarch64",
}
_PT_GNU_STACK = 0x6474E551
_PF_X = 1
_SHT_SYMTAB, _SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERNEED = 2, 6, 11, 0x6FFFFFFE
_DT_NULL, _DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 14, 15, 29
_BINDINGS = {0: "local", 1: "global", 2: "weak", 10: "unique"}


class ElfError(ValueError):
    """The file is no 64-bit ELF library, or it is damaged."""


@dataclass(frozen=True)
class Symbol:
    """One entry of the dynamic symbol table."""

    name: str
    binding: str
    defined: bool


@dataclass(frozen=True)
class ElfLibrary:
    """The facts of one library."""

    machine: str
    soname: str
    needed: tuple[str, ...]
    run_paths: tuple[str, ...]
    version_needs: dict[str, tuple[str, ...]]  # library -> version names, such as GLIBC_2.34
    symbols: tuple[Symbol, ...]
    executable_stack: bool
    has_debug: bool  # symbols or lines that only a debugger reads

    @property
    def exported(self) -> set[str]:
        return {symbol.name for symbol in self.symbols if symbol.defined}

    @property
    def imported(self) -> set[str]:
        return {symbol.name for symbol in self.symbols if not symbol.defined}

    def glibc(self) -> tuple[int, int] | None:
        """The glibc that the library's symbols need at least; None where it uses another C library."""
        versions = [version for names in self.version_needs.values() for version in names]
        if any(version.startswith("GLIBC_ABI_DT_RELR") for version in versions):
            versions.append("GLIBC_2.36")  # the linker's mark for relocations that older loaders cannot read
        numbers = (version.removeprefix("GLIBC_").split(".") for version in versions if version.startswith("GLIBC_"))
        found = [(int(parts[0]), int(parts[1])) for parts in numbers if len(parts) > 1 and parts[0].isdigit()]
        return max(found, default=None)


@dataclass(frozen=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


def read_elf(content: bytes, name: str = "library") -> ElfLibrary:
    """Parse a 64-bit ELF library of either byte order."""
    try:
        return _Reader(content).read()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ElfError(f"{name} is damaged: {error}") from error
    except ElfError as error:
        raise ElfError(f"{name}: {error}") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        if content[:4] != _MAGIC:
            raise ElfError("not an ELF file")
        if content[4] != 2:
            raise ElfError("not a 64-bit ELF file")
        self._content = content
        self._order = ">" if content[5] == 2 else "<"
        header = self._unpack("HHIQQQIHHHHHH", 16)
        self._machine: int = header[1]
        self._program_headers = (header[4], header[8], header[9])
        self._sections = [self._section(header[5] + index * header[10]) for index in range(header[11])]

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + form, self._content, offset)

    def _section(self, offset: int) -> _Section:
        fields = self._unpack("IIQQQQIIQQ", offset)
        return _Section(fields[1], fields[4], fields[5], fields[6], fields[7], fields[9])

    def _string(self, table: _Section, offset: int) -> str:
        start = table.offset + offset
        return self._content[start : self._content.index(b"\0", start)].decode("utf-8")

    def _of_kind(self, kind: int) -> list[_Section]:
        return [section for section in self._sections if section.kind == kind]

    def read(self) -> ElfLibrary:
        dynamic: dict[int, list[str]] = {}
        for section in self._of_kind(_SHT_DYNAMIC):
            self._read_dynamic(section, dynamic)
        return ElfLibrary(
            machine=_MACHINES.get(self._machine, f"machine-{self._machine}"),
            soname=next(iter(dynamic.get(_DT_SONAME, [])), ""),
            needed=tuple(dynamic.get(_DT_NEEDED, [])),
            run_paths=tuple(dynamic.get(_DT_RPATH, []) + dynamic.get(_DT_RUNPATH, [])),
            version_needs=self._version_needs(),
            symbols=tuple(symbol for section in self._of_kind(_SHT_DYNSYM) for symbol in self._symbols(section)),
            executable_stack=self._executable_stack(),
            has_debug=bool(self._of_kind(_SHT_SYMTAB)) or b"\0.debug_info\0" in self._content,
        )

    def _read_dynamic(self, section: _Section, found: dict[int, list[str]]) -> None:
        strings = self._sections[section.link]
        for offset in range(section.offset, section.offset + section.size, 16):
            tag, value = self._unpack("qQ", offset)
            if tag == _DT_NULL:
                return
            if tag in (_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH):
                found.setdefault(tag, []).append(self._string(strings, value))

    def _version_needs(self) -> dict[str, tuple[str, ...]]:
        needs: dict[str, tuple[str, ...]] = {}
        for section in self._of_kind(_SHT_VERNEED):
            strings, offset = self._sections[section.link], section.offset
            for _ in range(section.info):
                _, count, file, first, following = self._unpack("HHIII", offset)
                names, entry = [], offset + first
                for _ in range(count):
                    _, _, _, name, after = self._unpack("IHHII", entry)
                    names.append(self._string(strings, name))
                    entry += after
                needs[self._string(strings, file)] = tuple(names)
                offset += following
        return needs

    def _symbols(self, section: _Section) -> list[Symbol]:
        strings, symbols = self._sections[section.link], []
        for offset in range(section.offset + 24, section.offset + section.size, 24):
            name, info, _, index = self._unpack("IBBH", offset)
            binding = _BINDINGS.get(info >> 4, f"binding-{info >> 4}")
            symbols.append(Symbol(self._string(strings, name), binding, index != 0))
        return symbols

    def _executable_stack(self) -> bool:
        offset, size, count = self._program_headers
        for index in range(count):
            kind, flags = self._unpack("II", offset + index * size)
            if kind == _PT_GNU_STACK:
                return bool(flags & _PF_X)
        return True  # without the header the loader assumes the worst
