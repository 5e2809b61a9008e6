"""The measurements: for each row of the table, which subject runs what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nativebuild.report import run_quietly
from nativebuild.venvs import child_environment

from bench import llama_bench
from bench.children import Child, run_child, run_driver
from bench.fakes import fake_backend, fake_model
from bench.peers import Peers, embedding_peer
from bench.results import (
    GPT4ALL_OLD,
    GPT4ALL_OLD_128,
    LLAMA_BENCH,
    LLAMA_CPP_PYTHON,
    OURS,
    SENTENCE_TRANSFORMERS,
)
from bench.subject import Subject

__all__ = ["ROWS", "Bench", "Step"]

_ROOT = Path(__file__).resolve().parents[2]

N_NEW = 128
N_PROMPT = 512
N_LONG_PROMPT = 1920
N_CTX = 2048
STORY = "Once upon a time, in a small village by the sea, there lived"

Values = dict[str, list[float]]


@dataclass(frozen=True)
class Step:
    """One subject's part of one round."""

    subject: str
    measure: Callable[[], tuple[Values, Child]]


@dataclass
class Bench:
    """Everything the rows need to know."""

    ours: Subject
    peers: Peers
    threads: int
    repeat: int = 3
    round: int = 0
    _prompts: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def spec(self, task: str, **more: Any) -> dict[str, Any]:
        return {
            "task": task,
            "model": str(self.peers.model),
            "threads": self.threads,
            "n_ctx": N_CTX,
            "repeat": self.repeat,
            "prompt": STORY,
            "n_tokens": N_NEW,
            **more,
        }

    def prompts(self, n_prompt: int, count: int) -> list[str]:
        """New texts for every round, the same ones for every subject."""
        key = (n_prompt, self.round)
        if key not in self._prompts:
            spec = self.spec("prompts", n_prompt=n_prompt, count=count, seed=self.round)
            answer, _ = run_driver(self.ours.python, "ours", spec, self.ours.environment())
            self._prompts[key] = answer
        return self._prompts[key]

    def our(self, spec: Mapping[str, Any], **variables: str) -> tuple[Values, Child]:
        return run_driver(self.ours.python, "ours", spec, self.ours.environment(**variables))

    def old(self, spec: Mapping[str, Any]) -> tuple[Values, Child]:
        return run_driver(self.peers.gpt4all_old, "gpt4all_old", spec, child_environment())

    def python_peer(self, spec: Mapping[str, Any]) -> tuple[Values, Child]:
        return run_driver(self.peers.llama_cpp_python, "llama_cpp_python", spec, child_environment())

    def llama_bench(self, key: str, n_prompt: int, n_gen: int) -> tuple[Values, Child]:
        sizes = {"n_prompt": n_prompt, "n_gen": n_gen}
        command = llama_bench.arguments(
            self.peers.llama_bench, self.peers.model, threads=self.threads, repetitions=self.repeat, **sizes
        )
        child = run_child(command, child_environment())
        return {key: llama_bench.tokens_per_second(child.output, **sizes)}, child

    def probe(self, n_prompt: int, n_tokens: int) -> tuple[dict[str, float], Child]:
        numbers = [N_CTX, 512, self.threads, n_prompt, n_tokens]
        child = run_child([self.peers.load_probe, self.peers.model, *map(str, numbers)], child_environment())
        return json.loads(child.output), child


def _generation(bench: Bench) -> Iterator[Step]:
    for key, greedy in (("generation.greedy", True), ("generation.sampled", False)):
        spec = bench.spec("generation", greedy=greedy)
        yield Step(OURS, partial(bench.our, spec))
        yield Step(LLAMA_BENCH, partial(bench.llama_bench, key, 0, N_NEW))
        yield Step(LLAMA_CPP_PYTHON, partial(bench.python_peer, spec))
        yield Step(GPT4ALL_OLD, partial(bench.old, spec))


def _prompt(bench: Bench) -> Iterator[Step]:
    spec = bench.spec("prompt", n_prompt=N_PROMPT, prompts=bench.prompts(N_PROMPT, bench.repeat))
    yield Step(OURS, lambda: bench.our(spec))
    yield Step(LLAMA_BENCH, lambda: bench.llama_bench("prompt", N_PROMPT, 0))
    yield Step(LLAMA_CPP_PYTHON, lambda: bench.python_peer(spec))
    yield Step(GPT4ALL_OLD, lambda: bench.old(spec))
    yield Step(GPT4ALL_OLD_128, lambda: bench.old({**spec, "n_batch": 128}))


def _import(bench: Bench) -> Iterator[Step]:
    def step(subject: str, python: Path, module: str, env: dict[str, str]) -> Step:
        def measure() -> tuple[Values, Child]:
            samples = []
            for _ in range(3 * bench.repeat):
                bare = run_child([python, "-c", "pass"], env)
                child = run_child([python, "-c", f"import {module}"], env)
                samples.append(1e3 * (child.wall_seconds - bare.wall_seconds))
            return {"import": samples}, child

        return Step(subject, measure)

    yield step(OURS, bench.ours.python, "gpt4all", bench.ours.environment())
    yield step(LLAMA_CPP_PYTHON, bench.peers.llama_cpp_python, "llama_cpp", child_environment())
    yield step(GPT4ALL_OLD, bench.peers.gpt4all_old, "gpt4all", child_environment())


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

    spec = bench.spec("memory", n_prompt=N_PROMPT, prompts=bench.prompts(N_PROMPT, bench.repeat))
    yield Step(OURS, lambda: bench.our(spec))
    yield Step(LLAMA_BENCH, probe)
    yield Step(LLAMA_CPP_PYTHON, lambda: bench.python_peer(spec))
    yield Step(GPT4ALL_OLD, lambda: bench.old(spec))


def _stop(bench: Bench) -> Iterator[Step]:
    repeat = 4 * bench.repeat
    texts = bench.prompts(N_LONG_PROMPT, repeat + 1)
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
    embedder, python = embedding_peer()
    spec = bench.spec("embed", model=str(embedder), count=256, count_single=48, seed=bench.round)
    yield Step(OURS, lambda: bench.our(spec))
    yield Step(SENTENCE_TRANSFORMERS, lambda: run_driver(python, "sentence_transformers", spec, child_environment()))
    yield Step(GPT4ALL_OLD, lambda: bench.old({**spec, "repeat": 1}))


def _stress(bench: Bench) -> Iterator[Step]:
    if bench.round > 0:
        return  # minutes each, and what grows does so in one round
    # A small model, so that a leak is a large share of the whole.
    command: list[str | Path] = [bench.peers.gguf_python, _ROOT / "scripts" / "test_models", "--only", "tiny-llama-bpe"]
    made = run_quietly(command, env=child_environment())
    tiny = Path(made.stdout.strip().splitlines()[-1])
    generate = bench.spec("stress.generate", model=str(tiny), count=10_000, n_ctx=128, threads=1)
    yield Step(OURS, lambda: bench.our(generate))
    yield Step(OURS, lambda: bench.our(bench.spec("stress.load", count=500)))


ROWS: dict[str, Callable[[Bench], Iterator[Step]]] = {
    "generation": _generation,
    "prompt": _prompt,
    "import": _import,
    "load": _load,
    "memory": _memory,
    "stop": _stop,
    "token-overhead": _token_overhead,
    "embed": _embed,
    "stress": _stress,
}
