"""What can be built, and how."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from nativebuild.report import BuildError
from nativebuild.targets import target_named

__all__ = ["BACKENDS", "SANITIZERS", "VARIANTS", "Backend", "BuildOptions", "backends_named"]

VARIANTS = ("native", "all")
_PLATFORM_NAMES = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}
SANITIZERS = ("address", "thread", "undefined")


@dataclass(frozen=True)
class Backend:
    """One backend's name, and where it can be built.

    ``platforms`` are as ``sys.platform`` has them, ``machines`` as ``platform.machine()``; empty for everywhere.
    """

    name: str
    platforms: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("cpu"),
        Backend("kompute", ("linux", "win32")),
        Backend("cuda", ("linux", "win32")),
        Backend("metal", ("darwin",), ("arm64",)),
    )
}
#: What ``all`` means: what a wheel of the package carries. CUDA is a distribution of its own.
_IN_WHEEL = ("cpu", "kompute", "metal")


@dataclass(frozen=True)
class BuildOptions:
    """One way of building a backend."""

    variants: str = "native"
    debug: bool = False
    sanitize: str = ""
    jobs: int = 0
    #: For the cuda backend, as CMake has them; empty for the release's set.
    cuda_architectures: str = ""
    #: Further CMake definitions, for development.
    extra: tuple[tuple[str, str], ...] = ()
    #: Another platform to compile for, as ``nativebuild.targets`` names it; empty for this machine.
    target: str = ""

    @property
    def name(self) -> str:
        """A name for the build directory, one per combination."""
        kind = "debug" if self.debug else "release"
        return "-".join(part for part in (self.target or self.variants, kind, self.sanitize) if part)

    @property
    def platform(self) -> str:
        """What is built for, as ``sys.platform`` has it."""
        return target_named(self.target).platform if self.target else sys.platform

    @property
    def build_type(self) -> str:
        if self.debug:
            return "Debug"
        # Frames and line numbers are what a sanitizer's report is read for.
        return "RelWithDebInfo" if self.sanitize else "Release"

    def definitions(self) -> dict[str, str]:
        """The CMake definitions that this combination stands for."""
        definitions = {
            "CMAKE_BUILD_TYPE": self.build_type,
            "GPT4ALL_ALL_CPU_VARIANTS": "ON" if self.variants == "all" else "OFF",
            "GPT4ALL_SANITIZE": self.sanitize,
        }
        if self.sanitize:
            # Tiny models need no more speed, and whole llama.cpp compiles in half the time.
            definitions["CMAKE_C_FLAGS_RELWITHDEBINFO"] = "-O1 -g1 -DNDEBUG"
            definitions["CMAKE_CXX_FLAGS_RELWITHDEBINFO"] = "-O1 -g1 -DNDEBUG"
        if self.debug:
            # A model at -O0 generates too slowly to debug anything with it.
            definitions["CMAKE_C_FLAGS_DEBUG"] = definitions["CMAKE_CXX_FLAGS_DEBUG"] = "-Og -g"
        return definitions | dict(self.extra)


def backends_named(name: str, system: str = sys.platform, machine: str = platform.machine()) -> list[Backend]:
    """The backends that a name on the command line means on this machine."""
    if name == "all":
        return [BACKENDS[known] for known in _IN_WHEEL if _problem(BACKENDS[known], system, machine) is None]
    if name not in BACKENDS:
        raise BuildError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}, all")
    if problem := _problem(BACKENDS[name], system, machine):
        raise BuildError(problem)
    return [BACKENDS[name]]


def _problem(backend: Backend, system: str, machine: str) -> str | None:
    """Why the backend cannot be built there."""
    if backend.platforms and system not in backend.platforms:
        places = " and ".join(_PLATFORM_NAMES[place] for place in backend.platforms)
        here = _PLATFORM_NAMES.get(system, system)
        return f"the {backend.name} backend is built on {places} only, and this is {here}"
    if backend.machines and machine not in backend.machines:
        return f"the {backend.name} backend is for {' or '.join(backend.machines)}, and this is {machine}"
    return None
