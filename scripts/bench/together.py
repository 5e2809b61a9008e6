"""The measurements of several callers at once, and of a machine that others use too."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nativebuild.venvs import child_environment

from bench import llama_bench
from bench.children import Child, run_child, run_driver, spinning
from bench.models import test_model
from bench.results import (
    COMPUTED,
    COUNTS,
    LLAMA_BENCH,
    LLAMA_SERVER,
    OURS,
    OURS_CALLED,
    OURS_ONE_THREAD,
    SERVED_COUNTS,
    XLLAMACPP,
)
from bench.run import N_CTX, N_NEW, Bench, Row, Step, Values

__all__ = ["ROWS_TOGETHER", "mixed_plan"]

N_BATCH = 512
#: Long enough that no beginning is known, short enough that all are read in one step.
N_MANY_PROMPT = 16
N_SLOTS = 8
N_IDLE = 16
N_BUSY = 32
N_REQUESTS = 32
SPINNERS_PER_PROCESSOR = 2


@dataclass(frozen=True)
class _Model:
    """A model of these rows; its answers never end by themselves, so that everybody computes as many tokens."""

    key: str
    path: Path
    end_tokens: tuple[int, ...]

    def more(self, **others: Any) -> dict[str, Any]:
        return {"model": str(self.path), "end_tokens": self.end_tokens, **others}


def _models(bench: Bench) -> Iterator[_Model]:
    yield _Model("smollm2", bench.peers.model, (0, 2))
    yield _Model("gemma3", test_model("gemma3"), (1, 106))


def _ours(bench: Bench, spec: dict[str, Any]) -> tuple[Any, Child]:
    return run_driver(bench.ours.python, "together", spec, bench.ours.environment())


def _many(bench: Bench) -> Iterator[Step]:
    for model in _models(bench):
        prompts = bench.prompts([N_MANY_PROMPT] * COUNTS[-1], model=str(model.path))
        for count in COUNTS:
            key = f"many.{model.key}.{count}"
            spec = bench.spec("generation", key=key, n_parallel=count, prompts=prompts[:count], **model.more())
            yield Step(OURS, partial(_ours, bench, spec))
            yield Step(LLAMA_BENCH, partial(_batched_bench, bench, key, model.path, count))


def _batched_bench(bench: Bench, key: str, model: Path, count: int) -> tuple[Values, Child]:
    sizes = {"n_prompt": N_MANY_PROMPT, "n_gen": N_NEW, "count": count}
    command = llama_bench.batched_arguments(
        bench.peers.tools / "llama-batched-bench",
        model,
        threads=bench.threads,
        n_ctx=N_CTX,
        n_batch=N_BATCH,
        repetitions=bench.repeat,
        **sizes,
    )
    child = run_child(command, child_environment())
    return {key: llama_bench.batched_tokens_per_second(child.output, **sizes)}, child


def mixed_plan(seed: int = 13) -> list[dict[str, float | int]]:
    """When requests come (Poisson arrivals, two a second), how long their prompts are and their answers get."""
    draw = random.Random(seed)
    at = 0.0
    plan: list[dict[str, float | int]] = []
    for _ in range(N_REQUESTS):
        plan.append({"at": at, "n_prompt": draw.randint(16, 1024), "n_new": draw.randint(16, 256)})
        at += draw.expovariate(2.0)
    return plan


def _mixed(bench: Bench) -> Iterator[Step]:
    plan = mixed_plan()
    for model in _models(bench):
        prompts = bench.prompts([int(request["n_prompt"]) for request in plan], model=str(model.path))
        spec = bench.spec(
            "mixed",
            key=f"mixed.{model.key}",
            n_parallel=N_SLOTS,
            n_batch=N_BATCH,
            requests=[{**request, "prompt": prompt} for request, prompt in zip(plan, prompts, strict=True)],
            request={"temperature": 0, "repeat_penalty": 1.18, "repeat_last_n": 64, "ignore_eos": True},
            **model.more(),
        )
        yield Step(OURS, partial(_ours, bench, spec))
        yield Step(LLAMA_SERVER, partial(_llama_server, bench, spec))
        yield Step(XLLAMACPP, partial(_xllamacpp, bench, spec))


def _llama_server(bench: Bench, spec: dict[str, Any]) -> tuple[Values, Child]:
    command = [
        str(bench.peers.tools / "llama-server"),
        *("--model", spec["model"], "--threads", str(bench.threads), "--parallel", str(spec["n_parallel"])),
        *("--ctx-size", str(spec["n_parallel"] * N_CTX), "--batch-size", str(N_BATCH), "--ubatch-size", str(N_BATCH)),
        *("--flash-attn", "auto", "--no-kv-unified", "--threads-http", str(N_REQUESTS + 2)),
        *("--cache-ram", "0"),  # else it copies the context of every request that has ended
    ]
    return _through_http(bench, spec, command)


def _through_http(bench: Bench, spec: dict[str, Any], command: list[str]) -> tuple[Values, Child]:
    """The task, with a server that this command starts."""
    return run_driver(bench.ours.python, "llama_server", {**spec, "command": command}, bench.ours.environment())


def _xllamacpp(bench: Bench, spec: dict[str, Any]) -> tuple[Values, Child]:
    return run_driver(bench.peers.xllamacpp, "xllamacpp", spec, child_environment())


def _xllamacpp_server(bench: Bench, spec: dict[str, Any]) -> tuple[Values, Child]:
    loading = {key: spec[key] for key in ("model", "n_parallel", "n_ctx", "n_batch", "threads")}
    command = [str(bench.peers.xllamacpp), "-m", "bench.drivers.xllamacpp", json.dumps(loading)]
    return _through_http(bench, spec, command)


def _our_server(bench: Bench, spec: dict[str, Any]) -> tuple[Values, Child]:
    command = [
        *(str(bench.ours.python), "-m", "gpt4all", "serve", spec["model"], "--offline", "--device", "cpu"),
        *("--n-ctx", str(N_CTX), "--n-threads", str(bench.threads), "--parallel", str(spec["n_parallel"])),
    ]
    return _through_http(bench, spec, command)


def _served(bench: Bench) -> Iterator[Step]:
    for model in _models(bench):
        prompts = bench.prompts([N_MANY_PROMPT] * bench.repeat * SERVED_COUNTS[-1], model=str(model.path))
        requests = [{"at": 0, "prompt": prompt, "n_new": N_NEW} for prompt in prompts]
        for count in SERVED_COUNTS:
            spec = bench.spec(
                "served",
                key=f"served.{model.key}.{count}",
                n_parallel=count,
                n_batch=N_BATCH,
                rounds=[requests[count * index :][:count] for index in range(bench.repeat)],
                request={
                    "model": model.path.stem,
                    "temperature": 0,
                    "logit_bias": {str(token): -100 for token in model.end_tokens},
                },
                options={"repeat_penalty": 1.0},  # as of the servers
                **model.more(),
            )
            yield Step(OURS, partial(_our_server, bench, spec))
            yield Step(OURS_CALLED, partial(_ours, bench, spec))
            yield Step(LLAMA_SERVER, partial(_llama_server, bench, spec))
            yield Step(XLLAMACPP, partial(_xllamacpp_server, bench, spec))


def _question(bench: Bench) -> Iterator[Step]:
    repeat = 2 * bench.repeat
    for model in _models(bench):
        # The long ones take so many steps that the question is answered in the midst of them.
        lengths = [4000] * repeat + [20] * repeat
        texts = bench.prompts(lengths, model=str(model.path))
        spec = bench.spec(
            "question",
            key=f"question.{model.key}",
            n_ctx=2 * N_CTX,
            n_parallel=3,
            repeat=repeat,
            long_prompts=texts[:repeat],
            questions=texts[repeat:],
            **model.more(),
        )
        yield Step(OURS, partial(_ours, bench, spec))


def _busy(bench: Bench) -> Iterator[Step]:
    def amid_others(spec: dict[str, Any]) -> tuple[Values, Child]:
        with spinning(SPINNERS_PER_PROCESSOR * len(os.sched_getaffinity(0))) as others:
            values, child = bench.our(spec)
        return values, others.left_out(child)

    generation = bench.spec("generation", key="busy.generation", greedy=True, n_tokens=N_BUSY)
    prompts = bench.prompts([N_BATCH] * bench.repeat)
    prompt = bench.spec("prompt", key="busy.prompt", n_prompt=N_BATCH, prompts=prompts)
    texts = bench.spec("embed_each", key="busy.embed", model=str(test_model("minilm")), n_texts=N_BUSY)
    for spec in (generation, prompt, texts):
        yield Step(OURS, partial(amid_others, {**spec, "threads": None}))
        yield Step(OURS_ONE_THREAD, partial(amid_others, {**spec, "threads": 1}))


def _idle(bench: Bench) -> Iterator[Step]:
    def growth(task: str, model: _Model) -> tuple[Values, Child]:
        """What sixteen sequences take more than one does."""
        one, _ = _ours(bench, bench.spec(task, n_parallel=1, **model.more()))
        many, child = _ours(bench, bench.spec(task, n_parallel=N_IDLE, **model.more()))
        return {f"idle.{model.key}": [(many - one) / 1e6]}, child

    for model in _models(bench):
        yield Step(OURS, partial(growth, "sequences_used", model))
        yield Step(COMPUTED, partial(growth, "sequences_computed", model))


ROWS_TOGETHER: dict[str, Row] = {
    "many": _many,
    "mixed": _mixed,
    "served": _served,
    "question": _question,
    "busy": _busy,
    "idle": _idle,
}
