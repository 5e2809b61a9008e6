"""How speed goes with the length of prompts and answers, with threads, batches and the size of the model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nativebuild.cache import cache_dir, lock

from bench.models import test_model
from bench.results import LLAMA_BENCH, OURS, SCALES
from bench.run import N_NEW, Bench, Step

__all__ = ["scaling"]

N_SCALED_PROMPT = 512


@dataclass(frozen=True)
class _Model:
    """A model, and the tokens that would end its answers."""

    path: Path
    end_tokens: tuple[int, ...]


def scaling(bench: Bench) -> Iterator[Step]:
    if bench.round > 0:
        return  # minutes; each sample is repeated within the round
    models = {
        135: _Model(bench.peers.model, (0, 2)),
        270: _Model(test_model("gemma3"), (1, 106)),
        1100: _Model(random_model("1.1b"), (2,)),
    }
    smollm2 = models[135]
    yield from _prompts(bench)
    for n_new in SCALES["answer"].values:
        yield from _generation(bench, f"scale.answer.{n_new}", smollm2, bench.threads, n_new)
    for threads in SCALES["threads"].values:
        if threads <= len(os.sched_getaffinity(0)):
            yield from _generation(bench, f"scale.threads.{threads}", smollm2, threads, N_NEW)
    for size in SCALES["model"].values:
        yield from _generation(bench, f"scale.model.{size}", models[size], bench.threads, N_NEW)


def random_model(shape: str) -> Path:
    """A model of random weights, for memory bandwidth alone; written once, 600 MB for 1.1 billion."""
    from testmodels.large import SHAPES, write_random

    path = cache_dir() / "bench" / f"random-{shape}.Q4_0.gguf"
    with lock("bench-random"):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            write_random(part, SHAPES[shape])
            part.replace(path)
    return path


def _prompts(bench: Bench) -> Iterator[Step]:
    def prompt(key: str, length: int, **more: Any) -> Step:
        repeat = 1 if length > 2048 else bench.repeat
        prompts = bench.prompts([length] * repeat, n_ctx=length + 64)
        spec = bench.spec(
            "prompt", key=key, n_prompt=length, prompts=prompts, repeat=repeat, n_ctx=max(length + 64, 1024), **more
        )
        return Step(OURS, partial(bench.our, spec))

    for length in SCALES["prompt"].values:
        yield prompt(f"scale.prompt.{length}", length)
        repetitions = 1 if length > 2048 else bench.repeat
        yield Step(
            LLAMA_BENCH, partial(bench.llama_bench, f"scale.prompt.{length}", length, 0, repetitions=repetitions)
        )
    for n_batch in SCALES["batch"].values:
        key = f"scale.batch.{n_batch}"
        yield prompt(key, N_SCALED_PROMPT, n_batch=n_batch)
        yield Step(LLAMA_BENCH, partial(bench.llama_bench, key, N_SCALED_PROMPT, 0, n_batch=n_batch))


def _generation(bench: Bench, key: str, model: _Model, threads: int, n_new: int) -> Iterator[Step]:
    repeat = 1 if n_new > 512 else bench.repeat
    spec = bench.spec(
        "generation",
        key=key,
        model=str(model.path),
        end_tokens=model.end_tokens,
        threads=threads,
        n_tokens=n_new,
        n_ctx=max(1024, n_new + 64),
        greedy=True,
        repeat=repeat,
    )
    yield Step(OURS, partial(bench.our, spec))
    yield Step(
        LLAMA_BENCH, partial(bench.llama_bench, key, 0, n_new, model=model.path, threads=threads, repetitions=repeat)
    )
