"""What is known of a generation that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class TopLogprob(TypedDict):
    """A token, the natural logarithm of its probability, and its bytes: alone they may be no valid UTF-8."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest ones in its place."""

    top_logprobs: list[TopLogprob]


class Logprobs(TypedDict):
    """One entry for each token of the answer, in order."""

    content: list[TokenLogprob]


@dataclass(frozen=True)
class Outcome:
    """How a generation ended, what it processed, and the seconds it took."""

    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    context_shifts: int
    prompt_seconds: float
    completion_seconds: float
    #: What a reasoning model thought before it answered, ``None`` for others.
    reasoning: str | None = None
    #: How likely each token was, ``None`` unless asked for.
    logprobs: Logprobs | None = None
