"""Greedy tokens equal what llama.cpp's own program makes of the same file, in the same run."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4all import GPT4All
from tests.model.conftest import N_CTX

pytestmark = pytest.mark.model

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "Die drei größten Städte Deutschlands sind",
    "1, 1, 2, 3, 5, 8, 13,",
]
CASES = [*((prompt, 1.0) for prompt in PROMPTS), (PROMPTS[1], 1.18)]
N_TOKENS = 64
SESSION_MAGIC = 0x6767736E


def reference_tokens(program: Path, model: GPT4All, prompt: str, repeat_penalty: float, session: Path) -> list[int]:
    """Prompt and answer as ids, from the session file that llama-completion saves; its output is only text."""
    command = [
        str(program),
        "--model", model.model.model_path,
        "--prompt", prompt,
        "--predict", str(N_TOKENS),
        "--ctx-size", str(N_CTX),
        "--temp", "0",
        "--repeat-penalty", str(repeat_penalty),
        "--repeat-last-n", "64",
        "--threads", str(model.model.thread_count()),
        "--batch-size", "512",
        "--ubatch-size", "512",
        "--prompt-cache", str(session),
        "--prompt-cache-all",
        "--no-conversation",
        "--no-warmup",
        "--no-escape",
        "--simple-io",
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    data = session.read_bytes()
    magic, _, count = struct.unpack_from("<3I", data)
    assert magic == SESSION_MAGIC
    return list(struct.unpack_from(f"<{count}i", data, 12))


def check(program: Path, file: Path, prompt: str, repeat_penalty: float, session: Path) -> None:
    # A fresh model: a prefix reused from another prompt, if only the begin
    # token, leaves another batch to compute, which may round differently.
    with GPT4All(file, n_ctx=N_CTX) as model:
        compare(program, model, prompt, repeat_penalty, session)


def compare(program: Path, model: GPT4All, prompt: str, repeat_penalty: float, session: Path) -> None:
    tokens = model._loaded.prompt_tokens(prompt)
    n_prompt = len(tokens)

    def collect(token: int, piece: str) -> bool:
        tokens.append(token)
        return True

    model.generate(
        prompt,
        max_tokens=N_TOKENS,
        temp=0,
        repeat_penalty=repeat_penalty,
        repeat_last_n=64,
        # The program saves its session before the last token, which it computes by itself; without AVX-512 that rounds
        # differently from all of the prompt at once.
        n_batch=max(1, n_prompt - 1),
        stop=[],
        callback=collect,
    )
    expected = reference_tokens(program, model, prompt, repeat_penalty, session)
    # An end token is sampled and reported by us, and not always stored by the program.
    shared = min(len(expected), len(tokens))
    assert shared >= n_prompt + min(N_TOKENS, len(tokens) - n_prompt) - 1
    assert tokens[:shared] == expected[:shared]


@pytest.mark.parametrize(("prompt", "repeat_penalty"), CASES)
@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_greedy_tokens(
    reference_program: Path,
    model_file: Callable[[str], Path],
    name: str,
    prompt: str,
    repeat_penalty: float,
    tmp_path: Path,
) -> None:
    check(reference_program, model_file(name), prompt, repeat_penalty, tmp_path / "session")
