"""Ctrl-C at every place: a ``KeyboardInterrupt`` raised wherever Python looks for signals in some files, one at a time.

That is where a function begins, after a call, and where a loop goes back.
"""

from __future__ import annotations

import contextlib
import dis
import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.fake.helpers import Task

ROOT = Path(__file__).resolve().parents[2]


def at_every_place(files: tuple[str, ...], call: Callable[[], object], check: Callable[[bool], None]) -> int:
    """Makes ``call`` again and again, each time interrupted at a later place, until it ends before that.

    ``check`` is called after each, with whether a ``KeyboardInterrupt`` came out. Returns how many places there were.
    On threads of their own: an exception out of a trace function can leave the thread's exception state in disorder.
    """
    # A file that was renamed would have no places, which nobody would miss.
    there = {path.name for folder in ("gpt4all", "tests") for path in (ROOT / folder).rglob("*.py")}
    assert set(files) <= there
    number = 0
    with _no_collection():
        while True:
            number += 1
            tracer = _Tracer(files, number)
            interrupted = Task(partial(tracer.run, call)).result()
            check(interrupted)
            if not tracer.struck:
                return number - 1


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps what earlier tests left: an exception in a finalizer is swallowed, and confuses tracing."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Tracer:
    def __init__(self, files: tuple[str, ...], number: int) -> None:
        self._files = files
        self._left = number
        self._before: dict[FrameType, str] = {}
        #: Whether the place was reached.
        self.struck = False

    def run(self, call: Callable[[], object]) -> bool:
        sys.settrace(self._trace)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
            self._before.clear()
        return False

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        # Out of __del__ Python lets no exception.
        if not frame.f_code.co_filename.endswith(self._files) or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        if event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            before, self._before[frame] = self._before.get(frame, ""), name
        if event == "call" or (event == "opcode" and before.startswith(("CALL", "JUMP_BACKWARD"))):
            self._left -= 1
            if self._left == 0:
                self.struck = True
                raise KeyboardInterrupt
        return self._trace
