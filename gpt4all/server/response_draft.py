"""A response in the making: its items, and the events that tell of them."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpt4all._native.outcome import Outcome, TokenLogprob, ToolCallDelta
from gpt4all.server.chat import reasoning_tokens
from gpt4all.server.fields import Fields
from gpt4all.server.generating import Answer, Event
from gpt4all.server.http import event
from gpt4all.server.pool import Model, Served

_IDS = {"reasoning": "rs", "message": "msg", "function_call": "fc"}


@dataclass
class Item:
    """A part of the output.

    Attributes:
        kind: of OpenAI's item types ``reasoning``, ``message`` or ``function_call``.
        place: its index in the output.
        text: what was thought, said, or given as arguments, so far.
    """

    kind: str
    place: int
    call_id: str = ""
    name: str = ""
    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = f"{_IDS[self.kind]}_{uuid.uuid4().hex}"

    def body(self, status: str) -> dict[str, Any]:
        """It as a client sees it; without a text where it has only begun."""
        head = {"id": self.id, "type": self.kind, "status": status}
        if self.kind == "function_call":
            return {**head, "call_id": self.call_id, "name": self.name, "arguments": self.text}
        content = [] if status == "in_progress" else [self.part()]
        more: dict[str, Any] = {"summary": []} if self.kind == "reasoning" else {"role": "assistant"}
        return {**head, **more, "content": content}

    def part(self) -> dict[str, Any]:
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": self.text}
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": self.logprobs}


class Draft:
    """What is known of a response so far.

    Args:
        served: the model that answers.
        fields: of the request, some of which a response repeats.
    """

    def __init__(self, served: Served, fields: Fields) -> None:
        self.items: list[Item] = []
        self._numbers = itertools.count()
        parallel = fields.raw("parallel_tool_calls")
        self._head = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": served.name,
            "error": None,
            "incomplete_details": None,
            "instructions": fields.raw("instructions"),
            "max_output_tokens": fields.raw("max_output_tokens"),
            "metadata": fields.raw("metadata") or {},
            "parallel_tool_calls": True if parallel is None else parallel,
            "previous_response_id": None,
            "reasoning": fields.raw("reasoning") or {"effort": None, "summary": None},
            "store": False,
            "temperature": fields.raw("temperature"),
            "text": fields.raw("text") or {"format": {"type": "text"}},
            "tool_choice": fields.raw("tool_choice") or "auto",
            "tools": fields.raw("tools") or [],
            "top_logprobs": fields.raw("top_logprobs") or 0,
            "top_p": fields.raw("top_p"),
            "truncation": "disabled",
            "usage": None,
            "user": fields.raw("user"),
        }

    def state(self, status: str, **more: Any) -> dict[str, Any]:
        """The response. What had ended is complete in one that was cut off, too: all but the last."""
        done = "completed" if status == "completed" else "incomplete"
        output = [item.body(done if item is self.items[-1] else "completed") for item in self.items]
        return {**self._head, "status": status, "output": output, **more}

    async def whole(self, answer: Answer, model: Model) -> dict[str, Any]:
        """The response to a request without a stream."""
        outcome = answer.outcome
        if outcome.reasoning:
            self._add("reasoning").text = outcome.reasoning
        if answer.text or not (outcome.reasoning or outcome.tool_calls):
            message = self._add("message")
            message.text = answer.text
            message.logprobs = [] if outcome.logprobs is None else outcome.logprobs["content"]
        for call in outcome.tool_calls:
            self._add("function_call", call.id, call.name).text = call.arguments_text
        return await self._finished(outcome, model)

    def _add(self, kind: str, call_id: str = "", name: str = "") -> Item:
        self.items.append(Item(kind, len(self.items), call_id, name))
        return self.items[-1]

    async def _finished(self, outcome: Outcome, model: Model) -> dict[str, Any]:
        status = _status(outcome)
        thoughts = [item.text for item in self.items if item.kind == "reasoning"]
        counted = {
            "input_tokens": outcome.prompt_tokens,
            "input_tokens_details": {"cached_tokens": outcome.cached_tokens},
            "output_tokens": outcome.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": await reasoning_tokens(model, thoughts)},
            "total_tokens": outcome.prompt_tokens + outcome.completion_tokens,
        }
        details = None if status == "completed" else {"reason": "max_output_tokens"}
        return self.state(status, usage=counted, incomplete_details=details)

    def event(self, kind: str, **more: Any) -> str:
        """A line of the stream, with its number."""
        return event({"type": kind, "sequence_number": next(self._numbers), **more}, kind)

    async def ended(self, one: Event, model: Model) -> list[str]:
        """Takes the end of the answer, and gives the lines that tell of it."""
        assert one.outcome is not None
        lines: list[str] = []
        if not self.items:
            lines += self._begin(self._add("message"))
        last = self.items[-1]
        last.logprobs += one.logprobs if last.kind == "message" else []
        lines += self._end(last, _status(one.outcome))
        response = await self._finished(one.outcome, model)
        return [*lines, self.event(f"response.{response['status']}", response=response)]

    def told(self, one: Event) -> Iterator[str]:
        """Takes the next piece of the answer, and gives the lines that tell of it."""
        last = self.items[-1] if self.items else None
        if last is None or _starts_another(last, one):
            if last is not None:
                yield from self._end(last)
            last = self._next(one)
            yield from self._begin(last)
        yield self._delta(last, one.text if one.call is None else one.call.arguments, one.logprobs)

    def _next(self, one: Event) -> Item:
        if one.call is not None:
            return self._add("function_call", one.call.id, one.call.name)
        return self._add("reasoning" if one.kind == "reasoning" else "message")

    def _begin(self, item: Item) -> Iterator[str]:
        place = {"output_index": item.place}
        yield self.event("response.output_item.added", **place, item=item.body("in_progress"))
        if item.kind != "function_call":
            yield self.event("response.content_part.added", **_at(item), part=item.part())

    def _delta(self, item: Item, text: str, logprobs: Sequence[TokenLogprob]) -> str:
        item.text += text
        if item.kind != "message":
            return self.event(f"response.{_CONTENT[item.kind]}.delta", **_at(item), delta=text)
        item.logprobs += logprobs
        return self.event("response.output_text.delta", **_at(item), delta=text, logprobs=logprobs)

    def _end(self, item: Item, status: str = "completed") -> Iterator[str]:
        done = f"response.{_CONTENT[item.kind]}.done"
        if item.kind == "function_call":
            yield self.event(done, **_at(item), name=item.name, arguments=item.text)
        else:
            more = {"logprobs": item.logprobs} if item.kind == "message" else {}
            yield self.event(done, **_at(item), text=item.text, **more)
            yield self.event("response.content_part.done", **_at(item), part=item.part())
        yield self.event("response.output_item.done", output_index=item.place, item=item.body(status))


#: What events call the text of an item.
_CONTENT = {"reasoning": "reasoning_text", "message": "output_text", "function_call": "function_call_arguments"}


def _status(outcome: Outcome) -> str:
    return "incomplete" if outcome.finish_reason == "length" else "completed"


def _at(item: Item) -> dict[str, Any]:
    within = {} if item.kind == "function_call" else {"content_index": 0}
    return {"item_id": item.id, "output_index": item.place, **within}


def _starts_another(item: Item, one: Event) -> bool:
    call: ToolCallDelta | None = one.call
    if call is not None:
        return bool(call.id)
    return item.kind != ("reasoning" if one.kind == "reasoning" else "message")
