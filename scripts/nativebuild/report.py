"""What the build says: one line per phase, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BuildError", "explained", "run_quietly", "say"]

_START = time.monotonic()
_HEARTBEAT_SECONDS = 15.0


class BuildError(Exception):
    """A failure the person at the keyboard can do something about."""

    def __init__(self, problem: str, *, advice: str = "", details: str = "") -> None:
        self.problem = problem
        self.advice = advice
        self.details = details
        super().__init__("\n".join(part for part in (details.rstrip(), problem, advice) if part))


@contextmanager
def explained() -> Iterator[None]:
    """Ends the process with the words of a failure alone; pip would bury them under the calls that led to it."""
    try:
        yield
    except BuildError as error:
        raise SystemExit(f"error: {error}") from None


def say(text: str) -> None:
    """Print one line with the time since the start, on stderr so that stdout stays free for results."""
    elapsed = int(time.monotonic() - _START)
    print(f"[{elapsed // 60}:{elapsed % 60:02d}] {text}", file=sys.stderr, flush=True)


def run_quietly(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    doing: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command with its output kept; ``doing`` is repeated now and then while it lasts."""
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(_HEARTBEAT_SECONDS):
            say(f"still {doing}")

    if doing:
        say(doing)
        threading.Thread(target=heartbeat, daemon=True).start()
    try:
        return subprocess.run(
            [str(part) for part in command],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    finally:
        done.set()
