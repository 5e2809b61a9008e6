"""One native embedding call, which Ctrl-C and others can stop."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpt4all.engine.workers import Job, end_thread_if_exiting

if TYPE_CHECKING:
    from gpt4all._native.backend import CancelFlag, OnBatch


class EmbeddingRun(Job):
    """From its place in the line to the vectors.

    Args:
        work: makes the native call with the batch callback it is given.
        cancel: stops that call.
        on_batch: the caller's own, called on the calling thread; or ``None``.
    """

    def __init__(
        self, work: Callable[[OnBatch | None], array[float]], cancel: CancelFlag, on_batch: OnBatch | None
    ) -> None:
        super().__init__()
        self._make_call = work
        self._cancel = cancel
        self._on_batch = on_batch
        self._vectors: array[float] | None = None

    def cancel(self) -> None:
        self._cancel.set()
        super().cancel()

    def result(self) -> array[float]:
        """Waits for the vectors."""
        self._waiter = threading.get_ident()
        try:
            while (sizes := self._next()) is not None:
                assert self._on_batch is not None
                self._answers.put(self._on_batch(sizes))
        finally:
            self._waiter = None
        if self._cancel.is_set():
            end_thread_if_exiting()
        self._raise_error()
        vectors, self._vectors = self._vectors, None
        assert vectors is not None
        return vectors

    def _work(self) -> None:
        self._vectors = self._make_call(self._ask if self._on_batch is not None else None)

    def _forget(self) -> None:
        del self._make_call
