"""Finds the compiler, CMake and Ninja, and says what to install when there is none."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nativebuild.cache import lock
from nativebuild.report import BuildError, run_quietly
from nativebuild.venvs import pip_install, tools_venv, venv_program

__all__ = [
    "BuildTools",
    "Compilers",
    "check_compilers",
    "describe_compilers",
    "find_build_tools",
    "find_compilers",
    "processor_features",
]

_MINIMUM_CMAKE = (3, 21)
_COMPILER_ADVICE = "On Debian or Ubuntu: sudo apt-get install g++ (set CC and CXX to choose another compiler)"

# Fails where the compiler is too old for the standard library that llama.cpp
# uses, and where the static C++ runtime that the libraries carry is missing.
_PROBE = """
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 9
#error "GCC 9 or newer is needed"
#endif
#if defined(__clang__) && __clang_major__ < 10
#error "clang 10 or newer is needed"
#endif
#include <filesystem>
#include <string>
#include <thread>
int main(int argc, char **argv) {
    std::string text(argv[argc - 1]);
    std::thread worker([&] { text += std::filesystem::path(text).string(); });
    worker.join();
    return text.empty();
}
"""


@dataclass(frozen=True)
class Compilers:
    """The C and C++ compiler, with what tells one version from another."""

    cc: Path
    cxx: Path
    description: str

    @property
    def is_clang(self) -> bool:
        return "clang" in self.description


@dataclass(frozen=True)
class BuildTools:
    """CMake and Ninja, the system's or those of the cache's private environment."""

    cmake: Path
    ninja: Path
    ccache: Path | None


def _first_program(variable: str, names: Sequence[str]) -> Path | None:
    override = os.environ.get(variable)
    if override:
        found = shutil.which(override)
        if found is None:
            raise BuildError(f"{variable}={override} names no program", advice=_COMPILER_ADVICE)
        return Path(found)
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def find_compilers() -> Compilers:
    """Pick ``$CC`` and ``$CXX``, else the system's own; their existence is all that is checked here."""
    cc = _first_program("CC", ("cc", "gcc", "clang"))
    cxx = _first_program("CXX", ("c++", "g++", "clang++"))
    if cc is None or cxx is None:
        missing = "C++" if cxx is None else "C"
        raise BuildError(f"no {missing} compiler found", advice=_COMPILER_ADVICE)
    return describe_compilers(cc, cxx)


def describe_compilers(cc: Path, cxx: Path) -> Compilers:
    """These two, asked for their versions."""
    versions = {_first_line(run_quietly([path, "--version"]).stdout) for path in (cc, cxx)}
    return Compilers(cc, cxx, "; ".join(sorted(versions)))


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "").strip()


def check_compilers(compilers: Compilers) -> None:
    """Compile and link a small program, so that a half-installed compiler is named before the long build."""
    static_runtime = ["-static-libstdc++", "-static-libgcc"] if sys.platform.startswith("linux") else []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text(_PROBE, encoding="ascii")
        result = run_quietly(
            [compilers.cxx, "-std=c++17", source, "-o", Path(folder) / "probe", "-pthread", *static_runtime]
        )
    if result.returncode != 0:
        raise BuildError(
            f"{compilers.cxx} ({compilers.description}) cannot build a small C++17 program",
            advice=_COMPILER_ADVICE,
            details=result.stdout,
        )


def processor_features(compilers: Compilers) -> str:
    """A hash of what ``-march=native`` means on this machine.

    It keys builds for the machine's own processor, so that a cache that
    moves to another machine is not taken for a build for that one.
    """
    for flag in ("-march=native", "-mcpu=native"):
        result = subprocess.run(
            [compilers.cc, flag, "-dM", "-E", "-"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if result.returncode == 0:
            return hashlib.sha256(b"\n".join(sorted(result.stdout.splitlines()))).hexdigest()[:16]
    return hashlib.sha256(platform.processor().encode()).hexdigest()[:16]


def _cmake_version(cmake: Path) -> tuple[int, ...]:
    match = re.search(r"version (\d+)\.(\d+)", run_quietly([cmake, "--version"]).stdout)
    return tuple(int(part) for part in match.groups()) if match else (0,)


def find_build_tools() -> BuildTools:
    """The system's CMake and Ninja where they will do; else both through pip, into the build cache."""
    cmake = Path(found) if (found := shutil.which("cmake")) else None
    ninja = Path(found) if (found := shutil.which("ninja") or shutil.which("ninja-build")) else None
    wanted: list[str] = []
    too_old = ""
    if cmake is not None and _cmake_version(cmake) < _MINIMUM_CMAKE:
        too_old = f" ({cmake} is version {'.'.join(map(str, _cmake_version(cmake)))})"
        cmake = None
    if cmake is None:
        wanted.append(f"cmake>={_MINIMUM_CMAKE[0]}.{_MINIMUM_CMAKE[1]}")
    if ninja is None:
        wanted.append("ninja")
    private = _private_tools(wanted, too_old) if wanted else Path()
    ccache = shutil.which("ccache")
    return BuildTools(
        cmake or venv_program(private, "cmake"),
        ninja or venv_program(private, "ninja"),
        Path(ccache) if ccache else None,
    )


def _private_tools(wanted: Sequence[str], too_old: str) -> Path:
    """The environment that has the wanted programs."""
    names = [re.split(r"[<>=]", requirement)[0] for requirement in wanted]
    venv = tools_venv()
    with lock("tools"):
        if not all(venv_program(venv, name).exists() for name in names):
            try:
                pip_install(
                    venv_program(venv, "python"),
                    wanted,
                    doing=f"installing {' and '.join(names)} into the build cache, as the system has none that fits",
                )
            except BuildError as error:
                minimum = ".".join(map(str, _MINIMUM_CMAKE))
                raise BuildError(
                    f"building needs CMake {minimum} or newer and Ninja; missing: {' and '.join(names)}{too_old}",
                    advice="On Debian or Ubuntu: sudo apt-get install cmake ninja-build",
                    details=str(error),
                ) from error
    return venv
