"""Streams a model's answer to one question; what ``scripts/demo`` ends with."""

from __future__ import annotations

import sys

from gpt4all import GPT4All

# The format this family of models was trained on.
_TURN = "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def main() -> int:
    """Take the model file and the question from the command line."""
    path, question = sys.argv[1:]
    print(f"\n> {question}\n", flush=True)
    with GPT4All(path) as model:
        for piece in model.generate(_TURN.format(question=question), max_tokens=300, temp=0, streaming=True):
            print(piece, end="", flush=True)
        outcome = model.last_generation
        if outcome is not None and outcome.completion_seconds > 0:
            speed = outcome.completion_tokens / outcome.completion_seconds
            print(f"\n\n({outcome.completion_tokens} tokens, {speed:.0f} a second)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
