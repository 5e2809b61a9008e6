"""Speed beside llama-bench of the same engine, both in turns: only the ratio within a run counts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gpt4all import GPT4All
from gpt4all._native.backend import load_backend
from gpucheck.checks import CheckFailedError, Subject

__all__ = ["Speeds", "measure"]

N_PROMPT = 512
N_GENERATE = 128
_SENTENCE = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep. "


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
    """``rounds`` of each, one after the other.

    Raises:
        CheckFailedError: one of them cannot be measured with this model.
    """
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with subject.load(n_ctx=2 * (N_PROMPT + N_GENERATE)) as model:
        index = model._loaded.info.device
        device = load_backend(subject.backend).device(-1 if index is None else index)
        if device is None:
            raise CheckFailedError(f"no layer is on {subject.device}")
        _ours(model, "warming up")  # the first use compiles and allocates
        for number in range(rounds):
            theirs.append(_bench(subject, device.name, bench))
            # Another beginning each time: a known prefix would not be computed again.
            ours.append(_ours(model, f"{number}."))
    prompts, generations = (statistics.median(column) for column in zip(*ours, strict=True))
    bench_prompts, bench_generations = (statistics.median(column) for column in zip(*theirs, strict=True))
    return Speeds(prompts, generations, bench_prompts, bench_generations)


def _ours(model: GPT4All, beginning: str) -> tuple[float, float]:
    text = f"{beginning} {_SENTENCE * N_PROMPT}"
    prompt = model.detokenize(model.tokenize(text)[:N_PROMPT])
    # The answer must not end by itself.
    end = model._loaded.info.token_eos
    bias = {end: -float("inf")} if end is not None else None
    for _ in model.generate(prompt, max_tokens=N_GENERATE, temp=0, streaming=True, stop=[], logit_bias=bias):
        pass
    seen = model.last_generation
    if seen is None or seen.completion_tokens < N_GENERATE or seen.cached_tokens > N_PROMPT // 8:
        raise CheckFailedError(f"not a whole prompt and answer were computed: {seen}")
    computed = seen.prompt_tokens - seen.cached_tokens
    return computed / seen.prompt_seconds, seen.completion_tokens / seen.completion_seconds


def _bench(subject: Subject, device: str, bench: Path) -> tuple[float, float]:
    # Without a device, it would spread the model over all of them.
    how = ["-dev", device, "-ngl", "99", "-p", str(N_PROMPT), "-n", str(N_GENERATE), "-r", "1", "-o", "json"]
    command = [str(bench), "-m", str(subject.model), *how]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CheckFailedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    by_kind = {bool(row["n_gen"]): float(row["avg_ts"]) for row in json.loads(done.stdout)}
    return by_kind[False], by_kind[True]


def _environment() -> dict[str, str]:
    """Lets the program find CUDA's libraries where this process found them, which may be in NVIDIA's wheels."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8", errors="replace").splitlines() if maps.exists() else []
    loaded = {Path(line.split(maxsplit=5)[5]) for line in lines if "/libcu" in line}
    folders = [*sorted({str(path.parent) for path in loaded}), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}
