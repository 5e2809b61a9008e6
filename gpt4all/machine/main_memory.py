"""How much main memory this process can still take before something ends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpt4all.machine import cgroups

_ROOT = Path("/")
#: Of a thread where there is no limit; the C libraries take as much, or less.
_USUAL_STACK = 8 << 20
#: By version of control groups: what a group may take, and what it has taken.
_GROUP_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}


@dataclass(frozen=True)
class Room:
    """Bytes that are left, and of what, for people.

    Attributes:
        mapped_too: whether the pages of a mapped file count, which the system can drop.
    """

    free: int
    where: str
    mapped_too: bool = False


def free_memory() -> int | None:
    """Bytes of main memory that this process may still take, ``None`` where unknown."""
    return min((room.free for room in rooms()), default=None)


def rooms(root: Path = _ROOT, *, n_threads: int = 0) -> list[Room]:
    """What the machine, each control group and the process's own limit leave; ``[]`` where none of it can be asked.

    Address space is what is left beside ``n_threads`` threads that are still to be started.
    """
    return [*_machine(root), *_groups(root), *_address_space(root, n_threads)] if sys.platform == "linux" else []


def _machine(root: Path) -> Iterator[Room]:
    numbers = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in numbers:
        yield Room(1024 * (numbers["MemAvailable:"] + numbers.get("SwapFree:", 0)), "this machine")


def _groups(root: Path) -> Iterator[Room]:
    for version, folder in cgroups.folders("memory", root):
        limit, used = _GROUP_FILES[version]
        try:
            free = int((folder / limit).read_text()) - int((folder / used).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        # The cached pages of files count as used, and make room when it is needed.
        statistics = _numbers(folder / "memory.stat")
        cached = statistics.get("total_inactive_file", statistics.get("inactive_file", 0))
        cached += statistics.get("total_active_file", statistics.get("active_file", 0))
        yield Room(max(free + cached, 0), "its control group")


def _address_space(root: Path, n_threads: int) -> Iterator[Room]:
    import resource  # not on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        pages = int((root / "proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    stacks = n_threads * (_USUAL_STACK if stack == resource.RLIM_INFINITY else stack)
    free = limit - pages * resource.getpagesize() - stacks
    yield Room(max(free, 0), "its limit of address space", mapped_too=True)


def _numbers(path: Path) -> dict[str, int]:
    """Files of lines with a name and a number."""
    numbers = {}
    try:
        for line in path.read_text().splitlines():
            name, value, *_ = line.split()
            numbers[name] = int(value)
    except (OSError, ValueError):
        pass
    return numbers
