"""Calls that the tests on a GPU share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt4all._native.backend import CancelFlag, NativeModel, Outcome

ALLOW_SOFTWARE = "GPT4ALL_ALLOW_SOFTWARE_GPU"

#: ``load(name, **arguments)``: a model on the GPU.
Load = Callable[..., NativeModel]


def run(
    model: NativeModel,
    prompt: str | Sequence[int],
    *,
    max_tokens: int = 8,
    n_batch: int = 512,
    cancel: CancelFlag | None = None,
    on_token: Callable[[int, bytes], bool] | None = None,
    reuse: bool = False,
) -> tuple[list[int], Outcome]:
    """Greedy tokens and how it ended."""
    tokens: list[int] = []

    def hear(token: int, text: bytes) -> bool:
        tokens.append(token)
        return on_token is None or on_token(token, text)

    ids = model.tokenize(prompt, add_special=True, parse_special=False) if isinstance(prompt, str) else prompt
    outcome = model.generate(
        ids,
        on_token=hear,
        cancel=cancel or CancelFlag(),
        max_tokens=max_tokens,
        n_batch=n_batch,
        top_k=1,
        temperature=0.0,
        top_p=1.0,
        min_p=0.0,
        repeat_penalty=1.0,
        repeat_last_n=0,
        seed=0,
        reuse_prefix=reuse,
    )
    return tokens, outcome


def logits_after(model: NativeModel, prompt: str | Sequence[int], n_batch: int = 512) -> list[float]:
    """Logits of the prompt's last position."""
    run(model, prompt, max_tokens=0, n_batch=n_batch)
    return list(model.last_logits())


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))
