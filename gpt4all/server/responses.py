"""``/v1/responses``, without memory: a request brings all of its conversation."""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from typing import Any

from gpt4all._native.outcome import Outcome
from gpt4all.server.chat import Conversation, model_of, served_generator, template_args
from gpt4all.server.failures import as_api_error, bad
from gpt4all.server.fields import Fields, check_text
from gpt4all.server.generating import Event, answers, events
from gpt4all.server.http import Events, Service, event
from gpt4all.server.messages import read_messages
from gpt4all.server.pool import Model, Served
from gpt4all.server.sampling import check_json_options, max_tokens, sampling_arguments, schema_of


async def responses(service: Service, fields: Fields) -> dict[str, Any] | Events:
    """Answers a conversation."""
    served = served_generator(service, fields)
    conversation = _read(fields)
    draft = _Draft(served, fields)
    if fields.flag("stream"):
        return _stream(service, served, conversation, draft)
    async with service.pool.lease(served) as model:
        (answer,) = await answers(events([conversation.start(model, 0)], 1, service.settings.timeout, service.metrics))
        draft.reasoning, draft.text = answer.reasoning, answer.text
        return draft.finished(answer.outcome, model)


def _read(fields: Fields) -> Conversation:
    for name in ("previous_response_id", "conversation", "prompt"):
        fields.refuse(name, "nothing is stored; send the whole conversation as input")
    fields.refuse("store", "nothing is stored", False)
    fields.refuse("background", "answers are not kept", False)
    fields.refuse("truncation", "a conversation that does not fit is an error", "disabled")
    fields.refuse("max_tool_calls", "this server calls no tools of its own")
    if fields.array("tools") and fields.raw("tool_choice") != "none":
        fields.refuse("tools", "/v1/chat/completions calls tools, this endpoint does not yet")
    messages = _messages(fields.required("input"))
    instructions = fields.text("instructions")
    if instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    text, reasoning = fields.nested("text"), fields.nested("reasoning")
    arguments = {
        **sampling_arguments(fields),
        "max_tokens": max_tokens(fields, "max_output_tokens"),
        "json_schema": None if text is None else schema_of(text, "format"),
    }
    check_json_options(arguments, "text.format")
    effort = (
        None if reasoning is None else reasoning.choice("effort", "none", "minimal", "low", "medium", "high", "xhigh")
    )
    return Conversation(messages, arguments, template_args(fields, effort))


def _messages(value: object) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": check_text("input", value)}]
    if not isinstance(value, list):
        raise bad("input", "must be a string or an array of items")
    kept = []
    for index, item in enumerate(value):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            kept.append(item)
        elif kind != "reasoning":  # what was thought is not sent back
            raise bad(f"input[{index}].type", "must be message: nothing else can be read here")
    return read_messages(kept, "input")


