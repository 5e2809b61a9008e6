"""Compiles our own C and C++ with warnings as errors, with the build's own flags and nothing written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nativebuild.area import BACKENDS_DIR, BuildArea
from nativebuild.build import Build, configure
from nativebuild.cache import lock
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.report import BuildError, run_quietly
from nativebuild.tools import Compilers, find_build_tools

__all__ = ["check_warnings"]

_STRICT = ("-Wall", "-Wextra", "-Werror", "-fsyntax-only")


def check_warnings() -> list[str]:
    """Return what the compiler says about each file it is not content with."""
    build = Build.of(BACKENDS["cpu"], BuildOptions())
    # To the end: another clone's build would put its own sources into the area.
    with lock(build.area.root.name):
        configure(build, find_build_tools())
        commands = [*_shim_commands(build.area), *_plain_c_commands(build.compilers)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            results = list(pool.map(lambda command: run_quietly(command[1], cwd=command[0]), commands))
    return [result.stdout for result in results if result.returncode != 0]


def _shim_commands(area: BuildArea) -> Iterator[tuple[Path, list[str]]]:
    database = area.build / "compile_commands.json"
    own = [
        entry
        for entry in json.loads(database.read_text(encoding="utf-8"))
        if Path(entry["file"]).is_relative_to(area.source)
    ]
    if not own:
        raise BuildError(f"{database} names none of our own sources, so nothing would be checked")
    for entry in own:
        yield Path(entry["directory"]), [*shlex.split(entry["command"]), *_STRICT]


def _plain_c_commands(compilers: Compilers) -> Iterator[tuple[Path, list[str]]]:
    """The header alone, as C and as C++, and what tests compile by themselves."""
    include = f"-I{BACKENDS_DIR / 'include'}"
    header = str(BACKENDS_DIR / "include" / "gpt4all_backend.h")
    yield BACKENDS_DIR, [str(compilers.cc), "-x", "c", "-std=c11", "-pedantic", *_STRICT, header]
    yield BACKENDS_DIR, [str(compilers.cxx), "-x", "c++", "-std=c++17", "-pedantic", *_STRICT, header]
    for source in [*BACKENDS_DIR.glob("tests/*.c"), *BACKENDS_DIR.glob("fake/**/*.c")]:
        yield BACKENDS_DIR, [str(compilers.cc), "-std=c11", "-D_GNU_SOURCE", include, *_STRICT, str(source)]
