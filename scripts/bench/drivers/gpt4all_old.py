"""Measures gpt4all 2.8.2, in an environment of its own."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

from bench.drivers.common import Spec, Values, first_and_last, main, megabytes, repeated
from bench.drivers.embed_loop import embed_values

# Not imported by name: type checkers would take it for this package.
_gpt4all: Any = importlib.import_module("gpt4all")


def _load(spec: Spec) -> Any:
    return _gpt4all.GPT4All(
        spec["model"], allow_download=False, n_threads=spec["threads"], n_ctx=spec.get("n_ctx", 2048), device="cpu"
    )


def generation(spec: Spec) -> Values:
    model = _load(spec)
    greedy = {"temp": 0, "top_k": 1} if spec["greedy"] else {}
    times: list[float] = []

    def on_token(token: int, text: str) -> bool:
        times.append(time.perf_counter())
        return True

    def one(index: int) -> float:
        times.clear()
        for _ in model.generate(
            spec["prompt"], max_tokens=spec["n_tokens"], streaming=True, callback=on_token, **greedy
        ):
            pass
        return (len(times) - 1) / (times[-1] - times[0])

    one(0)
    key = "generation.greedy" if spec["greedy"] else "generation.sampled"
    return {key: repeated(spec, one)}


def prompt(spec: Spec) -> Values:
    model = _load(spec)
    batch = {"n_batch": spec["n_batch"]} if "n_batch" in spec else {}

    def one(index: int) -> float:
        started = time.perf_counter()
        # To its end: a stream left open goes on behind the next call, and the two crash the process.
        stream = model.generate(spec["prompts"][index], max_tokens=1, temp=0, streaming=True, **batch)
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
    for _ in model.generate(spec["prompts"][0], max_tokens=spec["n_tokens"], temp=0, streaming=True):
        pass
    return {"memory.loaded": [loaded], "memory.peak": [megabytes("VmHWM")]}


def embed(spec: Spec) -> Values:
    path = Path(spec["model"])
    model = _gpt4all.Embed4All(path.name, model_path=path.parent, allow_download=False, n_threads=spec["threads"])
    return embed_values(spec, model.embed)


if __name__ == "__main__":
    sys.exit(main({"generation": generation, "prompt": prompt, "load": load, "memory": memory, "embed": embed}))