class _Draft:
    """A response in the making, and the events that tell of it."""

    def __init__(self, served: Served, fields: Fields) -> None:
        self.reasoning = self.text = ""
        self._numbers = itertools.count()
        self._ids = {"reasoning": f"rs_{uuid.uuid4().hex}", "message": f"msg_{uuid.uuid4().hex}"}
        text, tools = fields.raw("text"), fields.raw("tools")
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
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": fields.raw("reasoning") or {"effort": None, "summary": None},
            "store": False,
            "temperature": fields.raw("temperature"),
            "text": text or {"format": {"type": "text"}},
            "tool_choice": fields.raw("tool_choice") or "auto",
            "tools": tools or [],
            "top_p": fields.raw("top_p"),
            "truncation": "disabled",
            "usage": None,
            "user": fields.raw("user"),
        }

    def state(self, status: str, **more: Any) -> dict[str, Any]:
        output = [self._item(kind, status) for kind in self._kinds()] if status != "in_progress" else []
        return {**self._head, "status": status, "output": output, **more}

    def _kinds(self) -> list[str]:
        return (["reasoning"] if self.reasoning else []) + ["message"]

    def _item(self, kind: str, status: str) -> dict[str, Any]:
        head = {"id": self._ids[kind], "type": kind, "status": status}
        if kind == "reasoning":
            return {**head, "summary": [], "content": [self._part(kind)] if status != "in_progress" else []}
        return {**head, "role": "assistant", "content": [self._part(kind)] if status != "in_progress" else []}

    def _part(self, kind: str) -> dict[str, Any]:
        if kind == "reasoning":
            return {"type": "reasoning_text", "text": self.reasoning}
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def finished(self, outcome: Outcome, model: Model) -> dict[str, Any]:
        cut = outcome.finish_reason == "length"
        thought = len(model_of(model).tokenize(self.reasoning)) if self.reasoning else 0
        counted = {
            "input_tokens": outcome.prompt_tokens,
            "input_tokens_details": {"cached_tokens": outcome.cached_tokens},
            "output_tokens": outcome.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": thought},
            "total_tokens": outcome.prompt_tokens + outcome.completion_tokens,
        }
        details = {"reason": "max_output_tokens"} if cut else None
        return self.state("incomplete" if cut else "completed", usage=counted, incomplete_details=details)

    def event(self, kind: str, **more: Any) -> str:
        return event({"type": kind, "sequence_number": next(self._numbers), **more}, kind)

    def begin(self, kind: str) -> list[str]:
        index = len(self._kinds()) - 1 if kind == "message" else 0
        place = {"item_id": self._ids[kind], "output_index": index, "content_index": 0}
        return [
            self.event("response.output_item.added", output_index=index, item=self._item(kind, "in_progress")),
            self.event("response.content_part.added", **place, part=self._part(kind)),
        ]

    def delta(self, kind: str, text: str) -> str:
        if kind == "reasoning":
            self.reasoning += text
            return self.event(
                "response.reasoning_text.delta",
                item_id=self._ids[kind],
                output_index=0,
                content_index=0,
                delta=text,
            )
        self.text += text
        return self.event(
            "response.output_text.delta",
            item_id=self._ids[kind],
            output_index=len(self._kinds()) - 1,
            content_index=0,
            delta=text,
            logprobs=[],
        )

    def end(self, kind: str) -> list[str]:
        index = len(self._kinds()) - 1 if kind == "message" else 0
        place = {"item_id": self._ids[kind], "output_index": index, "content_index": 0}
        more: dict[str, Any] = {"logprobs": []}
        done, text = "response.output_text.done", self.text
        if kind == "reasoning":
            done, text, more = "response.reasoning_text.done", self.reasoning, {}
        return [
            self.event(done, **place, text=text, **more),
            self.event("response.content_part.done", **place, part=self._part(kind)),
            self.event("response.output_item.done", output_index=index, item=self._item(kind, "completed")),
        ]


async def _stream(service: Service, served: Served, conversation: Conversation, draft: _Draft) -> Events:
    async with service.pool.lease(served) as model:
        stream = events([conversation.start(model, 0)], 1, service.settings.timeout, service.metrics)
        async with contextlib.aclosing(stream):
            # What fails before the first is no stream yet.
            first = await anext(stream)
            for kind in ("response.created", "response.in_progress"):
                yield draft.event(kind, response=draft.state("in_progress"))
            try:
                async for line in _told(draft, first, stream, model):
                    yield line
            except Exception as error:
                problem = as_api_error(error)
                told = {"code": problem.code or "server_error", "message": str(problem)}
                yield draft.event("response.failed", response=draft.state("failed", error=told))


async def _told(draft: _Draft, first: Event, stream: Any, model: Model) -> Events:
    open_kind: str | None = None
    one: Event | None = first
    while one is not None:
        kind = "reasoning" if one.kind == "reasoning" else "message"
        if kind != open_kind:
            if open_kind is not None:
                for line in draft.end(open_kind):
                    yield line
            for line in draft.begin(kind):
                yield line
            open_kind = kind
        if one.outcome is not None:
            for line in draft.end(kind):
                yield line
            response = draft.finished(one.outcome, model)
            yield draft.event(f"response.{response['status']}", response=response)
        else:
            yield draft.delta(kind, one.text)
        one = await anext(stream, None)
