"""What main memory leaves to this process, from files as Linux has them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpt4all._native.device_memory import MemoryNeed
from gpt4all.devices.memory_fit import too_little_main_memory
from gpt4all.errors import ModelLoadError
from gpt4all.machine.main_memory import Room, rooms

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells by these files")

GIB = 1 << 30


def machine(root: Path, **files: str) -> Path:
    contents = {
        "proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\nSwapFree: 1048576 kB\n",
        **{name.replace("__", "/"): content for name, content in files.items()},
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def free(root: Path) -> list[int]:
    return [room.free for room in rooms(root) if room.where != "its limit of address space"]


def test_the_machine_counts_its_swap(tmp_path: Path) -> None:
    assert free(machine(tmp_path)) == [17 * GIB]


def test_nothing_to_be_known(tmp_path: Path) -> None:
    assert free(tmp_path) == []


def test_control_groups_of_version_2(tmp_path: Path) -> None:
    """The group's own limit and those around it, less what cached files take."""
    group = tmp_path / "sys/fs/cgroup/outer/inner"
    group.mkdir(parents=True)
    machine(
        tmp_path,
        proc__self__cgroup="0::/outer/inner\n",
        proc__self__mountinfo="30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    )
    for folder, limit in ((group, "max"), (group.parent, str(4 * GIB))):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(3 * GIB))
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {GIB}\nactive_file {GIB}\n")
    assert free(tmp_path) == [17 * GIB, 3 * GIB]


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/memory/jobs"
    group.mkdir(parents=True)
    machine(
        tmp_path,
        proc__self__cgroup="4:memory:/jobs\n",
        proc__self__mountinfo="31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    )
    (group / "memory.limit_in_bytes").write_text(str(2 * GIB))
    (group / "memory.usage_in_bytes").write_text(str(3 * GIB // 2))
    (group / "memory.stat").write_text("total_inactive_file 0\n")
    assert free(tmp_path) == [17 * GIB, GIB // 2]


def need(weights: int = 0, context: int = 0) -> MemoryNeed:
    return MemoryNeed(None, 3, weights, context, GIB, 0, 0)


def test_what_fits_and_what_does_not() -> None:
    room = Room(3 * GIB, "this machine")
    assert too_little_main_memory(need(GIB, GIB), [room], 9 * GIB, 512) is None
    error = too_little_main_memory(need(GIB, 2 * GIB), [Room(9 * GIB, "it"), room], 0, 512)
    assert error is not None
    assert (error.required, error.free) == (4 * GIB, 3 * GIB)
    for words in ("n_ctx=512", f"this machine leaves this process {3 * GIB} bytes", "(4.0 GiB) are needed"):
        assert words in str(error)


def test_a_mapped_file_takes_address_space() -> None:
    room = Room(3 * GIB, "its limit of address space", mapped_too=True)
    error = too_little_main_memory(need(0, GIB), [room], 2 * GIB, 512)
    assert error is not None
    assert error.required == 4 * GIB


@pytest.mark.parametrize(("n_parallel", "longest"), [(1, 1792), (4, 256)])
def test_what_would_fit_of_main_memory(n_parallel: int, longest: int) -> None:
    def measure(n_ctx: int, n_parallel: int) -> MemoryNeed:
        return need(GIB, n_ctx * n_parallel * 1024 * 1024)

    # Of the limit of address space, 1843 MiB are left beside weights, buffers and the mapped file.
    rooms = [Room(8 * GIB, "it"), Room(4 * GIB, "its limit", mapped_too=True)]
    error = too_little_main_memory(measure(5000, n_parallel), rooms, GIB // 5, 5000, n_parallel, measure)
    assert error is not None
    assert error.max_n_ctx == longest
    if n_parallel == 1:
        assert str(error).endswith(f"What would fit: n_ctx={longest}")
    else:
        assert str(error).endswith(f"What would fit: n_ctx={longest} with this n_parallel")
    error = too_little_main_memory(measure(1500, 4), rooms, GIB // 5, 1500, 4, measure)
    assert "or n_parallel=1 with this n_ctx" in str(error)


def test_no_context_fits_into_main_memory() -> None:
    def measure(n_ctx: int, n_parallel: int) -> MemoryNeed:
        if n_ctx > 1000:
            raise ModelLoadError("cannot be measured")
        return need(9 * GIB)

    error = too_little_main_memory(need(9 * GIB), [Room(GIB, "it")], 0, 512, 2, measure)
    assert error is not None
    assert error.max_n_ctx is None
    assert str(error).endswith("No context would fit")
