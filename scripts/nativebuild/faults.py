"""The library in which tests make calls of the engine fail: built in the cache, never installed into the package."""

from __future__ import annotations

from pathlib import Path

from nativebuild.build import Build, compile_targets, configure
from nativebuild.cache import lock
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.tools import Compilers, find_build_tools

__all__ = ["build_faults"]


def build_faults(options: BuildOptions | None = None, compilers: Compilers | None = None) -> Path:
    """Build what is missing or stale of it; return what ``GPT4ALL_BACKEND_PATH`` takes."""
    build = Build.of(BACKENDS["cpu"], options or BuildOptions(), compilers)
    with lock(build.area.root.name):
        tools = find_build_tools()
        configure(build, tools)
        compile_targets(build, tools, ("gpt4all-faults",), what="the library with faults")
    return build.area.build / "faults"
