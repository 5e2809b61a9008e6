"""How llama-bench and llama-batched-bench are called, and what they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["arguments", "batched_arguments", "batched_tokens_per_second", "tokens_per_second"]


def arguments(
    program: Path, model: Path, *, threads: int, n_prompt: int, n_gen: int, n_batch: int, repetitions: int
) -> list[str]:
    """A command for one test with this package's own settings: f16 KV cache, flash attention where it fits."""
    return [
        str(program),
        *("--model", str(model), "--threads", str(threads)),
        *("--n-prompt", str(n_prompt), "--n-gen", str(n_gen), "--repetitions", str(repetitions)),
        *("--ubatch-size", str(n_batch), "--flash-attn", "auto", "--output", "json"),
    ]


def tokens_per_second(output: str, *, n_prompt: int, n_gen: int) -> list[float]:
    """The rate of every repetition of the test with these sizes.

    Raises:
        ValueError: the output is not llama-bench's JSON, or has no such test.
    """
    try:
        tests: Any = json.loads(output)
    except json.JSONDecodeError as error:
        raise ValueError(f"llama-bench printed no JSON: {output[:200]!r}") from error
    for test in tests if isinstance(tests, list) else []:
        if isinstance(test, dict) and (test.get("n_prompt"), test.get("n_gen")) == (n_prompt, n_gen):
            return [float(rate) for rate in test["samples_ts"]]
    raise ValueError(f"llama-bench measured no test with {n_prompt} prompt and {n_gen} new tokens")


def batched_arguments(
    program: Path,
    model: Path,
    *,
    threads: int,
    n_ctx: int,
    n_batch: int,
    n_prompt: int,
    n_gen: int,
    count: int,
    repetitions: int,
) -> list[str]:
    """A command for ``count`` sequences side by side, with this package's own settings."""
    return [
        str(program),
        *("--model", str(model), "--threads", str(threads), "--ctx-size", str(count * n_ctx)),
        *("--batch-size", str(n_batch), "--ubatch-size", str(n_batch), "--flash-attn", "auto"),
        *("-npp", str(n_prompt), "-ntg", str(n_gen), "-npl", ",".join([str(count)] * repetitions)),
        *("--output-format", "jsonl"),
    ]


def batched_tokens_per_second(output: str, *, n_prompt: int, n_gen: int, count: int) -> list[float]:
    """New tokens per second of all sequences together, for every repetition of the test with these sizes.

    Raises:
        ValueError: the output has no such test.
    """
    tests = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    rates = [float(it["speed_tg"]) for it in tests if (it["pp"], it["tg"], it["pl"]) == (n_prompt, n_gen, count)]
    if not rates:
        raise ValueError(f"llama-batched-bench measured no {count} sequences with {n_gen} new tokens: {output[:200]!r}")
    return rates
