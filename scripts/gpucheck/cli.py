"""Command line of ``scripts/check_cuda``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nativebuild.build import recorded_options
from nativebuild.options import BACKENDS
from nativebuild.reference import build_reference
from nativebuild.report import BuildError
from testmodels import ensure

from gpt4all import GPT4All
from gpt4all._native.backend import load_backend
from gpt4all.errors import GPT4AllError
from gpucheck.checks import CHECKS, Check, CheckFailedError, Subject
from gpucheck.speed import measure

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="check_cuda",
        description="Check the cuda backend on this machine's GPU: devices by index and by name, no, some and all "
        "layers, text and logits beside the CPU's, embeddings, too little memory, many load and close cycles, and "
        "speed beside llama-bench. Build the backend first: ./build_backends.sh cuda",
    )
    parser.add_argument("--backend", choices=("cuda", "kompute"), default="cuda")
    parser.add_argument("--model", type=Path, help="a GGUF file; SmolLM2-135M without it")
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
    except (CheckFailedError, GPT4AllError) as error:
        seen, holds = str(error), False
    text = seen.replace("\n", "\n     ")
    print(f"{'ok  ' if holds else 'FAIL'} {name} ({time.monotonic() - started:.1f} s)\n     {text}", flush=True)
    return holds


def _speed(rounds: int) -> Check:
    def speed(subject: Subject) -> str:
        """Beside llama-bench, built as the library was."""
        options = recorded_options(load_backend(subject.backend).path.parent)
        bench = build_reference(options, BACKENDS[subject.backend], ("llama-bench",)) / "llama-bench"
        return "\n".join(measure(subject, bench, rounds).lines())

    return speed


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status is 0 where every check holds."""
    options = _parser().parse_args(arguments)
    names = [name for name in GPT4All.list_gpus() if name.startswith(f"{options.backend}:")]
    model = options.model or ensure("smollm2")
    subject = Subject(options.backend, names[0] if names else options.backend, model, options.cycles)
    try:
        subject.load().close()
    except GPT4AllError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{subject.device}, {model.name}", flush=True)
    checks = [*CHECKS, *([_speed(options.rounds)] if options.rounds else [])]
    try:
        failed = [check for check in checks if not _run(check, subject)]
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return int(bool(failed))
