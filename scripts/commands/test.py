"""Runs the tests, with everything they need made before."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from nativebuild.cache import cache_dir
from nativebuild.reference import build_reference
from nativebuild.report import BuildError
from nativebuild.venvs import cached_venv
from testmodels import MODELS, ModelError, ensure

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[2]
#: Other people's programs, some 500 MB each: what names the Python that has them, and the folder of their tests.
_PROGRAMS = {
    "GPT4ALL_CLIENTS_PYTHON": Path("server", "api", "clients"),
    "GPT4ALL_COMPATIBILITY_PYTHON": Path("compatibility"),
}


def programs(tests: Path) -> Path:
    """The Python that has what the requirements in a folder of tests name."""
    lines = (_ROOT / "tests" / tests / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return cached_venv(cache_dir(), tests.name, [line for line in lines if not line.startswith("#")])


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the models, build the programs that tests compare with, and become pytest."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        usage="%(prog)s [--all] [ARGUMENT FOR PYTEST ...]",
        description="Run the tests with real models: without --all or a -m of your own, all but those marked slow.",
        allow_abbrev=False,
    )
    parser.add_argument("--all", action="store_true", help="the slow ones too, as CI does")
    options, words = parser.parse_known_args(arguments)
    try:
        for name in MODELS:
            ensure(name)
        reference = build_reference()
    except ModelError as error:
        raise BuildError(str(error)) from error
    # Before the others: pytest takes the last -m.
    chosen = [] if options.all else ["-m", "not slow"]
    os.environ["GPT4ALL_REFERENCE_DIR"] = str(reference)
    if options.all:
        for variable, tests in _PROGRAMS.items():
            os.environ[variable] = str(programs(tests))
    # A shell's background jobs begin with it ignored, and so would all that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(_ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *chosen, *words])
