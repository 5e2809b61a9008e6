"""Runs everything a contribution has to pass."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from abicheck import cli as abi
from nativebuild.build import build_backend
from nativebuild.c_warnings import check_warnings
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.report import BuildError

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
_FAST_TESTS = "not model and not slow and not gpu"

Step = Callable[[], bool]


def _run(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _module(name: str, *arguments: str) -> bool:
    return _run(sys.executable, "-m", name, *arguments)


def _clang_format(*arguments: str) -> bool:
    sources = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "backends").rglob("*")
        if path.suffix in {".c", ".h", ".cpp", ".hpp"}
    )
    # Not as a module: the wheel's program has another name than its package.
    return _run(str(Path(sys.executable).with_name("clang-format")), *arguments, *sources)


def _build() -> bool:
    build_backend(BACKENDS["cpu"], BuildOptions())
    return True


def _warnings() -> bool:
    problems = check_warnings()
    print("\n".join(problems), end="")
    return not problems


def _steps(fix: bool, tests: bool) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    if fix:
        steps["ruff fixes"] = lambda: _module("ruff", "check", "--fix", "--quiet", ".")
        steps["format Python"] = lambda: _module("ruff", "format", ".")
        steps["format C++"] = lambda: _clang_format("-i")
    else:
        steps["format Python"] = lambda: _module("ruff", "format", "--check", ".")
        steps["format C++"] = lambda: _clang_format("--dry-run", "-Werror")
    steps["lint"] = lambda: _module("ruff", "check", ".")
    steps["types"] = lambda: _module("mypy")
    steps["build"] = _build
    steps["C++ warnings"] = _warnings
    steps["ABI"] = lambda: abi.main([]) == 0
    if tests:
        steps["fast tests"] = lambda: _module("pytest", "-q", "-m", _FAST_TESTS)
    return steps


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps one after the other, all of them even where one fails, and sum up."""
    parser = argparse.ArgumentParser(
        prog="scripts/check", description="Format, lint, types, C++ warnings, ABI and fast tests."
    )
    parser.add_argument("--fix", action="store_true", help="put right what can be put right by a program")
    parser.add_argument("--static", action="store_true", help="leave the tests out")
    options = parser.parse_args(arguments)
    failed = []
    for name, step in _steps(options.fix, not options.static).items():
        start = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            passed = step()
        except BuildError as error:
            print(f"error: {error}", file=sys.stderr)
            passed = False
        print(f"   {'ok' if passed else 'FAILED'} ({time.monotonic() - start:.1f} s)", flush=True)
        if not passed:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return int(bool(failed))
