"""Greedy tokens and logits straight from a loaded native model: what tests compare, without anything that is random."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt4all._native.backend import CancelFlag, NativeModel, Outcome
from gpt4all.options import GenerationOptions

__all__ = ["distance", "greedy", "logits_after"]


def greedy(
    model: NativeModel,
    prompt: str | Sequence[int],
    max_tokens: int = 8,
    *,
    n_batch: int = 512,
    n_keep: int = 0,
    reuse: bool = False,
    keep: bool = False,
    cancel: CancelFlag | None = None,
    on_token: Callable[[int, bytes], bool] | None = None,
) -> tuple[list[int], Outcome]:
    """The likeliest tokens after ``prompt``, a text or its tokens, and how it ended.

    Args:
        reuse: whether a beginning that was computed before is not computed again.
        keep: whether the former context is kept for later calls.
        on_token: called with each token, and stops with ``False``.
    """
    tokens: list[int] = []

    def hear(token: int, text: bytes) -> bool:
        tokens.append(token)
        return on_token is None or on_token(token, text)

    ids = model.tokenize(prompt, add_special=True, parse_special=False) if isinstance(prompt, str) else prompt
    options = GenerationOptions.create(
        max_tokens=max_tokens, n_batch=n_batch, temp=0, repeat_penalty=1.0, seed=0, stop=[]
    )
    outcome = model.generate(
        ids, options, hear, cancel or CancelFlag(), reuse_prefix=reuse, keep_context=keep, n_keep=n_keep
    )
    return tokens, outcome


def logits_after(
    model: NativeModel, prompt: str | Sequence[int], n_batch: int = 512, *, reuse: bool = False
) -> list[float]:
    """Logits of the prompt's last position."""
    greedy(model, prompt, 0, n_batch=n_batch, reuse=reuse)
    return list(model.last_logits())


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest difference of two numbers in the same place."""
    return max(abs(x - y) for x, y in zip(a, b, strict=True))
