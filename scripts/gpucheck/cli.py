"""Command line of ``scripts/check_cuda``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.reference import build_reference
from nativebuild.report import BuildError
from testmodels import ensure

from gpt4all import GPT4All
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
    parser.add_argument("--cycles", type=int, default=50, help="load and close cycles (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the speed measurement; 0 leaves it out")
    parser.add_argument("--cuda-architectures", default="", help="as given to build_backends.sh, for llama-bench")
    return parser


def _run(check: Check, subject: Subject) -> bool:
    started = time.monotonic()
    name = check.__name__.replace("_", " ")
    try:
        seen, holds = check(subject), True
    except (CheckFailedError, GPT4AllError) as error:
        seen, holds = str(error), False
    print(f"{'ok  ' if holds else 'FAIL'} {name} ({time.monotonic() - started:.1f} s)\n     {seen}", flush=True)
    return holds


def _speed(subject: Subject, options: argparse.Namespace) -> None:
    how = BuildOptions(cuda_architectures=options.cuda_architectures)
    bench = build_reference(how, BACKENDS[subject.backend]) / "llama-bench"
    for line in measure(subject, bench, options.rounds).lines():
        print(f"     {line}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status is 0 where every check holds."""
    options = _parser().parse_args(arguments)
    names = [name for name in GPT4All.list_gpus() if name.startswith(f"{options.backend}:")]
    model = options.model or ensure("smollm2")
    subject = Subject(options.backend, names[0] if names else options.backend, model, options.cycles)
    print(f"{subject.device}, {model.name}", flush=True)
    failed = [check for check in CHECKS if not _run(check, subject)]
    if options.rounds and not failed:
        try:
            _speed(subject, options)
        except BuildError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return int(bool(failed))
