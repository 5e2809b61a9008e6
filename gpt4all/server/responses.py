"""``/v1/responses``, without memory: a request brings all of its conversation."""

from __future__ import annotations

import contextlib
from typing import Any

from gpt4all.chat.messages import arguments_text
from gpt4all.options import MAX_TOP_LOGPROBS
from gpt4all.server.chat import Conversation, served_generator, template_args, tool_arguments
from gpt4all.server.failures import as_api_error, bad
from gpt4all.server.fields import Fields, check_text
from gpt4all.server.generating import Event, answers, events
from gpt4all.server.http import Events, Service
from gpt4all.server.messages import read_messages
from gpt4all.server.pool import Served
from gpt4all.server.response_draft import Draft
from gpt4all.server.sampling import check_json_options, max_tokens, sampling_arguments, schema_of


async def responses(service: Service, fields: Fields) -> dict[str, Any] | Events:
    """Answers a conversation."""
    served = served_generator(service, fields)
    conversation = _read(fields)
    draft = Draft(served, fields)
    if fields.flag("stream"):
        return _stream(service, served, conversation, draft)
    async with service.pool.lease(served) as model:
        (answer,) = await answers([conversation.start(model, 0)], 1, service.settings.timeout, service.metrics)
        return await draft.whole(answer, model)


def _read(fields: Fields) -> Conversation:
    for name in ("previous_response_id", "conversation", "prompt"):
        fields.refuse(name, "nothing is stored; send the whole conversation as input")
    fields.refuse("store", "nothing is stored", False)
    fields.refuse("background", "answers are not kept", False)
    fields.refuse("truncation", "a conversation that does not fit is an error", "disabled")
    fields.refuse("max_tool_calls", "this server calls no tools of its own")
    messages = _messages(fields.required("input"))
    instructions = fields.text("instructions")
    if instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    text, reasoning = fields.nested("text"), fields.nested("reasoning")
    arguments = {
        **sampling_arguments(fields),
        **tool_arguments(Fields({**fields.values, "tools": _tools(fields), "tool_choice": _tool_choice(fields)})),
        "max_tokens": max_tokens(fields, "max_output_tokens"),
        "json_schema": None if text is None else schema_of(text, "format"),
        "logprobs": _top_logprobs(fields),
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
    kept: list[Any] = []
    #: Which item each is, or begins with.
    names: list[str] = []

    def keep(message: Any, name: str) -> None:
        kept.append(message)
        names.append(name)

    for index, item in enumerate(value):
        name = f"input[{index}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            keep(item, name)
        elif kind == "function_call":
            if not kept or kept[-1].get("role") != "assistant":
                keep({"role": "assistant", "content": None}, name)
            # Those of one round are one message's.
            kept[-1] = {**kept[-1], "tool_calls": [*(kept[-1].get("tool_calls") or ()), _called(item, name)]}
        elif kind == "function_call_output":
            result = Fields(item, f"{name}.")
            answered, output = result.required("call_id"), result.required("output")
            keep({"role": "tool", "tool_call_id": answered, "content": output}, name)
        elif kind != "reasoning":  # what was thought is not sent back
            raise bad(f"{name}.type", "must be message, function_call, function_call_output or reasoning")
    return read_messages(kept, "input", names)


def _called(item: dict[str, Any], name: str) -> dict[str, Any]:
    fields = Fields(item, f"{name}.")
    for field in ("call_id", "name", "arguments"):
        fields.required(field)
    arguments = arguments_text(fields.text("arguments"), f"{name}.arguments")
    function = {"name": fields.text("name"), "arguments": arguments}
    return {"id": fields.text("call_id"), "type": "function", "function": function}


def _tools(fields: Fields) -> list[Any] | None:
    """As chat completions have them: one floor deeper."""
    tools = fields.array("tools")
    if tools is None:
        return None
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            raise bad("tools", f"has {kind!r} at index {index}: only functions can be called, and the client does")
    return [{"type": "function", "function": {key: tool[key] for key in tool if key != "type"}} for tool in tools]


def _tool_choice(fields: Fields) -> Any:
    choice = fields.raw("tool_choice")
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") != "function":
        raise bad("tool_choice", "must be none, auto, required or {type: function, name: ...}")
    return {"type": "function", "function": {"name": choice.get("name")}}


def _top_logprobs(fields: Fields) -> int | None:
    """Alternatives for each token, where ``include`` or their number asks for log-probabilities."""
    included = fields.array("include") or []
    for name in included:
        if name not in ("message.output_text.logprobs", "reasoning.encrypted_content"):
            raise bad("include", f"has {name!r}, of which there is nothing here")
    count = fields.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    return count or (0 if "message.output_text.logprobs" in included else None)


async def _stream(service: Service, served: Served, conversation: Conversation, draft: Draft) -> Events:
    async with service.pool.lease(served) as model:
        stream = events([conversation.start(model, 0)], 1, service.settings.timeout, service.metrics)
        async with contextlib.aclosing(stream):
            # What fails before the first is no stream yet.
            first = await anext(stream)
            for kind in ("response.created", "response.in_progress"):
                yield draft.event(kind, response=draft.state("in_progress"))
            try:
                one: Event | None = first
                while one is not None:
                    for line in draft.told(one) if one.outcome is None else await draft.ended(one, model):
                        yield line
                    one = await anext(stream, None)
            except Exception as error:
                problem = as_api_error(error, "/v1/responses")
                told = {"code": problem.code or "server_error", "message": str(problem)}
                yield draft.event("response.failed", response=draft.state("failed", error=told))
