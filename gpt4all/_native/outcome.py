"""What is known of a generation that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict


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
class ToolCall:
    """A call of a tool that a model asked for.

    Attributes:
        id: tells it from the other calls of a conversation.
        name: the tool's.
        arguments: as the tool's schema has them, parsed.
        arguments_text: the same as the model wrote them, JSON.
        result: what the model was told; ``None`` for a call that waits for whoever called ``generate``.
        error: why it was not and must not be carried out, ``None`` for others.

    Example:
        >>> call = ToolCall("1", "get_weather", {"city": "Paris"}, '{"city": "Paris"}')
        >>> call.reply("sunny")["role"]
        'tool'
    """

    id: str
    name: str
    arguments: dict[str, Any]
    arguments_text: str
    result: str | None = None
    error: str | None = None

    def reply(self, result: str) -> dict[str, Any]:
        """The message that answers the call.

        Args:
            result: what the model is told.

        Returns:
            A message of role ``"tool"``, for a list of messages that ``generate`` takes as its prompt.

        Example:
            >>> ToolCall("1", "add", {"a": 1}, '{"a": 1}').reply("3")
            {'role': 'tool', 'tool_call_id': '1', 'name': 'add', 'content': '3'}
        """
        return {"role": "tool", "tool_call_id": self.id, "name": self.name, "content": result}


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of a call that is being written.

    Attributes:
        index: which of the calls of the answer, from 0.
        id: the call's, in its first piece; else empty.
        name: the tool's, in its first piece; else empty.
        arguments: the next piece of the arguments' JSON.

    Example:
        >>> ToolCallDelta(0, "1", "get_weather", '{"city":').arguments
        '{"city":'
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Outcome:
    """How a generation ended, what it processed, and the seconds it took.

    Attributes:
        finish_reason: ``"stop"`` where the model ended its answer or came to a stop text, ``"length"`` where
            ``max_tokens`` did, ``"cancelled"`` where the caller did: ``break``, ``close``, a callback;
            ``"tool_calls"`` where calls of tools wait for the caller.
        prompt_tokens: length of the prompt.
        cached_tokens: how many of those were known from an earlier call, and not computed again.
        completion_tokens: length of the answer, with a reasoning model's thinking.
        context_shifts: how often the context was full, and its older half dropped.
        prompt_seconds: time to compute the prompt.
        completion_seconds: time to compute the answer.
        reasoning: what a reasoning model thought before it answered, ``None`` for others.
        logprobs: how likely each token was, in the shape of OpenAI's chat completions; ``None`` unless asked for.
        tool_calls: the calls of tools in the order they were made; a ``result`` of ``None`` waits for the caller.
            Tokens and seconds are those of all rounds.
        refused_calls: calls that must not be carried out, with their ``error``: of no such tool, with arguments that
            do not match the tool's schema, or in an answer that ``max_tokens`` cut off.

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
    tool_calls: tuple[ToolCall, ...] = ()
    refused_calls: tuple[ToolCall, ...] = ()
