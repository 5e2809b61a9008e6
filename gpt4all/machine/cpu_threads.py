"""How many threads suit this machine and this process."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from gpt4all.machine import cgroups

_ROOT = Path("/")


def default_thread_count(root: Path = _ROOT) -> int:
    """Physical cores this process may use, at least 1.

    Bounded by the affinity mask and the CPU quota of the process's control groups. A core's second hardware thread
    adds nothing: the engine's kernels keep the core's units busy.
    """
    count = _physical_cores(_affinity(), root)
    quota = _cpu_quota(root)
    if quota is not None:
        count = min(count, math.floor(quota + 0.5))
    return max(1, count)


def usable_cpus(root: Path = _ROOT) -> int:
    """Threads that can run at once: hardware threads in the affinity mask, as far as the quota goes; at least 1."""
    count = len(_affinity())
    quota = _cpu_quota(root)
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def physical_cores(root: Path = _ROOT) -> int:
    """Cores in the affinity mask, whatever the quota."""
    return _physical_cores(_affinity(), root)


def cpu_features(root: Path = _ROOT) -> list[str]:
    """Instruction sets of the first processor that matter here, in Linux's names; ``[]`` elsewhere."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if (wanted := _FEATURES.get(name.strip())) is not None:
            return [flag for flag in value.split() if flag.startswith(wanted)]
    return []


#: What Linux calls the list, on x86 and on Arm, to how the names in it begin.
_FEATURES = {
    "flags": ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "gfni"),
    "Features": ("asimd", "sve", "sme", "i8mm", "bf16", "fphp", "neon"),
}


def _affinity() -> set[int]:
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical_cores(cpus: set[int], root: Path) -> int:
    if sys.platform != "linux":
        from gpt4all._native.processors import physical_cores

        return min(physical_cores() or len(cpus), len(cpus))
    cores = set()
    for cpu in cpus:
        try:
            siblings = (root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
        except OSError:  # no topology to read, in some containers
            return len(cpus)
        cores.add(siblings.strip())
    return len(cores)


def _cpu_quota(root: Path) -> float | None:
    """CPUs' worth of time that the process may take, ``None`` for no limit."""
    quotas = (_quota(version, folder) for version, folder in cgroups.folders("cpu", root))
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(version: int, folder: Path) -> float | None:
    try:
        if version == 2:
            allowed, period = (folder / "cpu.max").read_text().split()
        else:
            allowed = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(allowed) / int(period) if int(allowed) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None
