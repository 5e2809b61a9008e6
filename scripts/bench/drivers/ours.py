"""Measures this package, in whatever environment it is installed."""

from __future__ import annotations

import math
import random
import signal
import statistics
import sys
import time
from types import FrameType
from typing import Any

from bench.drivers.common import Spec, Values, first_and_last, main, megabytes, repeated
from bench.drivers.embed_loop import embed_values
from bench.drivers.engine_loop import engine_loop
from gpt4all import Embed4All, GPT4All

# Common English words, each one token of SmolLM2's when a space precedes it.
_WORDS = """
    time year people way day man thing woman life child world school state family student group country problem
    hand part place case week company system program question work government number night point home water room
    mother area money story fact month lot right study book eye job word business issue side kind head house
"""


def _load(spec: Spec) -> GPT4All:
    return GPT4All(spec["model"], n_threads=spec["threads"], n_ctx=spec.get("n_ctx", 2048))


def prompts(spec: Spec) -> list[str]:
    """Texts of exactly those numbers of tokens that differ from the first token on, so that no prefix is reused."""
    model = _load(spec)
    words = [word for word in _WORDS.split() if len(model.tokenize(f" {word}")) == 1]
    texts = []
    for index, length in enumerate(spec["lengths"]):
        draw = random.Random(f"{spec['seed']} {index}")
        first = words[(spec["seed"] + index) % len(words)]
        text = "".join(f" {word}" for word in [first, *draw.choices(words, k=length - 1)])
        n_tokens = model.model.count_prompt_tokens(text)
        if n_tokens != length:
            text = "".join(f" {word}" for word in text.split()[: 2 * length - n_tokens])
        if model.model.count_prompt_tokens(text) != length:
            raise ValueError(f"could not write a prompt of {length} tokens for this model")
        texts.append(text)
    return texts


def generation(spec: Spec) -> Values:
    """From the first piece to the end of the stream: one decoded token fewer than there are."""
    model = _load(spec)
    options: Any = {"temp": 0} if spec["greedy"] else {}
    if "end_tokens" in spec:
        options |= {"stop": [], "logit_bias": dict.fromkeys(spec["end_tokens"], -math.inf)}

    def one(index: int) -> float:
        for seed in range(index, index + 100, 10):
            stream = model.generate(spec["prompt"], max_tokens=spec["n_tokens"], streaming=True, seed=seed, **options)
            first, end, _ = first_and_last(stream)
            outcome = model.last_generation
            # Some answers end early by themselves.
            if outcome is not None and outcome.completion_tokens >= spec["n_tokens"] // 2:
                return (outcome.completion_tokens - 1) / (end - first)
        raise ValueError(f"the answers to {spec['prompt']!r} are too short to measure")

    one(0)
    key = "generation.greedy" if spec["greedy"] else "generation.sampled"
    return {spec.get("key", key): repeated(spec, one)}


def prompt(spec: Spec) -> Values:
    """From the call to the first piece."""
    model = _load(spec)

    def one(index: int) -> float:
        started = time.perf_counter()
        stream = model.generate(
            spec["prompts"][index], max_tokens=1, temp=0, streaming=True, n_batch=spec.get("n_batch", 512)
        )
        first, _, _ = first_and_last(stream)
        outcome = model.last_generation
        if outcome is None or outcome.prompt_tokens - outcome.cached_tokens != spec["n_prompt"]:
            raise ValueError("the prompt was not computed as a whole")
        return float(spec["n_prompt"]) / (first - started)

    return {spec.get("key", "prompt"): repeated(spec, one)}


def embed(spec: Spec) -> Values:
    with Embed4All(spec["model"], n_threads=spec["threads"]) as model:
        return embed_values(spec, model.embed)


def embed_each(spec: Spec) -> Values:
    """Short sentences, a call for each; the first ones until the number of threads is known."""
    with Embed4All(spec["model"], n_threads=spec["threads"]) as model:

        def one(index: int) -> float:
            started = time.perf_counter()
            for number in range(spec["n_texts"]):
                model.embed(
                    f"In round {index} sentence {number} tells of a castle by the sea and of its people in winter"
                )
            return float(spec["n_texts"]) / (time.perf_counter() - started)

        one(-1)
        return {spec["key"]: repeated(spec, one)}


def load(spec: Spec) -> Values:
    started = time.perf_counter()
    model = _load(spec)
    first = time.perf_counter() - started
    model.close()
    started = time.perf_counter()
    _load(spec)
    return {"load": [1e3 * first], "load.again": [1e3 * (time.perf_counter() - started)]}


def memory(spec: Spec) -> Values:
    model = _load(spec)
    loaded = megabytes("VmRSS")
    for _ in model.generate(spec["prompts"][0], max_tokens=spec["n_tokens"], temp=0, streaming=True):
        pass
    return {"memory.loaded": [loaded], "memory.peak": [megabytes("VmHWM")]}


