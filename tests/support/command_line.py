"""Runs ``gpt4all`` commands: with pipes, or in a pseudo-terminal where a test types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Only for commands that hang: nothing takes this long when all is well.
DEADLINE = 300.0

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z~]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x1b\][^\x07]*\x07")


@dataclass(frozen=True)
class Ended:
    """How a command ended and all that it wrote."""

    status: int
    out: str
    err: str


def command_line(*words: object) -> list[str]:
    return [sys.executable, "-m", "gpt4all", *map(str, words)]


def run(*words: object, environment: Mapping[str, str], stdin: str | bytes | None = None) -> Ended:
    """Runs a command with pipes; without ``stdin`` there is no input."""
    # An empty pipe would be input, too.
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": _bytes(stdin)}
    done = subprocess.run(command_line(*words), env=dict(environment), timeout=DEADLINE, capture_output=True, **given)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class Terminal:
    """A command in a pseudo-terminal. Output is read until what is waited for has come."""

    def __init__(self, *words: object, environment: Mapping[str, str], columns: int = 80, rows: int = 24) -> None:
        self.screen = ""
        #: With all escape sequences.
        self.raw = ""
        self._seen = 0
        self._main, other = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.process = subprocess.Popen(
            command_line(*words),
            env=dict(environment),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            # The terminal is that of the session: Ctrl-C in it becomes a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        )
        os.close(other)

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            os.killpg(self.process.pid, signal.SIGWINCH)

    def type(self, keys: str) -> None:
        """Writes keys; Enter is ``\\r``, Ctrl-C ``\\x03``, Ctrl-D ``\\x04``."""
        os.write(self._main, keys.encode())

    def wait_for(self, text: str) -> str:
        """Reads until ``text`` has come since the last wait; gives what came up to its end."""
        while (at := self.screen.find(text, self._seen)) < 0:
            if not self._read():
                raise AssertionError(f"the command ended before {text!r}:\n{self.screen}")
        start, self._seen = self._seen, at + len(text)
        return self.screen[start : self._seen]

    def interrupt(self, text: str) -> None:
        """Presses Ctrl-C until ``text`` comes, as people do: just before a read, one is lost."""
        for _ in range(int(DEADLINE)):
            self.type("\x03")
            while select.select([self._main], [], [], 1)[0]:
                if not self._read():
                    raise AssertionError(f"the command ended before {text!r}:\n{self.screen}")
                if self.screen.find(text, self._seen) >= 0:
                    self.wait_for(text)
                    return
        raise AssertionError(f"Ctrl-C does nothing:\n{self.screen}")

    def end(self) -> int:
        """Reads to the end; gives the exit status."""
        while self._read():
            pass
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
        os.close(self._main)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._main], [], [], DEADLINE)
        if not ready:
            raise AssertionError(f"nothing comes any more:\n{self.screen}")
        try:
            data = os.read(self._main, 65536)
        except OSError:  # what Linux says when the other end is closed
            return False
        # All of it again: a sequence may come in two parts.
        self.raw += data.decode("utf-8", "replace")
        self.screen = _ESCAPES.sub("", self.raw.replace("\r", ""))
        return bool(data)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
