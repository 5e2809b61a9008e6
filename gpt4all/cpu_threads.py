"""How many threads suit this machine and this process."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

_CPU_ROOT = Path("/sys/devices/system/cpu")
_CGROUP_ROOT = Path("/sys/fs/cgroup")


def default_thread_count(cpu_root: Path = _CPU_ROOT, cgroup_root: Path = _CGROUP_ROOT) -> int:
    """Physical cores this process may use, at least 1.

    Bounded by the affinity mask and the cgroup's CPU quota. A core's second
    hardware thread adds nothing: the engine's kernels keep the core's units busy.
    """
    cpus = _usable_cpus()
    count = _physical_cores(cpus, cpu_root)
    quota = _cgroup_quota(cgroup_root)
    if quota is not None:
        count = min(count, max(1, math.floor(quota + 0.5)))
    return max(1, count)


def _usable_cpus() -> set[int]:
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical_cores(cpus: set[int], cpu_root: Path) -> int:
    cores = set()
    for cpu in cpus:
        try:
            siblings = (cpu_root / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text()
        except OSError:
            # No topology to read (macOS, Windows, some containers).
            return len(cpus)
        cores.add(siblings.strip())
    return len(cores)


def _cgroup_quota(cgroup_root: Path) -> float | None:
    """CPUs' worth of time granted by cgroup version 2 or 1, ``None`` for no limit."""
    try:
        quota, period = (cgroup_root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        limit = int((cgroup_root / "cpu" / "cpu.cfs_quota_us").read_text())
        return limit / int((cgroup_root / "cpu" / "cpu.cfs_period_us").read_text()) if limit > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
