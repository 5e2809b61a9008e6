"""What the drivers share. They run in the Python of the subject they measure, so: standard library only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Spec = Mapping[str, Any]
Values = dict[str, list[float]]


def main(tasks: Mapping[str, Callable[[Spec], Any]]) -> int:
    """Carries out the task that the JSON on standard input names, and prints its answer as JSON."""
    spec = json.load(sys.stdin)
    print(json.dumps(tasks[spec["task"]](spec)), flush=True)
    return 0


def memory_bytes(key: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def megabytes(key: str) -> float:
    return memory_bytes(key) / 1e6


def first_and_last(stream: Iterable[Any]) -> tuple[float, float, int]:
    """Reads a stream to its end; the times of its first item and its end, and the number of items."""
    first = None
    count = 0
    for _ in stream:
        if first is None:
            first = time.perf_counter()
        count += 1
    end = time.perf_counter()
    return first if first is not None else end, end, count


def repeated(spec: Spec, one: Callable[[int], float]) -> list[float]:
    return [one(index) for index in range(spec["repeat"])]
