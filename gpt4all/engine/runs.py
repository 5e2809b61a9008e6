"""What is done on a model's thread for a caller: a generation, and a call for embeddings."""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gpt4all.engine.at_exit import end_thread_if_exiting
from gpt4all.engine.workers import CLOSED_MEANWHILE, Job
from gpt4all.errors import CancellationError

if TYPE_CHECKING:
    from gpt4all._native.backend import CancelFlag, OnBatch, Outcome
    from gpt4all.options import ResponseCallback

#: Pieces computed ahead of a slow consumer before the engine waits for it.
BUFFERED_PIECES = 256


class Output(Protocol):
    """Takes what a generation says, on the worker's thread."""

    def token(self, token: int, data: bytes) -> bool:
        """Takes one token, or -1 with text that no token brings; ``False`` stops."""

    def rest(self, piece: str) -> None:
        """Takes text at the end that no token brings."""


#: Makes the native call, and gives the output what that says.
Work = Callable[[Output, "CancelFlag"], "Outcome"]


class Run(Job):
    """One generation, from its place in the line to its last piece.

    A callback runs on the worker's thread, ahead of the consumer, but where a
    thread waits in ``text``: there it runs on that thread, as it did in 2.8,
    for it may use what belongs to it.

    Args:
        work: makes the native call and gives this run what it says.
        cancel: stops that call.
        callback: the caller's own, or ``None``.
        finished: called on the worker's thread with the outcome, if there is one.
        streaming: whether each piece is told, or only the end.
        on_news: called on any thread when ``take`` would find something: without streaming, the end only. Then no
            thread waits in ``text``.
    """

    is_parallel = True

    def __init__(
        self,
        work: Callable[[Output], Outcome],
        cancel: CancelFlag,
        callback: ResponseCallback | None,
        finished: Callable[[Outcome], None],
        *,
        streaming: bool,
        on_news: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._make_call = work
        self._cancel = cancel
        self._callback = callback
        self._finished = finished
        self._streaming = streaming
        self._on_news = on_news
        self._bounded = streaming
        self._model_closes = False
        self._cut_short = False
        self._texts: list[str] = []
        # Released to let a worker look again whether there is room.
        self._room = threading.Lock()
        self._room.acquire()

    def others_wait(self) -> None:
        """Stops waiting for the consumer: the rest of the answer goes to memory."""
        self._bounded = False
        self._look_for_room()

    def model_closes(self) -> None:
        self._model_closes = True
        super().model_closes()

    def refuse(self, error: BaseException) -> None:
        # Of a model that was closed; no thread at all is another matter.
        super().refuse(CancellationError(CLOSED_MEANWHILE) if isinstance(error, ValueError) else error)

    def cancel(self) -> None:
        self._cancel.set()
        super().cancel()
        self._look_for_room()

    def next_piece(self) -> str | None:
        """Waits for the next piece; ``None`` is the end, where it raises what the worker met."""
        return self._taken(self._next())

    def take(self) -> str | None:
        """As ``next_piece``, without waiting.

        Raises:
            queue.Empty: there is none yet.
        """
        return self._taken(self._news.get_nowait())

    def _taken(self, piece: str | None) -> str | None:
        if piece is None:
            self.check_end()
        else:
            self._look_for_room()
        return piece

    def text(self) -> str:
        """Waits for the end and returns the whole text."""
        self._waiter = threading.get_ident()
        try:
            while (event := self._next()) is not None:
                self._answers.put(self._answer(*event))
        finally:
            self._waiter = None
        self.check_end()
        return self.text_so_far()

    def text_so_far(self) -> str:
        """The text that a run without streaming has got by now."""
        return "".join(self._texts)

    def check_end(self) -> None:
        """Raises what ended a run too soon, if anything did."""
        if self._cancel.is_set():
            end_thread_if_exiting()
        if self._cut_short:
            raise CancellationError(CLOSED_MEANWHILE)
        self._raise_error()

    def _work(self) -> None:
        try:
            outcome = self._make_call(self)
        except CancellationError:
            self._cut_short = self._model_closes
            raise
        self._cut_short = self._model_closes and outcome.finish_reason == "cancelled"
        self._finished(outcome)

    def _forget(self) -> None:
        del self._make_call, self._finished

    def token(self, token: int, data: bytes) -> bool:
        piece = data.decode("utf-8", "replace")
        # What is left at the end is no token's; the callback has had all of them.
        if self._callback is None or token < 0:
            go_on = True
        elif self._streaming or self._on_news is not None:
            go_on = self._call_back(token, piece)
        else:
            go_on = self._ask((token, piece))
        self.rest(piece)
        return go_on

    def rest(self, piece: str) -> None:
        if not piece:
            return
        if not self._streaming:
            self._texts.append(piece)
            return
        self._tell(piece)
        while self._bounded and self._news.qsize() >= BUFFERED_PIECES and not self._cancel.is_set():
            self._room.acquire()

    def _tell(self, news: object) -> None:
        super()._tell(news)
        if self._on_news is not None:
            self._on_news()

    def _answer(self, token: int, piece: str) -> bool | BaseException:
        """What the callback says, or raises: that goes back to the worker and through the engine, as when streaming."""
        try:
            return self._call_back(token, piece)
        except BaseException as error:
            return error

    def _call_back(self, token: int, piece: str) -> bool:
        assert self._callback is not None
        return self._callback(token, piece) is not False

    def _look_for_room(self) -> None:
        if self._room.locked():
            # Another thread may be faster, which is as good.
            with contextlib.suppress(RuntimeError):
                self._room.release()


class EmbeddingRun(Job):
    """One native embedding call, from its place in the line to the vectors.

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
