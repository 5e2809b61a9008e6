"""What an installed package has to do: run by each install's own Python, with this file's text as its program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["NotHereError", "Trial", "TrialError", "clean_environment", "run"]

_PROGRAM = """
import json
import sys

import gpt4all

with gpt4all.GPT4All(sys.argv[1], n_ctx=256) as model:
    text = model.generate("The capital of France is", max_tokens=4, temp=0)
    with model.chat_session():
        reply = "".join(model.generate("Say hello.", max_tokens=4, temp=0, streaming=True))
vector = []
if sys.argv[2:]:
    with gpt4all.Embed4All(sys.argv[2]) as embedder:
        vector = [round(number, 3) for number in embedder.embed("A llama.")[:8]]
answer = {"text": text, "reply": reply, "vector": vector, "facts": gpt4all.system_info()}
answer["gil"] = getattr(sys, "_is_gil_enabled", lambda: True)()
sys.stdout.buffer.write(json.dumps(answer).encode())
"""
# Would lead an install to other modules, libraries or settings than its own.
_FOREIGN = ("PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "GPT4ALL_")
# Where packages come from is the machine's affair.
_KEPT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE", "UV_INDEX_URL")


class TrialError(Exception):
    """An install, or what was done with it, failed."""


class NotHereError(Exception):
    """This machine cannot try that way; the message says why."""


@dataclass(frozen=True)
class Trial:
    """What is installed, with which Python, and what it is tried with."""

    wheel: Path
    python: Path
    work: Path
    model: Path
    embedder: Path | None = None
    emulator: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        return _PROGRAM

    @property
    def arguments(self) -> list[str]:
        return [str(path) for path in (self.model, self.embedder) if path is not None]

    def use(self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any) -> Any:
        """Uses what ``command``, a Python with its options, finds; what it answered."""
        out = run([*command, "-c", self.program, *self.arguments], env=env, **options)
        return check_answer(out)


def check_answer(out: str) -> Any:
    answer = json.loads(out)
    cpu = answer["facts"]["backends"]["cpu"]
    if not answer["text"].startswith(" Paris") or not answer["reply"].strip() or not cpu["usable"]:
        raise TrialError(f"it does not work: {answer}")
    return answer


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or not name.upper().startswith(_FOREIGN)}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore", **more}


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, fails: bool = False, **options: Any
) -> str:
    """What a command wrote: to standard output, or where it is to fail, to standard error."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(word) for word in command],
        env=dict(env or clean_environment()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        **options,
    )
    if (done.returncode != 0) != fails:
        last = "\n    ".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        shown = " ".join(str(word).partition("\n")[0] for word in command[:6])
        raise TrialError(f"{shown} … ended with {done.returncode}:\n    {last}")
    return done.stderr if fails else done.stdout
