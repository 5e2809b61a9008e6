"""How many threads a model gets: cores, the affinity mask, and the quotas of control groups around a process."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4all._native import processors
from gpt4all.machine.cpu_threads import cpu_features, default_thread_count, physical_cores, usable_cpus
from gpt4all.options import check_thread_count

MACHINE_CPUS = 8
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups")

Machine = Callable[..., Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """``machine(cgroup, mountinfo, {file: content})`` has eight hardware threads on four cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(MACHINE_CPUS)))

    def make(cgroup: str = "", mounts: str = "", files: dict[str, str] | None = None) -> Path:
        topology = {
            f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}\n"
            for cpu in range(MACHINE_CPUS)
        }
        limits = {f"sys/fs/cgroup/{name}": content for name, content in (files or {}).items()}
        own = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts}
        for name, content in {**topology, **limits, **own}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return make


V1 = "33 32 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    folder = f"cpu,cpuacct/{folder}".rstrip("/")
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


def test_cores_without_a_limit(machine: Machine) -> None:
    assert (default_thread_count(machine()), usable_cpus(machine())) == (4, 8)


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "threads", "usable"),
    [
        ("0::/\n", V2.format(root="/"), {"cpu.max": "max 100000\n"}, 4, 8),
        ("0::/\n", V2.format(root="/"), {"cpu.max": "100000 100000\n"}, 1, 1),
        ("0::/\n", V2.format(root="/"), {"cpu.max": "150000 100000\n"}, 2, 2),
        ("0::/\n", V2.format(root="/"), {"cpu.max": "140000 100000\n"}, 1, 2),
        ("0::/\n", V2.format(root="/"), {"cpu.max": "1000 100000\n"}, 1, 1),
        ("0::/a/b\n", V2.format(root="/"), {"a/b/cpu.max": "200000 100000\n"}, 2, 2),
        # A group's parents hold for it as well.
        ("0::/a/b\n", V2.format(root="/"), {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2, 2),
        ("0::/a/b\n", V2.format(root="/"), {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "50000 50000\n"}, 1, 1),
        ("4:cpu,cpuacct:/\n", V1.format(root="/"), v1("", 200_000), 2, 2),
        ("4:cpu,cpuacct:/\n", V1.format(root="/"), v1("", -1), 4, 8),
        ("4:cpu,cpuacct:/a/b\n", V1.format(root="/"), v1("a/b", -1) | v1("a", 100_000), 1, 1),
        ("4:cpuacct,cpu:/a/b\n", V1.format(root="/"), v1("a/b", 30_000, 10_000) | v1("a", 500_000), 3, 3),
        # Containers see their own group as the root, by its name outside or by none.
        ("4:cpu,cpuacct:/docker/x\n", V1.format(root="/docker/x"), v1("", 200_000), 2, 2),
        ("4:cpu,cpuacct:/docker/x/in\n", V1.format(root="/docker/x"), v1("in", 200_000), 2, 2),
        ("4:cpu,cpuacct:/docker/x\n", V1.format(root="/elsewhere"), v1("", 200_000), 2, 2),
        ("4:cpu,cpuacct:/docker/x\n", V1.format(root="/"), v1("", 200_000), 2, 2),
        ("0::/../../up\n", V2.format(root="/"), {"cpu.max": "200000 100000\n"}, 2, 2),
        # Both versions at once: the CPU is in one of them.
        ("4:cpu:/\n0::/\n", V1.format(root="/") + V2.format(root="/"), v1("", 200_000), 2, 2),
        # Files that make no sense limit nothing.
        ("0::/\n", V2.format(root="/"), {"cpu.max": "many\n"}, 4, 8),
        ("0::/\n", V2.format(root="/"), {"cpu.max": "100000 0\n"}, 4, 8),
        ("0::/\n", "short\n - \n", {"cpu.max": "100000 100000\n"}, 4, 8),
        ("4:memory:/\n", V1.format(root="/"), v1("", 200_000), 4, 8),
    ],
)
def test_quotas(machine: Machine, cgroup: str, mounts: str, files: dict[str, str], threads: int, usable: int) -> None:
    root = machine(cgroup, mounts, files)
    assert (default_thread_count(root), usable_cpus(root)) == (threads, usable)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a control group")
def test_a_real_group() -> None:
    group = Path(f"/sys/fs/cgroup/cpu/gpt4all-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("no control group of version 1 that can be made")
    program = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()));"
        "from gpt4all.machine.cpu_threads import *; print(default_thread_count(), usable_cpus())"
    )
    try:
        command = [sys.executable, "-c", program, str(group / "cgroup.procs")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1 1\n"
    finally:
        group.rmdir()


def test_more_threads_than_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4all.options.usable_cpus", lambda: 2)
    with pytest.warns(UserWarning, match="n_threads=64, but only 2 can run at once"):
        assert check_thread_count(64) == 64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_thread_count(2) == 2
        assert check_thread_count(None) == default_thread_count()


@pytest.mark.parametrize(("told", "count"), [(4, 4), (None, 8), (99, 8)])
@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems(monkeypatch: pytest.MonkeyPatch, platform: str, told: int | None, count: int) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(processors, "physical_cores", lambda: told)
    assert default_thread_count() == count


def test_what_windows_tells() -> None:
    core = struct.pack("<II40x", 0, 48)
    assert processors.count_cores(core * 6) == 6
    assert processors.count_cores(core + struct.pack("<II", 2, 8) + core) == 2
    assert processors.count_cores(core + b"\0\0") == 1
    assert processors.count_cores(b"") == processors.count_cores(bytes(8)) - 1 == 0
    assert processors.physical_cores() is None


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 smep avx2 amx_int8\nflags\t\t: avx512f\n", ["sse2", "avx2", "amx_int8"]),
        ("Features\t: fp asimd evtstrm asimddp sve i8mm\n", ["asimd", "asimddp", "sve", "i8mm"]),
        ("isa\t: rv64gcv\n", []),
    ],
)
def test_features_of_the_processor(tmp_path: Path, cpuinfo: str, features: list[str]) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    assert cpu_features(tmp_path) == features


def test_features_where_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert cpu_features(tmp_path) == []


def test_a_quota_takes_no_cores_away(machine: Machine) -> None:
    root = machine("0::/\n", "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", {"cpu.max": "100000 100000"})
    assert (physical_cores(root), default_thread_count(root)) == (4, 1)
