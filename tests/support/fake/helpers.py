"""What the tests of the package on the fake backend share."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from gpt4all import GPT4All
from tests.support.fake.backend import Piece

#: Only for things that fail: nothing waits this long when all is well.
DEADLINE = 300.0

#: What the fake says when it is at a gate.
AT_GATE = "waiting for the cancel flag"


class LoadFake(Protocol):
    """What the ``loaded`` fixture gives."""

    def __call__(self, *steps: Piece, options: dict[str, Any] | None = None, **directives: Any) -> GPT4All: ...


class EngineLog(logging.Handler):
    """Keeps the lines of the ``gpt4all`` logger, and waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._coming: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._coming.put(self.lines[-1])

    def wait_for(self, text: str) -> str:
        """The next line that holds ``text``; each line is looked at once."""
        while True:
            line = self._coming.get(timeout=DEADLINE)
            if text in line:
                return line


class Task:
    """A call on a thread of its own, with its result or exception."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the call hangs"
        if self._error is not None:
            raise self._error
        return self._result


#: Those of models that are open longer than one test.
_others: set[threading.Thread] = set()


def _workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("GPT4All")}


def ignore_open_models() -> None:
    """Leaves the threads of models that are open now out of ``worker_threads``."""
    _others.clear()
    _others.update(_workers())


def worker_threads() -> list[str]:
    """Names of the package's threads that are alive: one for each model that the test opened."""
    return [thread.name for thread in _workers() - _others]


def is_idle(model: GPT4All) -> bool:
    """Whether no call of the model is under way."""
    return not model._loaded._worker._line


def wait_until(condition: Callable[[], bool]) -> None:
    """Polls, where nothing says that ``condition`` holds."""
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.001)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("the condition never came true")
