"""Measures llama-cpp-python, in an environment of its own."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from bench.drivers.common import Spec, Values, first_and_last, main, megabytes, repeated

_llama_cpp: Any = importlib.import_module("llama_cpp")


def _load(spec: Spec) -> Any:
    return _llama_cpp.Llama(
        spec["model"],
        n_ctx=spec.get("n_ctx", 2048),
        n_threads=spec["threads"],
        n_threads_batch=spec["threads"],
        verbose=False,
    )


# The sampling that the other subjects use, so that the work is the same.
_SAMPLING = {"temperature": 0.7, "top_k": 40, "top_p": 0.4, "min_p": 0.0, "repeat_penalty": 1.18}
_GREEDY = {**_SAMPLING, "temperature": 0.0, "top_k": 1}


def generation(spec: Spec) -> Values:
    model = _load(spec)
    sampling = _GREEDY if spec["greedy"] else _SAMPLING

    def one(index: int) -> float:
        chunks = model.create_completion(spec["prompt"], max_tokens=spec["n_tokens"], stream=True, **sampling)
        first, end, count = first_and_last(chunks)
        # The last chunk only says why it ended.
        return (count - 2) / (end - first)

    one(0)
    key = "generation.greedy" if spec["greedy"] else "generation.sampled"
    return {key: repeated(spec, one)}


def prompt(spec: Spec) -> Values:
    model = _load(spec)

    def one(index: int) -> float:
        started = time.perf_counter()
        stream = model.create_completion(spec["prompts"][index], max_tokens=1, stream=True, temperature=0.0)
        first, _, _ = first_and_last(stream)
        return float(spec["n_prompt"]) / (first - started)

    return {"prompt": repeated(spec, one)}


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
    for _ in model.create_completion(spec["prompts"][0], max_tokens=spec["n_tokens"], stream=True, temperature=0.0):
        pass
    return {"memory.loaded": [loaded], "memory.peak": [megabytes("VmHWM")]}


if __name__ == "__main__":
    sys.exit(main({"generation": generation, "prompt": prompt, "load": load, "memory": memory}))
