"""Command line of ``scripts/dev abi``."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from abicheck.gates import compile_and_print_layout, export_problems, layout_problems, prototype_problems
from abicheck.header import HeaderError, parse_header

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "backends" / "include" / "gpt4all_backend.h"
TEST = ROOT / "backends" / "tests" / "test_abi.c"
LIBRARIES = ROOT / "gpt4all" / "_native" / "lib"

_DESCRIPTION = """\
Holds Python and the built libraries to backends/include/gpt4all_backend.h:
structs and constants of gpt4all/_native/abi.py as a C compiler lays them out,
functions and callbacks of gpt4all/_native/prototypes.py as the header declares
them, and exported symbols. Exit status 0 when all is equal, 1 when it is not."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    from gpt4all._native import abi
    from gpt4all._native.prototypes import PROTOTYPES

    try:
        header = parse_header(HEADER)
    except HeaderError as error:
        return _report("header", [str(error)], "")
    failures = _report(
        "prototypes", prototype_problems(header, PROTOTYPES, abi), f"{len(header.functions)} functions are equal"
    )
    compiler = _compiler(options.cc)
    if compiler is None:
        failures += _report("layout", ["no C compiler found; install one, or name it with --cc or CC"], "")
    else:
        try:
            rows = compile_and_print_layout(TEST, HEADER.parent, compiler)
            failures += _report("layout", layout_problems(header, rows, abi), f"{len(rows)} numbers are equal")
        except RuntimeError as error:
            failures += _report("layout", [str(error)], "")
    failures += _check_libraries(options.libraries)
    return int(failures > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/dev abi", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "libraries", nargs="*", type=Path, help="libraries, or directories of them (default: what is built here)"
    )
    parser.add_argument("--cc", help="the C compiler (default: $CC, cc, gcc, clang)")
    return parser


def _compiler(name: str | None) -> str | None:
    names = [name] if name else [os.environ.get("CC") or "cc", "gcc", "clang"]
    return next((found for found in map(shutil.which, names) if found), None)


def _check_libraries(paths: Sequence[Path]) -> int:
    header = parse_header(HEADER)
    libraries = [library for path in paths or [LIBRARIES] for library in _libraries_in(path)]
    if not libraries:
        # Nothing built is no mistake, but a path somebody names has to be one.
        missing = [f"no library in {path}" for path in paths]
        return _report("exports", missing, "no library is built, so none was checked")
    return sum(
        _report(f"exports of {library.name}", export_problems(header, library), "as they should be")
        for library in libraries
    )


def _libraries_in(path: Path) -> list[Path]:
    return sorted(path.rglob("*.so")) if path.is_dir() else [path]


def _report(gate: str, problems: Sequence[str], success: str) -> int:
    print(f"{gate}: {success if not problems else f'{len(problems)} problem(s)'}")
    for problem in problems:
        print(f"  {problem}")
    return int(bool(problems))
