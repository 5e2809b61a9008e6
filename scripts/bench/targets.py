"""The figures to reach, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.results import (
    COMPUTED,
    COUNTS,
    GPT4ALL_OLD,
    LLAMA_BENCH,
    LLAMA_CPP_PYTHON,
    LLAMA_SERVER,
    MODELS_TOGETHER,
    NATIVE,
    OURS_CALLED,
    OURS_ONE_THREAD,
    QUANTITIES,
    SENTENCE_TRANSFORMERS,
    SERVED_COUNTS,
    XLLAMACPP,
    Results,
)

__all__ = ["TARGETS", "Target", "Verdict", "judge"]


@dataclass(frozen=True)
class Target:
    """A bound on a quantity of ours, or on its ratio to a peer's."""

    key: str
    at_least: bool
    limit: float
    peer: str | None = None

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.peer is not None:
            return f"{sign} {self.limit:g} × {self.peer}"
        return f"{sign} {self.limit:g} {QUANTITIES[self.key].unit}"


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured; ``measured`` is ``None`` where a side is missing."""

    target: Target
    measured: float | None

    @property
    def missed(self) -> bool:
        if self.measured is None:
            return False
        if self.target.at_least:
            return self.measured < self.target.limit
        return self.measured > self.target.limit

    @property
    def word(self) -> str:
        if self.measured is None:
            return "not measured"
        return "MISSED" if self.missed else "ok"


def _together() -> Iterator[Target]:
    for key in MODELS_TOGETHER:
        for count in COUNTS:
            yield Target(f"many.{key}.{count}", True, 0.95, LLAMA_BENCH)
        for count in SERVED_COUNTS:
            for peer in (LLAMA_SERVER, XLLAMACPP):
                yield Target(f"served.{key}.{count}", True, 1, peer)
            yield Target(f"served.{key}.{count}", True, 0.97, OURS_CALLED)
        for peer in (LLAMA_SERVER, XLLAMACPP):
            for figure in ("total", "first", "first.p95"):
                yield Target(f"mixed.{key}.{figure}", False, 1, peer)
        yield Target(f"question.{key}", False, 3)
        yield Target(f"idle.{key}", True, 0.97, COMPUTED)
        yield Target(f"idle.{key}", False, 1.03, COMPUTED)
    yield Target("busy.generation", True, 0.7, OURS_ONE_THREAD)
    yield Target("busy.prompt", True, 0.7, OURS_ONE_THREAD)
    yield Target("busy.embed", True, 0.7, OURS_ONE_THREAD)


#: Where a wheel is measured beside the native build.
_NATIVE_KEYS = ("generation.greedy", "generation.sampled", "prompt", "embed", "embed.single")

TARGETS = (
    Target("generation.greedy", True, 0.97, LLAMA_BENCH),
    Target("generation.greedy", True, 1.7, GPT4ALL_OLD),
    Target("generation.greedy", True, 1.3, LLAMA_CPP_PYTHON),
    Target("generation.sampled", True, 0.97, LLAMA_BENCH),
    Target("generation.sampled", True, 1.7, GPT4ALL_OLD),
    Target("generation.sampled", True, 1.3, LLAMA_CPP_PYTHON),
    Target("prompt", True, 0.97, LLAMA_BENCH),
    Target("prompt", True, 3.5, GPT4ALL_OLD),
    Target("import", False, 60),
    Target("load", False, 1.2, LLAMA_BENCH),
    Target("memory.loaded", False, 1.15, LLAMA_BENCH),
    Target("memory.peak", False, 1.15, LLAMA_BENCH),
    Target("stop.stream", False, 1),
    Target("stop.prompt", False, 1),
    Target("overhead.fake", False, 30),
    Target("overhead.paced", False, 30),
    Target("overhead.real", False, 30),
    Target("embed", True, 1.5, SENTENCE_TRANSFORMERS),
    Target("embed", True, 12, GPT4ALL_OLD),
    Target("embed.single", True, 2, GPT4ALL_OLD),
    *(Target(key, True, 0.97, NATIVE) for key in _NATIVE_KEYS),
    *_together(),
    Target("stress.generate", False, 1),
    Target("stress.load", False, 1),
)


def judge(results: Results) -> list[Verdict]:
    """A verdict for every target on a quantity that this run measured."""
    return [
        Verdict(target, results.value(target.key) if target.peer is None else results.ratio(target.key, target.peer))
        for target in TARGETS
        if target.key in results.samples and (target.peer != NATIVE or NATIVE in results.samples[target.key])
    ]
