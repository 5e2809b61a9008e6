"""Streams a model's answer to one question; what ``scripts/demo`` ends with."""

from __future__ import annotations

import sys

from gpt4all import GPT4All


def main() -> int:
    """Take the model file and the question from the command line."""
    path, question = sys.argv[1:]
    try:
        _ask(path, question)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return 0


def _ask(path: str, question: str) -> None:
    with GPT4All(path) as model, model.chat_session():
        print(f"\n> {question}\n", flush=True)
        for piece in model.generate(question, max_tokens=300, temp=0, streaming=True):
            print(piece, end="", flush=True)
        outcome = model.last_generation
        if outcome is not None and outcome.completion_seconds > 0:
            speed = outcome.completion_tokens / outcome.completion_seconds
            print(f"\n\n({outcome.completion_tokens} tokens, {speed:.0f} a second)")


if __name__ == "__main__":
    sys.exit(main())
