"""The platform tag that a wheel with these libraries deserves."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from nativebuild.report import BuildError

from wheels.elf import ElfError, is_elf, read_elf

__all__ = ["linux_tag", "platform_tag"]

# No pip that reads manylinux_x_y tags runs on anything older on the
# processors this package is built for, so a lower number helps nobody.
_OLDEST_GLIBC = (2, 17)


def platform_tag(libraries: Iterable[Path]) -> str:
    """``manylinux_2_36_x86_64`` and the like, from what the libraries really need."""
    if sys.platform.startswith("linux"):
        return linux_tag(libraries)
    if sys.platform == "darwin":
        # The interpreter may be a universal one; what was compiled is for this processor alone.
        target = os.environ.get("MACOSX_DEPLOYMENT_TARGET") or platform.mac_ver()[0]
        parts = target.split(".")
        minor = "0" if int(parts[0]) >= 11 else [*parts, "0"][1]
        return f"macosx_{parts[0]}_{minor}_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def linux_tag(libraries: Iterable[Path]) -> str:
    """The manylinux tag for the newest glibc symbol that any of the libraries uses."""
    machines: set[str] = set()
    glibc = _OLDEST_GLIBC
    manylinux = True
    for path in libraries:
        if not is_elf(path):
            continue
        try:
            library = read_elf(path.read_bytes(), path.name)
        except ElfError as error:
            raise BuildError(f"cannot tell what {path} needs: {error}") from error
        machines.add(library.machine)
        needed = library.glibc()
        if needed is not None:
            glibc = max(glibc, needed)
        elif any("musl" in name for name in library.needed):
            manylinux = False
    if len(machines) != 1:
        raise BuildError(
            "the libraries are for different processors: " + ", ".join(sorted(machines))
            if machines
            else "there is no native library to pack"
        )
    machine = machines.pop()
    # A tag that promises nothing is the honest one for another C library.
    return f"manylinux_{glibc[0]}_{glibc[1]}_{machine}" if manylinux else f"linux_{machine}"
