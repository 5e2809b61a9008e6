"""Streams the default model's answer to a question."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nativebuild.report import BuildError
from testmodels import ModelError, ensure

__all__ = ["main"]

_QUESTION = "What is the capital of France, and what is it known for?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch SmolLM2 where it is not yet, and ask it."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Set everything up and stream the answer to a question. Needs Python 3.10 or newer and a C++ "
        "compiler. Builds the engine, fetches SmolLM2 (98 MB), and keeps both for the next time.",
    )
    parser.add_argument("question", nargs="*", help=f"default: {_QUESTION}")
    question = " ".join(parser.parse_args(arguments).question) or _QUESTION
    try:
        _ask(ensure("smollm2"), question)
    except ModelError as error:
        raise BuildError(str(error)) from error
    return 0


def _ask(path: Path, question: str) -> None:
    from gpt4all import GPT4All

    with GPT4All(path) as model, model.chat_session():
        print(f"\n> {question}\n", flush=True)
        for piece in model.generate(question, max_tokens=300, temp=0, streaming=True):
            print(piece, end="", flush=True)
        outcome = model.last_generation
        if outcome is not None and outcome.completion_seconds > 0:
            speed = outcome.completion_tokens / outcome.completion_seconds
            print(f"\n\n({outcome.completion_tokens} tokens, {speed:.0f} a second)")
