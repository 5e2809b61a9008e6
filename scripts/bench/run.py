"""What a run knows, and one subject's part of a round."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nativebuild.venvs import child_environment

from bench import llama_bench
from bench.children import Child, run_child, run_driver
from bench.peers import Peers
from bench.results import NATIVE, OURS
from bench.subject import Subject

__all__ = ["N_CTX", "N_NEW", "Bench", "Row", "Step", "Values"]

N_NEW = 128
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
    native: Subject | None = None
    """What a wheel is compared with: the same source, built for this processor."""
    repeat: int = 3
    round: int = 0
    _prompts: dict[tuple[str, tuple[int, ...], int], list[str]] = field(default_factory=dict)

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

    def prompts(self, lengths: Sequence[int], **more: Any) -> list[str]:
        """Texts of so many tokens each: new ones for every round, the same for every subject."""
        spec = self.spec("prompts", lengths=lengths, seed=self.round, **more)
        key = (spec["model"], tuple(lengths), self.round)
        if key not in self._prompts:
            answer, _ = run_driver(self.ours.python, "ours", spec, self.ours.environment())
            self._prompts[key] = answer
        return self._prompts[key]

    def our(self, spec: Mapping[str, Any], **variables: str) -> tuple[Values, Child]:
        return run_driver(self.ours.python, "ours", spec, self.ours.environment(**variables))

    def ours_and_native(self, spec: Mapping[str, Any]) -> Iterator[Step]:
        yield Step(OURS, partial(self.our, spec))
        if self.native is not None:
            arguments = (self.native.python, "ours", spec, self.native.environment())
            yield Step(NATIVE, partial(run_driver, *arguments))

    def old(self, spec: Mapping[str, Any]) -> tuple[Values, Child]:
        return run_driver(self.peers.gpt4all_old, "gpt4all_old", spec, child_environment())

    def python_peer(self, spec: Mapping[str, Any]) -> tuple[Values, Child]:
        return run_driver(self.peers.llama_cpp_python, "llama_cpp_python", spec, child_environment())

    def llama_bench(
        self,
        key: str,
        n_prompt: int,
        n_gen: int,
        *,
        model: Path | None = None,
        threads: int | None = None,
        n_batch: int = 512,
        repetitions: int | None = None,
    ) -> tuple[Values, Child]:
        sizes = {"n_prompt": n_prompt, "n_gen": n_gen}
        command = llama_bench.arguments(
            self.peers.tools / "llama-bench",
            model or self.peers.model,
            threads=threads or self.threads,
            n_batch=n_batch,
            repetitions=repetitions or self.repeat,
            **sizes,
        )
        child = run_child(command, child_environment())
        return {key: llama_bench.tokens_per_second(child.output, **sizes)}, child

    def probe(self, n_prompt: int, n_tokens: int) -> tuple[dict[str, float], Child]:
        numbers = [N_CTX, 512, self.threads, n_prompt, n_tokens]
        child = run_child([self.peers.tools / "load_probe", self.peers.model, *map(str, numbers)], child_environment())
        return json.loads(child.output), child


#: The steps of one round.
Row = Callable[[Bench], Iterator[Step]]
