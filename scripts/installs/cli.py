"""Command line of ``scripts/dev installs``."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from nativebuild.report import BuildError, say

from installs.trial import NotHereError, Trial, TrialError
from installs.ways import WAYS

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries each way with each Python, and says what came of it."""
    ways = "\n".join(f"  {name:10} {(way.__doc__ or '').removesuffix('.')}" for name, way in WAYS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/dev installs",
        description="Install a finished wheel in the ways that people do; generate, chat and look around with each.",
        epilog=f"ways:\n{ways}\n\nWhat the package depends on comes from where pip takes packages from.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "wheel",
        type=Path,
        help="a gpt4all wheel, for another platform than this one with --way c; or a source distribution",
    )
    parser.add_argument("--python", action="append", metavar="PYTHON", help="one to install into; may be repeated")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this one; may be repeated")
    parser.add_argument("--model", type=Path, metavar="FILE", help="SmolLM2, instead of the tests' own copy")
    parser.add_argument("--embedder", type=Path, metavar="FILE", help="an embedding model, to be tried as well")
    parser.add_argument(
        "--emulator", type=shlex.split, default=[], metavar="COMMAND", help="for --way c: 'qemu-x86_64 -cpu Nehalem'"
    )
    options = parser.parse_args(arguments)
    if not options.wheel.is_file():
        raise BuildError(f"there is no file {options.wheel}")
    model = options.model or _smollm2()
    failed = False
    with tempfile.TemporaryDirectory(prefix="gpt4all-installs-") as folder:
        # Another user reads it too.
        Path(folder).chmod(0o755)
        files = [
            Path(shutil.copy(path, folder)) if path is not None else None
            for path in (options.wheel, model, options.embedder)
        ]
        for python in map(_program, options.python or [sys.executable]):
            for name in options.way or _suitable(options.wheel):
                work = Path(folder, f"{python.name} {name} {time.monotonic_ns()}")
                work.mkdir()
                trial = Trial(files[0], python, work, files[1], files[2], tuple(options.emulator))  # type: ignore[arg-type]
                failed |= not _try(name, trial)
                shutil.rmtree(work)
    return int(failed)


def _suitable(wheel: Path) -> list[str]:
    """The ways of a source distribution, or those of a wheel."""
    return [name for name in WAYS if (name == "sdist") == wheel.name.endswith(".tar.gz")]


def _smollm2() -> Path:
    from testmodels import ensure

    return ensure("smollm2")


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise BuildError(f"there is no program {name}")
    return Path(found)


def _try(name: str, trial: Trial) -> bool:
    try:
        WAYS[name](trial)
    except NotHereError as error:
        say(f"{trial.python} {name}: not tried, {error}")
    except TrialError as error:
        say(f"{trial.python} {name}: FAILED: {error}")
        return False
    else:
        say(f"{trial.python} {name}: works")
    return True
