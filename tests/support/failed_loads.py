"""Fifty loads in a row that fail, in a process of their own, and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.fake.backend import ROOT

_PROGRAM = """
import resource, sys
from gpt4all import GPT4All, errors

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

path, device, n_ctx, expected = sys.argv[1], sys.argv[2], int(sys.argv[3]), getattr(errors, sys.argv[4])
stops = expected is errors.CancellationError
sizes = []
for _ in range(50):
    try:
        GPT4All(path, device=device, n_ctx=n_ctx, progress=lambda fraction: fraction < 0.5 or not stops)
    except expected:
        sizes.append(resident())
    else:
        sys.exit("a model that must not be loaded was")
with open("/proc/self/status") as file:
    threads = next(int(line.split()[1]) for line in file if line.startswith("Threads:"))
GPT4All(sys.argv[5], device=device, n_ctx=64).close()
# The smallest of some: what is freed late, by another thread, is no leak.
print(min(sizes[40:]) - min(sizes[1:11]), threads)
"""


def fifty_failed_loads(
    path: Path, *, error: type[Exception], good: Path, device: str = "cpu", n_ctx: int = 64
) -> tuple[int, int]:
    """By how many bytes the process grew after the second failure, and the threads that are left.

    Args:
        path: the model; where ``error`` is ``CancellationError``, its load is stopped in the middle.
        good: a model that has to load afterwards.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path), device, str(n_ctx), error.__name__, str(good)],
        # With more arenas, the allocator keeps now more, now less of what was freed.
        env={**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    growth, threads = (int(word) for word in done.stdout.split())
    return growth, threads
