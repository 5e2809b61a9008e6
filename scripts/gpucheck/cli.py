"""Command line of ``scripts/dev gpu``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nativebuild.build import recorded_options
from nativebuild.options import BACKENDS
from nativebuild.reference import build_reference
from testmodels import ModelError, ensure
from testmodels.large import SHAPES, write_random

from gpt4all import GPT4All
from gpt4all._native.backend import load_backend
from gpt4all.errors import GPT4AllError
from gpucheck.checks import CHECKS, Check, CheckFailedError, Subject
from gpucheck.speed import measure, measure_together

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/dev gpu",
        description="Check the cuda backend on this machine's GPU: devices by index and by name, no, some and all "
        "layers, text and logits beside the CPU's, several generations together, embeddings, too little memory, "
        "many load and close cycles, programs that end while it computes, and speed beside llama-bench and "
        "llama-batched-bench. Build the backend first: ./build_backends.sh cuda",
    )
    parser.add_argument("--backend", choices=("cuda", "kompute"), default="cuda")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, help="a GGUF file; SmolLM2-135M without it")
    model.add_argument("--random", choices=SHAPES, help="random weights of that size, for speed and memory")
    parser.add_argument(
        "--programs", type=Path, help="a folder with llama-bench and llama-batched-bench; built where it is not given"
    )
    parser.add_argument("--cycles", type=_at_least(1), default=50, help="load and close cycles (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=_at_least(0), default=5, help="of measuring speed, 0 for none (default: %(default)s)"
    )
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a number, {least} or more")
        return int(text)

    return number


def _run(check: Check, subject: Subject) -> bool:
    started = time.monotonic()
    name = check.__name__.replace("_", " ").strip()
    try:
        seen, holds = check(subject), True
    except (CheckFailedError, GPT4AllError, ModelError) as error:
        seen, holds = str(error), False
    text = seen.replace("\n", "\n     ")
    print(f"{'ok  ' if holds else 'FAIL'} {name} ({time.monotonic() - started:.1f} s)\n     {text}", flush=True)
    return holds


def _speeds(rounds: int, programs: Path | None) -> list[Check]:
    def speed(subject: Subject) -> str:
        """Beside llama-bench, built as the library was."""
        return "\n".join(measure(subject, (programs or _built(subject)) / "llama-bench", rounds).lines())

    def speed_together(subject: Subject) -> str:
        """Beside llama-batched-bench, built as the library was."""
        return "\n".join(measure_together(subject, (programs or _built(subject)) / "llama-batched-bench", rounds))

    return [speed, speed_together] if rounds else []


def _built(subject: Subject) -> Path:
    options = recorded_options(load_backend(subject.backend).path.parent)
    return build_reference(options, BACKENDS[subject.backend], ("llama-bench", "llama-batched-bench"))


@contextlib.contextmanager
def _model(options: argparse.Namespace) -> Iterator[Path]:
    if options.random is None:
        yield options.model or ensure("smollm2")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"random-{options.random}.Q4_0.gguf")
        write_random(path, SHAPES[options.random])
        yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status is 0 where every check holds."""
    options = _parser().parse_args(arguments)
    with _model(options) as model:
        return _check(options, model)


def _check(options: argparse.Namespace, model: Path) -> int:
    names = [name for name in GPT4All.list_gpus() if name.startswith(f"{options.backend}:")]
    subject = Subject(options.backend, names[0] if names else options.backend, model, options.cycles)
    try:
        subject.load().close()
    except GPT4AllError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{subject.device}, {model.name}", flush=True)
    checks = [*CHECKS, *_speeds(options.rounds, options.programs)]
    failed = [check for check in checks if not _run(check, subject)]
    return int(bool(failed))
