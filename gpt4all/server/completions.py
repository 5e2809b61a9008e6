"""``/v1/completions``: texts that are continued as they are."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpt4all._native.outcome import Outcome, TokenLogprob
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.server.chat import FINGERPRINT, model_of, served_generator
from gpt4all.server.failures import bad
from gpt4all.server.fields import Fields, check_text
from gpt4all.server.generating import Start, Tell, answers, callbacks, events
from gpt4all.server.http import DONE, Events, Service, event
from gpt4all.server.pool import Model, Served
from gpt4all.server.sampling import check_json_options, max_tokens, sampling_arguments, schema_of

#: OpenAI's for this endpoint.
_DEFAULT_MAX_TOKENS = 16


@dataclass(frozen=True)
class _Request:
    prompts: list[str | list[int]]
    n: int
    echo: bool
    arguments: dict[str, Any]

    def starts(self, model: Model) -> list[Start]:
        return [self._start(model, prompt, choice) for prompt in self._texts(model) for choice in range(self.n)]

    def _texts(self, model: Model) -> list[str]:
        return [p if isinstance(p, str) else model_of(model).detokenize(p) for p in self.prompts]

    def _start(self, model: Model, prompt: str, choice: int) -> Start:
        arguments = dict(self.arguments)
        if "seed" in arguments:
            arguments["seed"] = (arguments["seed"] + choice) % 2**32

        def begin(tell: Tell | None) -> AsyncGeneration:
            return model_of(model).agenerate(prompt, **arguments, **callbacks(tell, arguments))

        return begin

    def echoed(self, model: Model, index: int) -> str:
        return self._texts(model)[index // self.n] if self.echo else ""


async def completions(service: Service, fields: Fields) -> dict[str, Any] | Events:
    """Continues one text or several."""
    served = served_generator(service, fields)
    request = _read(service, fields)
    if fields.flag("stream"):
        options = fields.nested("stream_options")
        return _stream(service, served, request, options is not None and bool(options.flag("include_usage")))
    if fields.raw("stream_options") is not None:
        raise bad("stream_options", "needs stream to be true")
    count = len(request.prompts) * request.n
    async with service.pool.lease(served, count) as model:
        starts = request.starts(model)
        found = await answers(starts, served.n_parallel, service.settings.timeout, service.metrics)
        choices = [
            _choice(index, request.echoed(model, index) + answer.text, answer.outcome, _logprobs_of(answer.outcome))
            for index, answer in enumerate(found)
        ]
        return {
            **_head(served),
            "choices": choices,
            "usage": _usage([answer.outcome for answer in found], request.n),
        }


def _read(service: Service, fields: Fields) -> _Request:
    fields.refuse("suffix", "the models' marks for it are not known")
    fields.refuse("best_of", "n gives several answers", 1)
    n = fields.integer("n", 1, service.settings.max_n) or 1
    prompts = _prompts(fields.required("prompt"), service.settings.max_inputs // n)
    echo = bool(fields.flag("echo"))
    logprobs = fields.integer("logprobs", 0, 5)
    if echo and logprobs is not None:
        raise bad("echo", "cannot be combined with logprobs: a prompt's are not computed")
    arguments = {
        **sampling_arguments(fields),
        "max_tokens": max_tokens(fields, "max_tokens", default=_DEFAULT_MAX_TOKENS),
        "json_schema": schema_of(fields, "response_format"),
        "logprobs": logprobs,
    }
    check_json_options(arguments, "response_format")
    return _Request(prompts, n, echo, arguments)


def _prompts(value: object, most: int) -> list[str | list[int]]:
    if isinstance(value, str) or (isinstance(value, list) and value and _is_ids(value)):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= most:
        raise bad("prompt", f"must be a string, token ids, or an array of at most {most} of them")
    return [p if isinstance(p, list) and p and _is_ids(p) else check_text("prompt", p) for p in value]


def _is_ids(value: list[Any]) -> bool:
    return all(isinstance(item, int) and not isinstance(item, bool) for item in value)


async def _stream(service: Service, served: Served, request: _Request, with_usage: bool) -> Events:
    head = _head(served)
    more: dict[str, Any] = {"usage": None} if with_usage else {}
    outcomes: dict[int, Outcome] = {}
    #: How much of each answer was told, as its log-probabilities count it.
    told: dict[int, int] = {}
    count = len(request.prompts) * request.n
    async with service.pool.lease(served, count) as model:
        starts = request.starts(model)
        stream = events(starts, served.n_parallel, service.settings.timeout, service.metrics)
        async with contextlib.aclosing(stream):
            async for one in stream:
                text = "" if one.index in told else request.echoed(model, one.index)
                offset = told.setdefault(one.index, 0)
                told[one.index] += sum(len(token["token"]) for token in one.logprobs)
                if one.outcome is not None:
                    outcomes[one.index] = one.outcome
                choice = _choice(one.index, text + one.text, one.outcome, one.logprobs, offset)
                yield event({**head, "choices": [choice], **more})
        if with_usage:
            ordered = [outcomes[index] for index in sorted(outcomes)]
            yield event({**head, "choices": [], "usage": _usage(ordered, request.n)})
    yield DONE


def _head(served: Served) -> dict[str, Any]:
    return {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": served.name,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(
    index: int, text: str, outcome: Outcome | None, logprobs: Sequence[TokenLogprob], offset: int = 0
) -> dict[str, Any]:
    return {
        "text": text,
        "index": index,
        "logprobs": _logprobs(logprobs, offset) if logprobs else None,
        "finish_reason": None if outcome is None else outcome.finish_reason,
    }


def _logprobs_of(outcome: Outcome) -> Sequence[TokenLogprob]:
    return () if outcome.logprobs is None else outcome.logprobs["content"]


def _logprobs(content: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
    """In this endpoint's own shape."""
    offsets = []
    for token in content:
        offsets.append(offset)
        offset += len(token["token"])
    return {
        "tokens": [token["token"] for token in content],
        "token_logprobs": [token["logprob"] for token in content],
        "top_logprobs": [{top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in content],
        "text_offset": offsets,
    }


def _usage(outcomes: Sequence[Outcome], n: int) -> dict[str, Any]:
    # The answers to one prompt share it.
    prompt = sum(outcome.prompt_tokens for outcome in outcomes[::n])
    completion = sum(outcome.completion_tokens for outcome in outcomes)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(outcome.cached_tokens for outcome in outcomes[::n])},
    }
