"""``/v1/chat/completions``."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gpt4all._native.outcome import Outcome
from gpt4all._version import __version__
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.gpt4all import GPT4All
from gpt4all.server.failures import ApiError, bad
from gpt4all.server.fields import Fields
from gpt4all.server.generating import Answer, Event, Start, Tell, answers, callbacks, events
from gpt4all.server.http import DONE, Events, Service, event
from gpt4all.server.messages import read_messages
from gpt4all.server.metrics import Metrics
from gpt4all.server.pool import Model, Served
from gpt4all.server.sampling import check_json_options, max_tokens, sampling_arguments, schema_of, top_logprobs

#: What a seed makes repeatable: not across versions.
FINGERPRINT = f"gpt4all-{__version__}"


@dataclass(frozen=True)
class Conversation:
    """What is to be answered, and how: for every endpoint that chats.

    Attributes:
        arguments: of ``generate``.
        template_args: variables of the chat template.
    """

    messages: list[dict[str, Any]]
    arguments: dict[str, Any]
    template_args: dict[str, Any]

    def start(self, model: Model, index: int) -> Start:
        """Begins the answer ``index``; each has a seed of its own."""
        arguments = dict(self.arguments)
        if "seed" in arguments:
            arguments["seed"] = (arguments["seed"] + index) % 2**32

        def begin(tell: Tell | None) -> AsyncGeneration:
            assert isinstance(model, GPT4All)
            *history, last = self.messages
            chat = model.new_chat(messages=history, template_args=self.template_args)
            told = callbacks(tell, arguments)
            if tell is not None:
                told["reasoning_callback"] = partial(tell, "reasoning")
                if arguments.get("tools"):
                    told["tool_delta_callback"] = partial(tell, "call")
            return chat.agenerate([last], **arguments, **told)

        return begin


def template_args(fields: Fields, effort: str | None) -> dict[str, Any]:
    """Variables for the chat template: those of the request, and how much a reasoning model is to think."""
    given = fields.nested("chat_template_kwargs")
    arguments = {} if given is None else dict(fields.raw("chat_template_kwargs"))
    if effort is not None:
        arguments = {"reasoning_effort": effort, "enable_thinking": effort not in ("none", "minimal"), **arguments}
    return arguments


def tool_arguments(fields: Fields) -> dict[str, Any]:
    """Keyword arguments of ``generate`` for the tools of a request, which the client carries out."""
    for name in ("functions", "function_call"):
        fields.refuse(name, "it was replaced by tools", [], "none")
    tools, parallel = fields.array("tools"), fields.flag("parallel_tool_calls")
    choice = fields.raw("tool_choice")
    if not tools:
        if choice not in (None, "none", "auto"):
            raise bad("tool_choice", "needs tools")
        return {}
    if not all(isinstance(tool, dict) for tool in tools):
        raise bad("tools", "must be an array of objects")
    if not isinstance(choice, dict):
        choice = fields.choice("tool_choice", "none", "auto", "required")
    return {"tools": tools, "tool_choice": choice or "auto", "parallel_tool_calls": parallel, "run_tools": False}


def served_generator(service: Service, fields: Fields) -> Served:
    """The model of the request, which must be one that generates."""
    served = service.pool.find(fields.raw("model"), embeds=False)
    if served.embeds:
        raise bad("model", f"{served.name} makes embeddings and generates no text")
    return served


async def chat_completions(service: Service, fields: Fields) -> dict[str, Any] | Events:
    """Answers a conversation."""
    served = served_generator(service, fields)
    conversation = _read(fields)
    n = fields.integer("n", 1, service.settings.max_n) or 1
    if fields.flag("stream"):
        options = fields.nested("stream_options")
        with_usage = options is not None and bool(options.flag("include_usage"))
        return _stream(service, served, conversation, n, with_usage)
    if fields.raw("stream_options") is not None:
        raise bad("stream_options", "needs stream to be true")
    async with service.pool.lease(served, n) as model:
        found = await answers(*_work(service, served, conversation, n, model))
        return {
            **_head("chat.completion", served),
            "choices": [_choice(index, answer) for index, answer in enumerate(found)],
            "usage": usage(
                [answer.outcome for answer in found],
                await reasoning_tokens(model, (answer.outcome.reasoning or "" for answer in found)),
            ),
        }


def _read(fields: Fields) -> Conversation:
    messages = read_messages(fields.required("messages"), "messages")
    fields.refuse("modalities", "these models write text only", ["text"])
    fields.refuse("audio", "these models write text only")
    fields.refuse("web_search_options", "this server does not search")
    fields.refuse("store", "nothing is stored", False)
    fields.refuse("verbosity", "the models have no such control", "medium")
    arguments = {
        **sampling_arguments(fields),
        **tool_arguments(fields),
        "max_tokens": max_tokens(fields, "max_completion_tokens", "max_tokens"),
        "json_schema": schema_of(fields, "response_format"),
        "logprobs": top_logprobs(fields),
    }
    check_json_options(arguments, "response_format")
    effort = fields.choice("reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh")
    return Conversation(messages, arguments, template_args(fields, effort))


def _work(
    service: Service, served: Served, conversation: Conversation, n: int, model: Model
) -> tuple[list[Start], int, float, Metrics]:
    """The arguments of ``answers`` and ``events``."""
    starts = [conversation.start(model, index) for index in range(n)]
    return starts, served.n_parallel, service.settings.timeout, service.metrics


async def _stream(service: Service, served: Served, conversation: Conversation, n: int, with_usage: bool) -> Events:
    head = _head("chat.completion.chunk", served)

    def chunk(index: int, delta: dict[str, Any], **more: Any) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        # With include_usage all chunks but the last say null.
        return event({**head, "choices": [choice], **({"usage": None} if with_usage else {})})

    outcomes: list[Outcome] = []
    begun: set[int] = set()
    thoughts: defaultdict[int, list[str]] = defaultdict(list)
    async with (
        service.pool.lease(served, n) as model,
        contextlib.aclosing(events(*_work(service, served, conversation, n, model))) as stream,
    ):
        async for one in stream:
            if one.index not in begun:
                begun.add(one.index)
                yield chunk(one.index, {"role": "assistant", "content": ""})
            if one.outcome is not None:
                outcomes.append(one.outcome)
                yield chunk(one.index, {}, logprobs=_logprobs(one), finish_reason=one.outcome.finish_reason)
            else:
                if one.kind == "reasoning":
                    thoughts[one.index].append(one.text)
                yield chunk(one.index, _delta(one), logprobs=_logprobs(one))
        if with_usage:
            counted = usage(outcomes, await reasoning_tokens(model, map("".join, thoughts.values())))
            yield event({**head, "choices": [], "usage": counted})
    yield DONE


def _logprobs(one: Event) -> dict[str, Any] | None:
    return {"content": one.logprobs, "refusal": None} if one.logprobs else None


def _delta(one: Event) -> dict[str, Any]:
    if one.call is not None:
        # Id and name come once; clients join the rest.
        named = {"name": one.call.name} if one.call.id else {}
        head = {"id": one.call.id, "type": "function"} if one.call.id else {}
        function = {**named, "arguments": one.call.arguments}
        return {"tool_calls": [{"index": one.call.index, **head, "function": function}]}
    return {"reasoning_content" if one.kind == "reasoning" else "content": one.text}


def _head(kind: str, served: Served) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": served.name,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(index: int, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.outcome.reasoning is not None:
        message["reasoning_content"] = answer.outcome.reasoning
    if answer.outcome.tool_calls:
        message["content"] = answer.text or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_text}}
            for call in answer.outcome.tool_calls
        ]
    return {
        "index": index,
        "message": message,
        "logprobs": answer.outcome.logprobs and {**answer.outcome.logprobs, "refusal": None},
        "finish_reason": answer.outcome.finish_reason,
    }


def model_of(model: Model) -> GPT4All:
    """For its tokenizer."""
    if not isinstance(model, GPT4All):
        raise ApiError(500, "not a model that generates")
    return model


async def reasoning_tokens(model: Model, thoughts: Iterable[str]) -> int:
    """Tokens of what was thought in each answer; much of it takes a while, in which others are told theirs."""
    texts = [text for text in thoughts if text]
    tokenize = model_of(model).tokenize
    return await asyncio.to_thread(lambda: sum(len(tokenize(text)) for text in texts)) if texts else 0


def usage(outcomes: Sequence[Outcome], thought: int = 0) -> dict[str, Any]:
    """Tokens of a request whose answers share their prompt."""
    prompt = max(outcome.prompt_tokens for outcome in outcomes)
    completion = sum(outcome.completion_tokens for outcome in outcomes)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(outcome.cached_tokens for outcome in outcomes)},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
