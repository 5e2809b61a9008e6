"""From a C callback to strings and generators."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gpt4all.turns import Turn
from gpt4all.workers import Worker, end_thread_if_exiting

if TYPE_CHECKING:
    from gpt4all._native.backend import CancelFlag, OnToken, Outcome
    from gpt4all.options import ResponseCallback

#: Pieces computed ahead of a slow consumer before the engine waits for it.
BUFFERED_PIECES = 256


class Run(Turn, Worker):
    """One generation, from taking its turn to its last piece.

    A stream's callback runs on the worker thread, ahead of the consumer. The
    callback of a call that returns a text runs on the calling thread, as it
    did in 2.8: it may use what belongs to that thread.

    Args:
        work: makes the native call with the token callback it is given.
        cancel: stops that call.
        callback: the caller's own, or ``None``.
        finished: called on the worker thread with this run and its outcome,
            ``None`` if there is none, before the end is reported; it ends the turn.
        streaming: whether :meth:`pieces` will be read, or :meth:`text`.
    """

    def __init__(
        self,
        work: Callable[[OnToken], Outcome],
        cancel: CancelFlag,
        callback: ResponseCallback | None,
        finished: Callable[[Run, Outcome | None], None],
        *,
        streaming: bool,
    ) -> None:
        Turn.__init__(self)
        Worker.__init__(self, "gpt4all-generate")
        self._make_call = work
        self._cancel = cancel
        self._callback = callback
        self._finished = finished
        self._streaming = streaming
        self._bounded = streaming
        self._texts: list[str] = []
        # Released to let a worker look again whether there is room.
        self._room = threading.Lock()
        self._room.acquire()

    def on_own_thread(self) -> bool:
        # A stream's reader is free to do other things between two pieces; who waits for a text is not.
        reader_waits = not (self._streaming and self.has_begun())
        return self._is_current_thread() or (reader_waits and super().on_own_thread())

    def others_wait(self) -> None:
        """Stops waiting for the consumer: the rest of the answer goes to memory."""
        self._bounded = False
        self._look_for_room()

    def cancel(self) -> None:
        self._cancel.set()
        super().cancel()
        self._look_for_room()

    def pieces(self) -> Iterator[str]:
        """Pieces as they come; at the end raises what the worker met."""
        while (piece := self._next()) is not None:
            self._look_for_room()
            yield piece
        self._end()

    def text(self) -> str:
        """Waits for the end and returns the whole text."""
        while (event := self._next()) is not None:
            self._answers.put(self._call_back(*event))
        self._end()
        return "".join(self._texts)

    def _end(self) -> None:
        if self._cancel.is_set():
            end_thread_if_exiting()
        self._raise_error()

    def _work(self) -> None:
        outcome = None
        try:
            outcome = self._make_call(self._on_token)
        finally:
            self._finished(self, outcome)

    def _on_token(self, token: int, data: bytes) -> bool:
        piece = data.decode("utf-8", "replace")
        if self._callback is None:
            go_on = True
        elif self._streaming:
            go_on = self._call_back(token, piece)
        else:
            go_on = self._ask((token, piece))
        if piece:
            self._keep(piece)
        return go_on

    def _call_back(self, token: int, piece: str) -> bool:
        assert self._callback is not None
        return self._callback(token, piece) is not False

    def _keep(self, piece: str) -> None:
        if not self._streaming:
            self._texts.append(piece)
            return
        self._news.put(piece)
        while self._bounded and self._news.qsize() >= BUFFERED_PIECES and not self._cancel.is_set():
            self._room.acquire()

    def _look_for_room(self) -> None:
        if self._room.locked():
            # Another thread may be faster, which is as good.
            with contextlib.suppress(RuntimeError):
                self._room.release()
