"""Programs that use the package on the fake backend, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.support.fake.backend import ROOT

#: Only for programs that hang: nothing takes this long when all is well.
DEADLINE = 600.0

_BEGINNING = """
import logging, os, sys, threading
from gpt4all import GPT4All

PATHS = sys.argv[1:]

def ready():
    '''Tells the test that the program is where it should be.'''
    os.write(3, b"!")

class Gate(logging.Handler):
    '''Set when the engine waits for the cancel flag.'''
    def __init__(self):
        super().__init__()
        self.reached = threading.Event()
    def emit(self, record):
        if "waiting for the cancel flag" in record.getMessage():
            self.reached.set()

def gate():
    handler = Gate()
    logging.getLogger("gpt4all").addHandler(handler)
    logging.getLogger("gpt4all").setLevel(1)
    return handler.reached
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended and all that it wrote."""

    code: int
    out: str
    err: str


class Child:
    """A running program; ``send`` signals it once it has said that it is ``ready()``."""

    def __init__(self, program: str, *models: Path, python: tuple[str, ...] = ()) -> None:
        # What the test runner has on its path, and warnings that would be errors there are errors here.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        source = _BEGINNING + textwrap.dedent(program)
        self._ready, write_end = os.pipe()
        # As number 3 in the child, where the program finds it.
        start = f"import os; os.dup2({write_end}, 3); exec(compile({source!r}, 'program', 'exec'))"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", *python, "-c", start, *map(str, models)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            pass_fds=[write_end],
        )
        os.close(write_end)

    def wait_until_ready(self) -> None:
        assert os.read(self._ready, 1) == b"!", self.process.communicate(timeout=DEADLINE)[1]

    def send(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self) -> Ended:
        try:
            out, err = self.process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            # The fault handler tells where each thread hangs.
            self.process.send_signal(signal.SIGABRT)
            out, err = self.process.communicate()
            raise AssertionError(f"the program hangs\n{out}\n{err}") from None
        finally:
            os.close(self._ready)
        return Ended(self.process.returncode, out, err)


def run(program: str, *models: Path, python: tuple[str, ...] = ()) -> Ended:
    return Child(program, *models, python=python).end()
