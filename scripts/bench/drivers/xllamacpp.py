"""Measures xllamacpp, in an environment of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from bench.drivers.common import Spec, Values, main
from bench.drivers.mixed_load import Ask, mixed_load, throughput


def _load(spec: Spec) -> Any:
    library: Any = importlib.import_module("xllamacpp")
    params = library.CommonParams()
    params.model.path = spec["model"]
    params.n_gpu_layers = 0
    params.n_parallel = spec["n_parallel"]
    params.n_ctx = spec["n_parallel"] * spec["n_ctx"]
    params.kv_unified = False
    params.n_batch = params.n_ubatch = spec["n_batch"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = spec["threads"]
    params.cache_ram_mib = 0  # else it copies the context of every request that has ended
    return library.Server(params)


def mixed(spec: Spec) -> Values:
    return mixed_load(spec["key"], spec["requests"], _ask(spec))


def served(spec: Spec) -> Values:
    """Tokens per second of callers that ask at the same time, without HTTP between."""
    return throughput(spec["key"], spec["rounds"], _ask(spec))


def _ask(spec: Spec) -> Ask:
    server = _load(spec)

    def ask(prompt: str, n_new: int, on_first: Callable[[], None]) -> int:
        chunks: list[Any] = []

        def on_chunk(chunk: Any) -> bool:
            if not chunks:
                on_first()
            chunks.append(chunk)
            return False  # True would stop it

        server.handle_completions(
            {**spec["request"], "prompt": prompt, "max_tokens": n_new, "n_predict": n_new, "stream": True}, on_chunk
        )
        if not chunks or "usage" not in chunks[-1]:
            raise ValueError(f"xllamacpp gave no answer: {chunks[-1:]}")
        return int(chunks[-1]["usage"]["completion_tokens"])

    return ask


if __name__ == "__main__":
    sys.exit(main({"mixed": mixed, "served": served}))
