"""Runs a subject in a process of its own, and tells how much of the machine others took meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nativebuild.report import BuildError

__all__ = ["Child", "Spinners", "busy_share", "run_child", "run_driver", "spinning", "wait_until_quiet"]

_PROC_STAT = Path("/proc/stat")
_QUIET_SHARE = 0.1
_SCRIPTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Child:
    """A finished process."""

    output: str
    wall_seconds: float
    others_share: float | None
    """Of all processor time while it ran, what went to other processes; ``None`` where the system does not tell."""


def run_child(
    command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None, text: str = ""
) -> Child:
    """Run to the end with ``text`` as its input; a failure is an error with what the process wrote to stderr."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(text.encode())
        stdin.seek(0)
        before, started = _processor_seconds(), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd or tempfile.gettempdir(),
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall, after = time.perf_counter() - started, _processor_seconds()
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        output, complaint = (stream.read().decode("utf-8", "replace") for stream in (stdout, stderr))
    if process.returncode != 0:
        raise BuildError(
            f"{' '.join(map(str, command[:2]))} ended with status {process.returncode}", details=complaint[-3000:]
        )
    return Child(output, wall, _others_share(before, after, usage.ru_utime + usage.ru_stime))


def run_driver(
    python: Path, driver: str, spec: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> tuple[Any, Child]:
    """Run one task of a module of ``drivers``; its answer is the last line it prints."""
    child = run_child([python, "-m", f"bench.drivers.{driver}"], env, _SCRIPTS, json.dumps(spec))
    lines = child.output.strip().splitlines()
    if not lines:
        raise BuildError(f"the driver {driver} printed no answer for the task {spec.get('task')!r}")
    return json.loads(lines[-1]), child


class Spinners:
    """Processes that do nothing but keep the processors busy."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """What they took of the processors, once they have ended."""

    def left_out(self, child: Child) -> Child:
        """A process that ran beside them, with the share of others that were not meant to be there."""
        if child.others_share is None:
            return child
        theirs = self.seconds / (child.wall_seconds * (os.cpu_count() or 1))
        return replace(child, others_share=max(0.0, child.others_share - theirs))


@contextmanager
def spinning(count: int) -> Iterator[Spinners]:
    """Keeps so many processes spinning until the end of the block."""
    spinners = Spinners()
    # They end by themselves where this process is killed.
    loop = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
    processes = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    try:
        yield spinners
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            spinners.seconds += usage.ru_utime + usage.ru_stime


def _processor_seconds() -> tuple[float, float] | None:
    """Busy and total seconds of all processors since the start of the system."""
    try:
        fields = [int(word) for word in _PROC_STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / tick, sum(fields) / tick


def _others_share(before: tuple[float, float] | None, after: tuple[float, float] | None, own: float) -> float | None:
    if before is None or after is None or after[1] <= before[1]:
        return None
    return max(0.0, after[0] - before[0] - own) / (after[1] - before[1])


def busy_share(seconds: float = 1.0) -> float | None:
    """How much of the machine is in use while we do nothing."""
    before = _processor_seconds()
    time.sleep(seconds)
    return _others_share(before, _processor_seconds(), 0.0)


def wait_until_quiet(seconds: float) -> float:
    """Wait until others leave the machine alone, at most that long; returns the seconds it took."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < seconds:
        busy = busy_share(min(1.0, max(0.1, seconds - waited)))
        if busy is None or busy < _QUIET_SHARE:
            break
        time.sleep(min(2.0, max(0.0, seconds - waited)))
    return time.monotonic() - started
