"""The platform tag that a wheel with these libraries deserves, read from the libraries themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nativebuild.report import BuildError

from wheels.elf import ElfError, ElfLibrary, read_elf
from wheels.macho import MachError, is_macho, read_macho
from wheels.pe import PeError, is_pe, read_pe

__all__ = ["library_tag", "platform_tag"]

# No pip that reads manylinux_x_y tags runs on anything older on the
# processors this package is built for, so a lower number helps nobody.
_OLDEST_GLIBC = (2, 17)
#: Older names of the same promise, for older pips.
_GLIBC_NAMES = {(2, 17): "manylinux2014"}
# The C library has the name that musl's own linker knows it by, and no versions of symbols.
_MUSL = "libc.so"
_MUSL_TAG = "musllinux_1_2"
#: What musl got after 1.2.0.
_NEWER_MUSL = {
    "__getsockopt64",
    "__ioctl_time64",
    "_Fork",
    "gettid",
    "preadv2",
    "pwritev2",
    "qsort_r",
    "reallocarray",
    "renameat2",
    "statx",
    "tcgetwinsize",
}


def platform_tag(paths: Iterable[Path]) -> str:
    """``manylinux_2_36_x86_64`` and the like, from what the libraries really need."""
    return library_tag({path.name: path.read_bytes() for path in paths})


def library_tag(files: Mapping[str, bytes]) -> str:
    """The same for libraries by their contents; what is no library is passed over.

    Raises:
        BuildError: there is no library, or they are for different platforms.
    """
    tags = {}
    elf: dict[str, ElfLibrary] = {}
    for name, content in files.items():
        try:
            if content.startswith(b"\x7fELF"):
                elf[name] = read_elf(content, name)
            elif is_pe(content):
                tags[name] = f"win_{read_pe(content, name).machine}".replace("win_win32", "win32")
            elif is_macho(content):
                library = read_macho(content, name)
                tags[name] = _macos_tag(library.minimum, library.machine)
        except (ElfError, PeError, MachError) as error:
            raise BuildError(f"cannot tell what {name} needs: {error}") from error
    if elf:
        tags[next(iter(elf))] = _linux_tag(elf)
    if not tags:
        raise BuildError("there is no native library to pack")
    if len(set(tags.values())) == 1:
        return next(iter(tags.values()))
    if (
        all(tag.startswith("macosx_") for tag in tags.values())
        and len({t.split("_", 3)[3] for t in tags.values()}) == 1
    ):
        return max(tags.values(), key=lambda tag: tuple(int(part) for part in tag.split("_")[1:3]))
    raise BuildError("the libraries are for different platforms: " + ", ".join(sorted(set(tags.values()))))


def _macos_tag(minimum: tuple[int, int], machine: str) -> str:
    # From 11 on, only the first number tells one system from the next.
    minor = 0 if minimum[0] >= 11 else minimum[1]
    return f"macosx_{minimum[0]}_{minor}_{machine}"


def _linux_tag(libraries: Mapping[str, ElfLibrary]) -> str:
    """The tag for the newest glibc symbol that any of the libraries uses."""
    machines = {library.machine for library in libraries.values()}
    if len(machines) != 1:
        raise BuildError("the libraries are for different processors: " + ", ".join(sorted(machines)))
    machine = machines.pop()
    glibc = max([_OLDEST_GLIBC, *(needed for library in libraries.values() if (needed := library.glibc()))])
    if not any(_uses_musl(library) for library in libraries.values()):
        tag = f"manylinux_{glibc[0]}_{glibc[1]}_{machine}"
        return f"{tag}.{_GLIBC_NAMES[glibc]}_{machine}" if glibc in _GLIBC_NAMES else tag
    if all(_MUSL in library.needed and not _NEWER_MUSL & library.imported for library in libraries.values()):
        return f"{_MUSL_TAG}_{machine}"
    # A tag that promises nothing is the honest one for what else there is.
    return f"linux_{machine}"


def _uses_musl(library: ElfLibrary) -> bool:
    return library.glibc() is None and any(name == _MUSL or "musl" in name for name in library.needed)
