"""The measurements: for each row of the table, which subject runs what. Those of many callers are in ``together``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nativebuild.venvs import child_environment

from bench.children import Child, run_child, run_driver
from bench.fakes import fake_backend, fake_model
from bench.models import test_model
from bench.results import (
    GPT4ALL_OLD,
    GPT4ALL_OLD_128,
    LLAMA_BENCH,
    LLAMA_CPP_PYTHON,
    ONNX_RUNTIME,
    OURS,
    SENTENCE_TRANSFORMERS,
)
from bench.run import N_NEW, Bench, Row, Step, Values
from bench.scaling import scaling
from bench.together import ROWS_TOGETHER

__all__ = ["ROWS"]

N_PROMPT = 512
N_LONG_PROMPT = 1920


def _generation(bench: Bench) -> Iterator[Step]:
    for key, greedy in (("generation.greedy", True), ("generation.sampled", False)):
        spec = bench.spec("generation", greedy=greedy)
        yield from bench.ours_and_native(spec)
        yield Step(LLAMA_BENCH, partial(bench.llama_bench, key, 0, N_NEW))
        yield Step(LLAMA_CPP_PYTHON, partial(bench.python_peer, spec))
        yield Step(GPT4ALL_OLD, partial(bench.old, spec))


def _prompt(bench: Bench) -> Iterator[Step]:
    spec = bench.spec("prompt", n_prompt=N_PROMPT, prompts=bench.prompts([N_PROMPT] * bench.repeat))
    yield from bench.ours_and_native(spec)
    yield Step(LLAMA_BENCH, lambda: bench.llama_bench("prompt", N_PROMPT, 0))
    yield Step(LLAMA_CPP_PYTHON, lambda: bench.python_peer(spec))
    yield Step(GPT4ALL_OLD, lambda: bench.old(spec))
    yield Step(GPT4ALL_OLD_128, lambda: bench.old({**spec, "n_batch": 128}))


def _import(bench: Bench) -> Iterator[Step]:
    def step(subject: str, find: Callable[[], Path], module: str, env: dict[str, str]) -> Step:
        def measure() -> tuple[Values, Child]:
            samples, python = [], find()
            for _ in range(3 * bench.repeat):
                bare = run_child([python, "-c", "pass"], env)
                child = run_child([python, "-c", f"import {module}"], env)
                samples.append(1e3 * (child.wall_seconds - bare.wall_seconds))
            return {"import": samples}, child

        return Step(subject, measure)

    yield step(OURS, lambda: bench.ours.python, "gpt4all", bench.ours.environment())
    yield step(LLAMA_CPP_PYTHON, lambda: bench.peers.llama_cpp_python, "llama_cpp", child_environment())
    yield step(GPT4ALL_OLD, lambda: bench.peers.gpt4all_old, "gpt4all", child_environment())


def _load(bench: Bench) -> Iterator[Step]:
    bench.peers.model.read_bytes()  # into the page cache

    def probe() -> tuple[Values, Child]:
        answer, child = bench.probe(0, 0)
        return {"load": [1e3 * answer["load_seconds"]]}, child

    spec = bench.spec("load")
    for _ in range(bench.repeat):
        yield Step(OURS, lambda: bench.our(spec))
        yield Step(LLAMA_BENCH, probe)
        yield Step(LLAMA_CPP_PYTHON, lambda: bench.python_peer(spec))
        yield Step(GPT4ALL_OLD, lambda: bench.old(spec))


def _memory(bench: Bench) -> Iterator[Step]:
    def probe() -> tuple[Values, Child]:
        answer, child = bench.probe(N_PROMPT, N_NEW)
        return {"memory.loaded": [answer["rss_loaded"] / 1e6], "memory.peak": [answer["peak_rss"] / 1e6]}, child

    spec = bench.spec("memory", n_prompt=N_PROMPT, prompts=bench.prompts([N_PROMPT] * bench.repeat))
    yield Step(OURS, lambda: bench.our(spec))
    yield Step(LLAMA_BENCH, probe)
    yield Step(LLAMA_CPP_PYTHON, lambda: bench.python_peer(spec))
    yield Step(GPT4ALL_OLD, lambda: bench.old(spec))


def _stop(bench: Bench) -> Iterator[Step]:
    repeat = 4 * bench.repeat
    texts = bench.prompts([N_LONG_PROMPT] * (repeat + 1))
    spec = bench.spec("stop", long_prompts=texts, n_long_prompt=N_LONG_PROMPT, repeat=repeat)
    yield Step(OURS, lambda: bench.our(spec))


def _token_overhead(bench: Bench) -> Iterator[Step]:
    fake = fake_backend()
    endless, paced = fake_model("endless"), fake_model("paced", delay_us=1000)

    def faked(key: str, model: Path, n_tokens: int, repeat: int) -> Step:
        spec = bench.spec("overhead", key=key, model=str(model), n_tokens=n_tokens, repeat=repeat)
        return Step(OURS, lambda: bench.our(spec, GPT4ALL_BACKEND_PATH=str(fake)))

    yield faked("overhead.fake", endless, 100_000, 2)
    yield faked("overhead.paced", paced, 1000, 4)
    real = bench.spec("overhead", key="overhead.real", n_tokens=N_NEW, repeat=2 * bench.repeat)
    yield Step(OURS, lambda: bench.our(real))


def _embed(bench: Bench) -> Iterator[Step]:
    def peer(**more: Any) -> tuple[Values, Child]:
        specified = {**spec, **more}
        return run_driver(bench.peers.sentence_transformers, "sentence_transformers", specified, child_environment())

    spec = bench.spec("embed", model=str(test_model("minilm")), count=256, count_single=48, seed=bench.round)
    yield from bench.ours_and_native(spec)
    yield Step(SENTENCE_TRANSFORMERS, peer)
    yield Step(ONNX_RUNTIME, partial(peer, onnx=True))
    yield Step(GPT4ALL_OLD, lambda: bench.old({**spec, "repeat": 1}))


def _stress(bench: Bench) -> Iterator[Step]:
    if bench.round > 0:
        return  # minutes each, and what grows does so in one round
    # A small model, so that a leak is a large share of the whole.
    tiny = test_model("tiny-llama-bpe")
    generate = bench.spec("stress.generate", model=str(tiny), count=10_000, n_ctx=128, threads=1)
    yield Step(OURS, lambda: bench.our(generate))
    yield Step(OURS, lambda: bench.our(bench.spec("stress.load", count=500)))


ROWS: dict[str, Row] = {
    "generation": _generation,
    "prompt": _prompt,
    "import": _import,
    "load": _load,
    "memory": _memory,
    "stop": _stop,
    "token-overhead": _token_overhead,
    "embed": _embed,
    **ROWS_TOGETHER,
    "scaling": scaling,
    "stress": _stress,
}
