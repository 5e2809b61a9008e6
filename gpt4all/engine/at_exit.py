"""What is open when Python ends, and how it ends: models are closed and their threads stopped while they still can."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from gpt4all._native.backend import Backend

#: Seconds that the exit waits for a callback that does not return.
EXIT_PATIENCE = 5.0

exiting = False
# Who is listed here imports this module, so their types are not named.
workers: dict[int, Any] = {}
# Keyed by id: unlike those of a WeakSet, its references can be listed while other threads add some.
open_models: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
#: The process that loads models with each.
backends_in_use: dict[Backend, int] = {}


def end_thread_if_exiting() -> None:
    """Ends a daemon thread that calls while the interpreter exits.

    Its models are closed by then. An error would be printed for nobody to
    read, and a text cut short could pass for a whole one.
    """
    if exiting and threading.current_thread() is not threading.main_thread():
        raise SystemExit


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Where the caller is the main thread, the only one that Ctrl-C comes to."""
    import signal

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        # None: a handler that Python knows nothing of.
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _stop_workers() -> None:
    """Ends all work, as far as its callbacks return, and begins no more."""
    global exiting
    exiting = True
    mine = [worker for worker in list(workers.values()) if worker._pid == os.getpid()]
    for worker in mine:
        worker.end()
        for job in worker.under_way():
            job.model_closes()
    deadline = time.monotonic() + EXIT_PATIENCE
    for worker in mine:
        worker.join(max(0.0, deadline - time.monotonic()))


# A second Ctrl-C would end the wait, and a thread that comes back from the engine into an interpreter that is gone ends
# the process with SIGABRT.
@interrupts_ignored()
def _close_all() -> None:
    models = [model for reference in open_models.valuerefs() if (model := reference()) is not None]
    for model in models:
        # From here on, daemon threads that call end without a sound.
        model._closed = True
    _stop_workers()
    for model in models:
        # A callback that never returns keeps its model.
        if model._worker.is_over():
            model._free()
    for backend, pid in backends_in_use.items():
        if pid == os.getpid():
            backend.silence()


# Runs while threads still do, so that no native call is left when the interpreter is torn down.
atexit.register(_close_all)
