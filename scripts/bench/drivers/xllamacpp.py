"""Measures xllamacpp, in an environment of its own; with arguments, serves it over HTTP as a program of its own."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from bench.drivers.common import Spec, Values, main
from bench.drivers.mixed_load import Ask, mixed_load


def _load(spec: Spec, port: int | None = None) -> Any:
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
    if port is not None:
        params.port = port
    return library.Server(params)


def mixed(spec: Spec) -> Values:
    return mixed_load(spec["key"], spec["requests"], _ask(spec))


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


def _serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=json.loads)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    server = _load(options.spec, options.port)  # noqa: F841 - serves as long as it is there
    threading.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _serve()
    sys.exit(main({"mixed": mixed}))
