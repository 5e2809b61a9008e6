"""Speed beside llama-bench of the same engine, both in turns: only the ratio within a run counts."""

from __future__ import annotations

import json
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gpucheck.checks import Subject

__all__ = ["Speeds", "measure"]

N_PROMPT = 512
N_GENERATE = 128


@dataclass(frozen=True)
class Speeds:
    """Medians in tokens per second."""

    prompt: float
    generation: float
    bench_prompt: float
    bench_generation: float

    def lines(self) -> list[str]:
        rows = (
            (f"prompt of {N_PROMPT} tokens", self.prompt, self.bench_prompt),
            (f"generation of {N_GENERATE} tokens", self.generation, self.bench_generation),
        )
        form = "{}: {:.0f} tokens/s, llama-bench {:.0f}, ratio {:.3f}"
        return [form.format(what, here, there, here / there) for what, here, there in rows]


def measure(subject: Subject, bench: Path, rounds: int) -> Speeds:
    """``rounds`` of each, one after the other."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with subject.load(n_ctx=1024) as model:
        prompt = model.detokenize(list(range(1000, 1000 + N_PROMPT)))
        model.generate(prompt, max_tokens=4, temp=0)  # the first use compiles and allocates
        for number in range(rounds):
            theirs.append(_bench(subject, bench))
            # Another beginning each time: a known prefix would not be computed again.
            for _ in model.generate(f"{number} {prompt}", max_tokens=N_GENERATE, temp=0, streaming=True):
                pass
            seen = model.last_generation
            assert seen is not None
            ours.append((seen.prompt_tokens / seen.prompt_seconds, seen.completion_tokens / seen.completion_seconds))
    prompts, generations = (statistics.median(column) for column in zip(*ours, strict=True))
    bench_prompts, bench_generations = (statistics.median(column) for column in zip(*theirs, strict=True))
    return Speeds(prompts, generations, bench_prompts, bench_generations)


def _bench(subject: Subject, bench: Path) -> tuple[float, float]:
    how = ["-ngl", "99", "-p", str(N_PROMPT), "-n", str(N_GENERATE), "-r", "1", "-o", "json"]
    command = [str(bench), "-m", str(subject.model), *how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    by_kind = {bool(row["n_gen"]): float(row["avg_ts"]) for row in rows}
    return by_kind[False], by_kind[True]
