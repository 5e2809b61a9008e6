"""Native work on threads of its own.

Ctrl-C only reaches Python code that the main thread runs. Inside a native call
it waits, and inside a callback of ctypes it is printed and lost. So a long
native call runs on a worker thread, and whoever asked for it waits here, in
Python, from where it can stop the call.

Queues of type ``SimpleQueue`` carry everything between the two: signal handlers
and finalizers may run in the middle of any method, and these queues hold no
lock that they could meet.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from gpt4all.errors import GenerationError
from gpt4all.turns import WAIT_SLICE

#: Seconds that the interpreter's exit waits for a callback that does not return.
EXIT_PATIENCE = 5.0

FORKED = (
    "the model was loaded before this process was forked, and its threads stayed in the parent; "
    "load it in the child, or start workers with multiprocessing's 'spawn' method"
)

_running: dict[int, Worker] = {}
_exiting = False


class Worker:
    """One piece of work on a thread of its own, begun once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = os.getpid()
        self._begun = threading.Lock()
        self._thread: threading.Thread | None = None
        #: What the worker tells the thread that waits; ``None`` is the end.
        self._news: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Starts the thread; whoever this interrupts calls :meth:`abandon`."""
        end_thread_if_exiting()
        # A daemon, because a forgotten stream must not keep the interpreter
        # alive; stop_all ends it at exit.
        self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
        _running[id(self)] = self
        self._thread.start()

    def has_begun(self) -> bool:
        return self._begun.locked()

    def abandon(self) -> bool:
        """After a failed start: ends the work if it has begun, or makes sure that it never does and is ``True``."""
        if self._begun.acquire(blocking=False):
            _running.pop(id(self), None)
            return True
        self.stop()
        return False

    def cancel(self) -> None:
        """Asks the work to end soon, without waiting for it. Callable from any thread, more than once."""
        self._answers.put(False)

    def stop(self) -> None:
        """Cancels and waits for the end."""
        if os.getpid() != self._pid:
            # The thread stayed in the parent, and so did whoever would release a lock.
            return
        self.cancel()
        if not self._is_current_thread():
            self.join()
            # A traceback nobody wants any more would hold this object.
            self._error = None

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the end of the thread; returns whether it came."""
        thread = self._thread
        if thread is None or thread.ident is None:
            # Not started, and by the time anyone waits, never to be.
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _work(self) -> None:
        """The work itself, on the worker thread."""
        raise NotImplementedError

    def _ask(self, question: object) -> bool:
        """Hands ``question`` to the thread that waits and returns its answer, or ``False`` when cancelled."""
        self._news.put(question)
        return self._answers.get()

    def _next(self) -> Any:
        """What the worker says next, ``None`` when it has ended."""
        while True:
            if os.getpid() != self._pid:
                raise GenerationError(FORKED)
            try:
                return self._news.get(timeout=WAIT_SLICE)
            except Empty:
                continue

    def _raise_error(self) -> None:
        """Raises what ended the work, if anything did."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                # The traceback holds this frame; without this, a cycle.
                del error

    def _is_current_thread(self) -> bool:
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def _main(self) -> None:
        if not self._begun.acquire(blocking=False):
            # Stopped before it began.
            return
        try:
            self._work()
        except BaseException as error:
            self._error = error
        finally:
            _running.pop(id(self), None)
            self._news.put(None)


class _Errand(Worker):
    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__("gpt4all-errand")
        self._function = function

    def _work(self) -> None:
        self._function()

    def wait(self) -> None:
        self._next()
        self._raise_error()


def call_where_no_signal_comes(function: Callable[[], None]) -> None:
    """Makes a short native call that may log, and returns after its end even when interrupted."""
    if _exiting or threading.current_thread() is not threading.main_thread():
        function()
        return
    errand = _Errand(function)
    try:
        errand.start()
    except BaseException:
        errand.abandon()
        raise
    try:
        errand.wait()
    finally:
        errand.stop()


def end_thread_if_exiting() -> None:
    """Ends a daemon thread that calls while the interpreter exits.

    Its models are closed by then. An error would be printed for nobody to
    read, and a text cut short could pass for a whole one.
    """
    if _exiting and threading.current_thread() is not threading.main_thread():
        raise SystemExit


def stop_all() -> None:
    """For the interpreter's exit: ends all work, as far as its callbacks return, and begins no more."""
    global _exiting
    _exiting = True
    mine = [worker for worker in list(_running.values()) if worker._pid == os.getpid()]
    for worker in mine:
        worker.cancel()
    deadline = time.monotonic() + EXIT_PATIENCE
    for worker in mine:
        worker.join(max(0.0, deadline - time.monotonic()))
