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
    """How a generation ended, what it processed, and the seconds it took.

    Attributes:
        finish_reason: ``"stop"`` where the model ended its answer or came to a stop text, ``"length"`` where
            ``max_tokens`` did, ``"cancelled"`` where the caller did: ``break``, ``close``, a callback.
        prompt_tokens: length of the prompt.
        cached_tokens: how many of those were known from an earlier call, and not computed again.
        completion_tokens: length of the answer, with a reasoning model's thinking.
        context_shifts: how often the context was full, and its older half dropped.
        prompt_seconds: time to compute the prompt.
        completion_seconds: time to compute the answer.
        reasoning: what a reasoning model thought before it answered, ``None`` for others.
        logprobs: how likely each token was, in the shape of OpenAI's chat completions; ``None`` unless asked for.

    Example:
        >>> model.generate("The capital of France is", max_tokens=1, temp=0, logprobs=0)
        ' Paris'
        >>> outcome = model.last_generation
        >>> outcome.finish_reason, outcome.prompt_tokens, outcome.completion_tokens
        ('length', 5, 1)
        >>> outcome.logprobs["content"][0]["token"]
        ' Paris'
    """

    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    context_shifts: int
    prompt_seconds: float
    completion_seconds: float
    reasoning: str | None = None
    logprobs: Logprobs | None = None
