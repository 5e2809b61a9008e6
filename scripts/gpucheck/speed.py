"""Speed beside llama-bench of the same engine, both in turns: only the ratio within a run counts."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from gpt4all import GPT4All
from gpt4all._native.backend import load_backend
from gpucheck.checks import CheckFailedError, Subject

__all__ = ["Speeds", "measure", "measure_together"]

N_PROMPT = 512
N_GENERATE = 128
#: How many generations are computed together, each of so many tokens after a prompt of so many.
TOGETHER = (1, 2, 4, 8, 16)
N_SHORT_PROMPT = 16
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
        device = _device_name(subject, model)
        _ours(model, "warming up")  # the first use compiles and allocates
        for number in range(rounds):
            theirs.append(_bench(subject, device, bench))
            # Another beginning each time: a known prefix would not be computed again.
            ours.append(_ours(model, f"{number}."))
    prompts, generations = (statistics.median(column) for column in zip(*ours, strict=True))
    bench_prompts, bench_generations = (statistics.median(column) for column in zip(*theirs, strict=True))
    return Speeds(prompts, generations, bench_prompts, bench_generations)


def measure_together(subject: Subject, bench: Path, rounds: int) -> list[str]:
    """New tokens a second in all, prompts included, beside llama-batched-bench; a line for each number of generations.

    Raises:
        CheckFailedError: it cannot be measured with this model.
    """
    ours: dict[int, list[float]] = {n: [] for n in TOGETHER}
    theirs: dict[int, list[float]] = {n: [] for n in TOGETHER}
    n_ctx = N_SHORT_PROMPT + N_GENERATE + 16
    with subject.load(n_ctx=n_ctx, n_parallel=max(TOGETHER)) as model:
        device = _device_name(subject, model)
        _ours_together(model, max(TOGETHER), "warming up")
        for number in range(rounds):
            for n, speed in _batched_bench(subject, device, bench).items():
                theirs[n].append(speed)
            for n in TOGETHER:
                ours[n].append(_ours_together(model, n, f"{number}"))
    form = "{} together: {:.0f} tokens/s, llama-batched-bench {:.0f}, ratio {:.3f}"
    medians = [(n, statistics.median(ours[n]), statistics.median(theirs[n])) for n in TOGETHER]
    return [form.format(n, here, there, here / there) for n, here, there in medians]


def _ours_together(model: GPT4All, n: int, beginning: str) -> float:
    words = model.tokenize(f"{_SENTENCE * 2}")[: N_SHORT_PROMPT - 6]
    prompts = [f"{chr(97 + number)}{n}{beginning} {model.detokenize(words)}" for number in range(n)]
    started = time.perf_counter()
    answers = model.generate_many(
        prompts, max_tokens=N_GENERATE, temp=0, stop=[], logit_bias=_no_end(model), progress=False
    )
    tokens = [answer.outcome.completion_tokens if answer.outcome else 0 for answer in answers]
    seconds = time.perf_counter() - started
    if tokens != [N_GENERATE] * n:
        raise CheckFailedError(f"not whole answers were computed: {tokens} tokens")
    return sum(tokens) / seconds


def _batched_bench(subject: Subject, device: str, bench: Path) -> dict[int, float]:
    numbers = ",".join(map(str, TOGETHER))
    n_ctx = max(TOGETHER) * (N_SHORT_PROMPT + N_GENERATE)
    how = ["-npp", str(N_SHORT_PROMPT), "-ntg", str(N_GENERATE), "-npl", numbers, "-c", str(n_ctx), "-fa", "auto"]
    command = [str(bench), "-m", str(subject.model), "-dev", device, "-ngl", "99", *how, "--output-format", "jsonl"]
    lines = _run(command).splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return {int(row["pl"]): row["pl"] * row["tg"] / row["t"] for row in rows}


def _no_end(model: GPT4All) -> dict[int, float] | None:
    """The answer must not end by itself."""
    end = model._loaded.info.token_eos
    return {end: -float("inf")} if end is not None else None


def _device_name(subject: Subject, model: GPT4All) -> str:
    index = model._loaded.info.device
    device = load_backend(subject.backend).device(-1 if index is None else index)
    if device is None:
        raise CheckFailedError(f"no layer is on {subject.device}")
    return device.name


def _ours(model: GPT4All, beginning: str) -> tuple[float, float]:
    text = f"{beginning} {_SENTENCE * N_PROMPT}"
    prompt = model.detokenize(model.tokenize(text)[:N_PROMPT])
    bias = _no_end(model)
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
    by_kind = {bool(row["n_gen"]): float(row["avg_ts"]) for row in json.loads(_run(command))}
    return by_kind[False], by_kind[True]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CheckFailedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Lets the program find CUDA's libraries where this process found them, which may be in NVIDIA's wheels."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8", errors="replace").splitlines() if maps.exists() else []
    loaded = {Path(line.split(maxsplit=5)[5]) for line in lines if "/libcu" in line}
    folders = [*sorted({str(path.parent) for path in loaded}), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}
