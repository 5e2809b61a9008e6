"""A model that does not fit into main memory is an error before anything of it is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.model, pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")]

_PROGRAM = """
import resource, sys
from gpt4all import GPT4All, errors
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    n_parallel = sys.argv[4] if sys.argv[4] == "auto" else int(sys.argv[4])
    model = GPT4All(sys.argv[1], n_ctx=int(sys.argv[2]), n_threads=1, n_parallel=n_parallel)
    model.generate("a", max_tokens=1)
    chosen = model._loaded.n_parallel
    model.close()
except errors.InsufficientMemoryError as error:
    print(error.required > error.free > 0, error)
else:
    print("loaded", chosen)
"""


def load(path: Path, n_ctx: int, limit: int, n_parallel: int | str = 1) -> str:
    command = [sys.executable, "-c", _PROGRAM, str(path), str(n_ctx), str(limit), str(n_parallel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("n_ctx", [1 << 20, 10**8, (1 << 31) - 1])
def test_a_context_beyond_the_limit(model_file: Callable[[str], Path], n_ctx: int) -> None:
    found = load(model_file("tiny-llama"), n_ctx, 1 << 30)
    assert found.startswith("True too little main memory")
    assert "its limit of address space leaves this process" in found
    (longest,) = re.findall(r"What would fit: n_ctx=(\d+)", found)
    assert load(model_file("tiny-llama"), int(longest) - 256, 1 << 30) == "loaded 1\n"


def test_many_contexts_that_are_small_each(model_file: Callable[[str], Path]) -> None:
    found = load(model_file("smollm2"), 1024, 4 << 30, 256)
    assert found.startswith("True too little main memory for n_parallel=256 contexts of n_ctx=1024")
    assert "A smaller n_parallel or n_ctx" in found
    assert re.search(r"What would fit: n_ctx=\d+ with this n_parallel or n_parallel=\d+ with this n_ctx", found)


def test_what_fits_is_loaded(model_file: Callable[[str], Path]) -> None:
    assert load(model_file("tiny-llama"), 64, 1 << 30) == "loaded 1\n"


@pytest.mark.parametrize(("limit", "n_parallel"), [(4 << 30, 4), (950_000_000, 2)])
def test_auto_is_what_fits(model_file: Callable[[str], Path], limit: int, n_parallel: int) -> None:
    """Four contexts of 8192 tokens take 750 MB."""
    assert load(model_file("smollm2"), 8192, limit, "auto") == f"loaded {n_parallel}\n"
