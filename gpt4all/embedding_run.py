"""One native embedding call on a thread of its own, so that Ctrl-C and others can stop it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpt4all.turns import Turn
from gpt4all.workers import Worker, end_thread_if_exiting

if TYPE_CHECKING:
    from gpt4all._native.backend import CancelFlag, OnBatch


class EmbeddingRun(Turn, Worker):
    """From taking its turn to the vectors.

    Args:
        work: makes the native call with the batch callback it is given.
        cancel: stops that call.
        on_batch: the caller's own, called on the calling thread; or ``None``.
        finished: called on the worker thread with this run before its end is
            reported; it ends the turn.
    """

    def __init__(
        self,
        work: Callable[[OnBatch | None], array[float]],
        cancel: CancelFlag,
        on_batch: OnBatch | None,
        finished: Callable[[EmbeddingRun], None],
    ) -> None:
        Turn.__init__(self)
        Worker.__init__(self, "gpt4all-embed")
        self._make_call = work
        self._cancel = cancel
        self._on_batch = on_batch
        self._finished = finished
        self._vectors: array[float] | None = None

    def on_own_thread(self) -> bool:
        return self._is_current_thread() or super().on_own_thread()

    def cancel(self) -> None:
        self._cancel.set()
        super().cancel()

    def result(self) -> array[float]:
        """Waits for the vectors."""
        while (sizes := self._next()) is not None:
            assert self._on_batch is not None
            self._answers.put(self._on_batch(sizes))
        if self._cancel.is_set():
            end_thread_if_exiting()
        self._raise_error()
        vectors, self._vectors = self._vectors, None
        assert vectors is not None
        return vectors

    def _work(self) -> None:
        try:
            self._vectors = self._make_call(self._ask if self._on_batch is not None else None)
        finally:
            self._finished(self)
