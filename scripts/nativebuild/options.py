"""What can be built, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from nativebuild.report import BuildError

__all__ = ["BACKENDS", "SANITIZERS", "VARIANTS", "Backend", "BuildOptions", "backends_named"]

VARIANTS = ("native", "all")
SANITIZERS = ("address", "thread", "undefined")


@dataclass(frozen=True)
class Backend:
    """One backend's name and the CMake definitions it adds."""

    name: str
    definitions: dict[str, str] = field(default_factory=dict)


BACKENDS = {backend.name: backend for backend in (Backend("cpu"),)}


@dataclass(frozen=True)
class BuildOptions:
    """One way of building a backend."""

    variants: str = "native"
    debug: bool = False
    sanitize: str = ""
    jobs: int = 0

    @property
    def name(self) -> str:
        """A name for the build directory, one per combination."""
        kind = "debug" if self.debug else "release"
        return "-".join(part for part in (self.variants, kind, self.sanitize) if part)

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
        return definitions


def backends_named(name: str) -> list[Backend]:
    """The backends that a name on the command line means."""
    if name == "all":
        return list(BACKENDS.values())
    if name not in BACKENDS:
        raise BuildError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}, all")
    return [BACKENDS[name]]
