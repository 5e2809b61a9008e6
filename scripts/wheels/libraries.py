"""Looks into one library of a wheel, whatever platform it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from wheels.elf import ElfLibrary, read_elf
from wheels.macho import MachLibrary, is_macho, read_macho
from wheels.pe import PeLibrary, is_pe, read_pe

__all__ = ["Place", "check_library"]

# What every glibc or musl system has; the C++ runtime travels inside.
_LINUX = re.compile(r"(lib(c|m|dl|rt|pthread)\.so\.\d+|ld-linux[-\w]*\.so\.\d+|libc\.so|libc\.musl-\w+\.so\.1)")
# Windows 10 has these; the last are its C library.
_WINDOWS = re.compile(r"(kernel32|advapi32|ntdll|bcrypt\w*|user32|shell32|ole32|ucrtbase|api-ms-win-[-\w]+)\.dll")
_MACOS = re.compile(r"/usr/lib/lib(System\.B|c\+\+\.1|c\+\+abi|objc\.A)\.dylib|/System/Library/Frameworks/.+")
# What ggml's own libraries let out to one another: C functions, nothing of C++.
_ENGINE_SYMBOL = re.compile(r"(ggml|gguf|quantize|dequantize|iq2xs|iq3xs)_")
# On Windows and macOS, where a name is looked for in one library and not in all, also the few C++ functions of its
# headers.
_ENGINE_OF_ONE_LIBRARY = re.compile(rf"(_Z\d+)?{_ENGINE_SYMBOL.pattern}")
_BUILD_PATHS = re.compile(rb"/(?:home|root|tmp|build|work|Users)/[\w.@/+-]{3,80}")
# Not those of CUDA's templates, whose sources say "../".
_DETOURS = re.compile(rb"(?:[\w.-]{1,80}/){2,16}(?<!/template-instances/)\.\.?/[\w./-]{1,200}\.(?:cpp|cuh?|c|h)\b")


@dataclass(frozen=True)
class Place:
    """Where a library is: the names beside it, and what the header declares if it is the entry library."""

    beside: Set[str]
    declared: Set[str] | None = None


def check_library(name: str, content: bytes, place: Place) -> Iterator[str]:
    """What is wrong with the library, each in a sentence.

    Raises:
        ValueError: it cannot be read.
    """
    if leaked := _BUILD_PATHS.search(content):
        yield f"{name} tells where it was built: {leaked.group().decode()}"
    if detour := _DETOURS.search(content):
        yield f"{name} names {detour.group().decode()}, which is another name with ccache, so that two builds differ"
    if content.startswith(b"\x7fELF"):
        elf = read_elf(content, name)
        yield from _check_elf(name, elf, place)
        yield from _check_exports(name, elf.exported, place, _ENGINE_SYMBOL)
    elif is_pe(content):
        pe = read_pe(content, name)
        yield from _check_pe(name, pe, place)
        yield from _check_exports(name, pe.exported, place, _ENGINE_OF_ONE_LIBRARY)
    elif is_macho(content):
        mach = read_macho(content, name)
        yield from _check_macho(name, mach, place)
        yield from _check_exports(name, mach.exported, place, _ENGINE_OF_ONE_LIBRARY)
    else:
        yield f"{name} is no library of a platform that is known"


def _check_elf(name: str, library: ElfLibrary, place: Place) -> Iterator[str]:
    if library.soname and library.soname != name:
        yield f"{name} calls itself {library.soname}"
    for path in library.run_paths:
        if path != "$ORIGIN":
            yield f"{name} looks for libraries in {path!r}"
    for needed in library.needed:
        if needed not in place.beside and not _LINUX.fullmatch(needed):
            yield f"{name} needs {needed}, which is neither in the wheel nor on every system"
    if library.executable_stack:
        yield f"{name} asks for an executable stack"
    if library.has_debug:
        yield f"{name} is not stripped"
    for symbol in library.symbols:
        if symbol.binding == "unique" and symbol.defined:
            yield f"{name} defines the process-wide unique symbol {symbol.name}"


def _check_pe(name: str, library: PeLibrary, place: Place) -> Iterator[str]:
    if library.name and library.name != name:
        yield f"{name} calls itself {library.name}"
    for needed in library.needed:
        if needed not in place.beside and not _WINDOWS.fullmatch(needed.lower()):
            yield f"{name} needs {needed}, which is neither in the wheel nor on every system"
    if library.has_debug:
        yield f"{name} is not stripped"


def _check_macho(name: str, library: MachLibrary, place: Place) -> Iterator[str]:
    if library.name and library.name != f"@rpath/{name}":
        yield f"{name} calls itself {library.name}"
    for path in library.run_paths:
        if path != "@loader_path":
            yield f"{name} looks for libraries in {path!r}"
    for needed in library.needed:
        if needed.removeprefix("@rpath/") not in place.beside and not _MACOS.fullmatch(needed):
            yield f"{name} needs {needed}, which is neither in the wheel nor on every system"
    if library.signed is False or (library.signed is None and library.machine == "arm64"):
        yield f"{name} has no signature that fits, without which Apple's processors refuse it"
    if library.has_debug:
        yield f"{name} is not stripped"


def _check_exports(name: str, exported: Set[str], place: Place, engine: re.Pattern[str]) -> Iterator[str]:
    if place.declared is None:
        for symbol_name in sorted(exported):
            if not engine.match(symbol_name):
                yield f"{name} exports {symbol_name}"
        return
    for missing in sorted(place.declared - exported):
        yield f"{name} lacks {missing}, which the header declares"
    for extra in sorted(exported - place.declared):
        yield f"{name} exports {extra}, which the header does not declare"
