"""llama.cpp's own programs, built from the same source and with the same flags, for tests to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nativebuild.build import Build, compile_targets, configure
from nativebuild.cache import lock
from nativebuild.options import BACKENDS, Backend, BuildOptions
from nativebuild.tools import find_build_tools

__all__ = ["PROGRAMS", "build_reference", "reference_directory"]

PROGRAMS = ("llama-completion", "llama-bench")
_CPU = BACKENDS["cpu"]
_NATIVE = BuildOptions()


def _native_build(options: BuildOptions, backend: Backend) -> Build:
    """Comparing with the build of our own library compares our code, not compiler flags."""
    return Build.of(backend, options)


def reference_directory() -> Path:
    """Where the programs are, or would be once built."""
    return _native_build(_NATIVE, _CPU).area.build / "bin"


def build_reference(
    options: BuildOptions = _NATIVE, backend: Backend = _CPU, programs: Sequence[str] = PROGRAMS
) -> Path:
    """Build the programs that are missing or stale; return their directory."""
    build = _native_build(options, backend)
    with lock(build.area.root.name):
        tools = find_build_tools()
        configure(build, tools)
        compile_targets(build, tools, programs, what=f"llama.cpp's own {' and '.join(programs)}, to compare with")
    return build.area.build / "bin"
