"""Measures what this package does for several callers at once, in whatever environment it is installed."""

from __future__ import annotations

import ctypes
import math
import random
import sys
from array import array
from collections.abc import Callable
from ctypes import byref, c_int32, c_int64, c_void_p
from typing import Any

from bench.drivers.common import Spec, Values, main, memory_bytes, repeated
from bench.drivers.mixed_load import Ask, mixed_load, throughput
from gpt4all import GPT4All
from gpt4all._native import abi
from gpt4all._native.arguments import generate_struct
from gpt4all._native.backend import CancelFlag, NativeModel, load_backend
from gpt4all.options import GenerationOptions, LoadOptions


def _load(spec: Spec) -> GPT4All:
    return GPT4All(spec["model"], n_threads=spec["threads"], n_ctx=spec["n_ctx"], n_parallel=spec["n_parallel"])


def _options(spec: Spec) -> dict[str, Any]:
    """Greedy, and never done before its time."""
    return {"temp": 0, "stop": [], "logit_bias": dict.fromkeys(spec["end_tokens"], -math.inf)}


def generation(spec: Spec) -> Values:
    """New tokens per second of all requests together, while all of them generate."""
    model, n_new = _load(spec), spec["n_tokens"]

    def one(index: int) -> float:
        # In another order each time, so that requests go to other sequences than before: a model has to be as fast
        # then as when all were unused.
        prompts = random.Random(index).sample(spec["prompts"], len(spec["prompts"]))
        completions = model.generate_many(prompts, max_tokens=n_new, **_options(spec))
        seconds = []
        for completion in completions:
            if completion.outcome is None or completion.outcome.completion_tokens != n_new:
                raise ValueError(f"an answer was not complete: {completion.error or completion.outcome}")
            seconds.append(completion.outcome.completion_seconds)
        # The first ones may have begun while the last were read; that of the last one began with all of them.
        return float(len(completions) * (n_new - 1) / min(seconds))

    one(-1)
    return {spec["key"]: repeated(spec, one)}


def mixed(spec: Spec) -> Values:
    return mixed_load(spec["key"], spec["requests"], _ask(spec))


def served(spec: Spec) -> Values:
    """Tokens per second of threads that ask at the same time, as clients of a server do."""
    return throughput(spec["key"], spec["rounds"], _ask(spec))


def _ask(spec: Spec) -> Ask:
    model, options = _load(spec), {**_options(spec), **spec.get("options", {})}

    def ask(prompt: str, n_new: int, on_first: Callable[[], None]) -> int:
        stream = model.generate(prompt, max_tokens=n_new, streaming=True, **options)
        for count, _ in enumerate(stream):
            if count == 0:
                on_first()
        return 0 if stream.outcome is None else stream.outcome.completion_tokens

    return ask


class _Request:
    """A generation that says how many tokens it has, read by the thread that asks for it.

    Behind the public interface on purpose: only where one thread reads several
    requests is it known which of their tokens came first.
    """

    def __init__(self, native: NativeModel, prompt: list[int], options: GenerationOptions) -> None:
        self.n_tokens = 0
        self._cdll = native._cdll
        self._cancel = CancelFlag()
        self._handle = c_void_p()
        self._struct = generate_struct(self._cdll, options, {"reuse_prefix": False}, self._cancel)
        self._result = abi.GenerateResult()
        self._cdll.gpt4all_generate_result_init(byref(self._result), ctypes.sizeof(self._result))
        self._callback = abi.TokenCallback(self._on_token)
        ids = (c_int32 * len(prompt)).from_buffer(array("i", prompt))
        self._cdll.gpt4all_request_start(native._handle, ids, len(prompt), byref(self._struct), byref(self._handle))

    def _on_token(self, token: int, address: int, length: int, payload: int | None) -> int:
        self.n_tokens += token >= 0
        return 0

    def read(self, seconds: float = 0.0) -> int:
        """Tokens so far, after waiting at most that long for a new one."""
        self._cdll.gpt4all_request_read(
            self._handle, c_int64(int(1e6 * seconds)), self._callback, None, byref(self._result)
        )
        return self.n_tokens

    def close(self) -> None:
        self._cdll.gpt4all_request_free(self._handle)


def question(spec: Spec) -> Values:
    """Steps of the scheduler from a question to its first token while a long prompt is read.

    A third request generates meanwhile, and gets one token a step.
    """
    model = _load(spec)
    native = model._loaded._native

    def start(text: str, n_new: int) -> _Request:
        prompt = model._loaded.prompt_tokens(text)
        return _Request(native, prompt, GenerationOptions.create(max_tokens=n_new, n_batch=512, **_options(spec)))

    def one(index: int) -> float:
        clock = start(spec["prompt"], 1000)
        while not clock.read(1.0):
            pass
        begin = clock.read()
        long = start(spec["long_prompts"][index], 1)
        while clock.read(1.0) <= begin + index % 2:
            pass
        if long.read():
            raise ValueError("the long prompt was read before the question came")
        asked = clock.read()
        short = start(spec["questions"][index], 1)
        while not short.read(1.0):
            pass
        # Its token of that step was there before the question's: the requests take turns in the order they came.
        steps = clock.read() - asked
        if long.read():
            raise ValueError("the long prompt was read before the question was answered")
        for request in (short, long, clock):
            request.close()
        return float(steps)

    return {spec["key"]: repeated(spec, one)}


def sequences_used(spec: Spec) -> float:
    """Bytes of this process that are backed by no file, after a load and a token, all other sequences idle."""
    with _load(spec) as model:
        model.generate(spec["prompt"], max_tokens=1)
        return float(memory_bytes("RssAnon"))


def sequences_computed(spec: Spec) -> float:
    """Bytes that the load is computed to take beforehand."""
    options = LoadOptions.create(n_ctx=spec["n_ctx"], n_threads=spec["threads"], n_parallel=spec["n_parallel"])
    return float(load_backend("cpu").model_memory(spec["model"], options)[0].total)


if __name__ == "__main__":
    sys.exit(
        main(
            {
                "generation": generation,
                "mixed": mixed,
                "question": question,
                "served": served,
                "sequences_used": sequences_used,
                "sequences_computed": sequences_computed,
            }
        )
    )
