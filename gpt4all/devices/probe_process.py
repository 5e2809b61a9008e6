"""The child process in which GPU drivers are asked, with a time limit."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subprocess import Popen

#: Seconds for a whole answer. A driver that has to wake several GPUs takes some of them.
TIME_LIMIT = 30.0
# Seconds to read what a child has long written, while another one was waited for.
_HANDOVER = 1.0
#: Seconds that a killed child gets to vanish; one that sits in a driver's kernel part may never do.
PATIENCE = 10.0

# The child finds the same modules, whatever its own start-up would add or leave out.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:]; from gpt4all._native.drivers import report; report.main(sys.argv[1])"
)
_INTERPRETERS = ("python", "pypy", "graalpy")
#: How much of what a crashed driver wrote is passed on.
_LAST_LINES = 5

# Children that could not be killed, kept from being waited for.
_stuck: list[Popen[str]] = []


class DriverFailureError(Exception):
    """A driver crashed or did not answer."""


class CannotAskError(Exception):
    """No child process could be started."""


@contextmanager
def ask(backend: str) -> Iterator[Callable[[], Mapping[str, Any]]]:
    """Asks for the report of ``gpt4all._native.drivers.report`` on ``backend``.

    Gives a function that waits for it, so that several backends can be asked
    side by side, and ends the child on the way out. The function raises
    ``DriverFailureError`` where the child crashed or took too long.

    Raises:
        CannotAskError: there is no interpreter to run it.
    """
    # Slow to import, and most programs never get here.
    import subprocess

    command = _command(backend)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            # A session of its own, so that what a driver starts can be ended with it, and Ctrl-C is ours.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise CannotAskError(f"{command[0]} could not be started to ask the GPU drivers: {error}") from None
    deadline = time.monotonic() + TIME_LIMIT

    def report() -> Mapping[str, Any]:
        try:
            out, err = _wait(child, max(deadline - time.monotonic(), _HANDOVER))
        except subprocess.TimeoutExpired:
            raise DriverFailureError(
                f"the GPU drivers did not answer the {backend} backend within {TIME_LIMIT:g} seconds"
            ) from None
        return _report(backend, child.returncode, out, err)

    try:
        yield report
    finally:
        _end(child)


def _wait(child: Popen[str], seconds: float) -> tuple[str, str]:
    return child.communicate(timeout=seconds)


def _report(backend: str, code: int, out: str, err: str) -> Mapping[str, Any]:
    try:
        report = json.loads(out) if code == 0 else None
    except ValueError:
        report = None
    if isinstance(report, dict):
        return report
    written = "".join(f"\n    {line}" for line in err.strip().splitlines()[-_LAST_LINES:])
    raise DriverFailureError(
        f"the process that asked the GPU drivers for the {backend} backend {_how_it_ended(code)}"
        + (f", after writing{written}" if written else "")
    )


def _how_it_ended(code: int) -> str:
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with status {code}" if code < 256 else f"ended with status 0x{code:08X}"


def _end(child: Popen[str]) -> None:
    """Kills what is left of the child, without waiting for ever."""
    if child.poll() is None:
        if sys.platform == "win32":
            child.kill()
        else:
            # Not yet waited for, so the number is still the child's.
            os.killpg(child.pid, signal.SIGKILL)
        from subprocess import TimeoutExpired

        try:
            child.wait(PATIENCE)
        except TimeoutExpired:
            _stuck.append(child)
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _command(backend: str) -> list[str]:
    # Set by what gpt4all._pyinstaller adds to a program: started again with this argument, it answers and ends.
    argument = getattr(sys, "_gpt4all_answers", None)
    if argument is not None and not _is_told():
        return [sys.executable, argument, backend]
    return [_interpreter(), *_flags(), "-c", _PROGRAM, backend, *sys.path]


def _flags() -> list[str]:
    """What keeps this interpreter from the environment and from directories keeps the child from them."""
    flags = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site, "-S": sys.flags.no_site}
    return [flag for flag, is_set in flags.items() if is_set]


def _chosen() -> str:
    # Where programs that embed Python say which one to start.
    from multiprocessing import spawn

    return os.fsdecode(spawn.get_executable() or "")


def _is_told() -> bool:
    """Whether the program has named a Python that is not its own."""
    own = sys.executable or ""
    return bool(_chosen()) and _chosen() not in (own, getattr(sys, "_base_executable", own))


def _interpreter() -> str:
    """A Python to run: a program that contains one would start itself again."""
    chosen = _chosen()
    if not _is_told() and (getattr(sys, "frozen", False) or not Path(chosen).name.lower().startswith(_INTERPRETERS)):
        raise CannotAskError(
            "the GPU drivers are asked in a process of their own, and "
            + (f"{chosen} is no Python interpreter to start" if chosen else "sys.executable names no Python to start")
            + "; name one with multiprocessing.set_executable()"
        )
    return chosen