def stop(spec: Spec) -> Values:
    """How long stopping takes, in tokens inside a stream and in batches inside a prompt."""
    model = _load(spec)
    in_tokens = _stop_streams(model, spec)
    in_batches = _stop_prompts(model, spec)
    return {
        "stop.stream": in_tokens,
        "stop.stream.median": in_tokens,
        "stop.prompt": in_batches,
        "stop.prompt.median": in_batches,
    }


def _stop_streams(model: GPT4All, spec: Spec) -> list[float]:
    draw = random.Random(0)
    first, end, _ = first_and_last(model.generate(spec["prompt"], max_tokens=64, temp=0, streaming=True))
    outcome = model.last_generation
    if outcome is None:
        raise ValueError("no outcome")
    token_seconds = (end - first) / (outcome.completion_tokens - 1)

    def one(index: int) -> float:
        stream = model.generate(spec["prompt"], max_tokens=64, temp=0, streaming=True)
        for _ in range(draw.randint(1, 8)):
            next(stream)
        time.sleep(draw.random() * token_seconds)
        started = time.perf_counter()
        stream.close()
        return (time.perf_counter() - started) / token_seconds

    return repeated(spec, one)


class _AlarmError(Exception):
    pass


def _stop_prompts(model: GPT4All, spec: Spec) -> list[float]:
    """The way Ctrl-C does it: a signal handler raises while ``next`` waits for the first piece."""
    started = time.perf_counter()
    first_and_last(model.generate(spec["long_prompts"][0], max_tokens=1, temp=0, streaming=True))
    prompt_seconds = time.perf_counter() - started
    batch_seconds = prompt_seconds * 512 / int(spec["n_long_prompt"])
    raised = 0.0

    def on_alarm(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        raised = time.perf_counter()
        raise _AlarmError

    signal.signal(signal.SIGALRM, on_alarm)
    draw = random.Random(0)

    def one(index: int) -> float:
        stream = model.generate(spec["long_prompts"][1 + index], max_tokens=1, temp=0, streaming=True)
        signal.setitimer(signal.ITIMER_REAL, prompt_seconds * (0.1 + 0.7 * draw.random()))
        try:
            next(stream)
        except _AlarmError:
            return (time.perf_counter() - raised) / batch_seconds
        raise ValueError("the prompt was done before the signal came")

    return repeated(spec, one)


def overhead(spec: Spec) -> Values:
    """Microseconds that streaming adds to a token, against the same library called without a callback.

    The two alternate, and each pair gives one sample.
    """
    model = _load(spec)
    n_tokens: int = spec["n_tokens"]

    def streamed() -> float:
        for _ in model.generate(spec["prompt"], max_tokens=n_tokens, temp=0, streaming=True):
            pass
        outcome = model.last_generation
        if outcome is None or outcome.completion_tokens != n_tokens:
            raise ValueError(f"the answer to {spec['prompt']!r} is too short to measure")
        return float(outcome.completion_seconds)

    def bare() -> float:
        return engine_loop(model, spec["prompt"], n_tokens)

    streamed()
    bare()

    def one(index: int) -> float:
        # Whichever comes second may find the machine warmer.
        if index % 2 == 0:
            without = bare()
            return 1e6 * (streamed() - without) / n_tokens
        with_streaming = streamed()
        return 1e6 * (with_streaming - bare()) / n_tokens

    return {spec["key"]: repeated(spec, one)}


def stress_generate(spec: Spec) -> Values:
    """Growth of the resident memory over the second half of many calls of every kind, in percent."""
    model = _load(spec)
    history = []
    for index in range(spec["count"]):
        text = f"call {index}"
        if index % 4 == 0:
            model.generate(text, max_tokens=4)
        elif index % 4 == 1:
            first_and_last(model.generate(text, max_tokens=4, streaming=True))
        elif index % 4 == 2:
            stream = model.generate(text, max_tokens=32, streaming=True)
            next(stream, None)
            stream.close()
        else:
            model.generate(text, max_tokens=4, stop=["e", "a"], callback=lambda token, piece: True)
        history.append(megabytes("VmRSS"))
    return {"stress.generate": [_growth(history)]}


def stress_load(spec: Spec) -> Values:
    history = []
    for _ in range(spec["count"]):
        with _load(spec) as model:
            model.generate("Hello", max_tokens=1)
        history.append(megabytes("VmRSS"))
    return {"stress.load": [_growth(history)]}


def _growth(history: list[float]) -> float:
    window = max(1, len(history) // 20)
    middle = statistics.median(history[len(history) // 2 - window : len(history) // 2 + 1])
    return 100 * (statistics.median(history[-window:]) - middle) / middle


if __name__ == "__main__":
    sys.exit(
        main(
            {
                "prompts": prompts,
                "embed": embed,
                "embed_each": embed_each,
                "generation": generation,
                "prompt": prompt,
                "load": load,
                "memory": memory,
                "stop": stop,
                "overhead": overhead,
                "stress.generate": stress_generate,
                "stress.load": stress_load,
            }
        )
    )
