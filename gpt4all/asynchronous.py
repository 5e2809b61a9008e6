"""Generation for asyncio: awaited for the whole text, or iterated for its pieces.

A thread of its own waits where asyncio must not: for the model to be free, and
for each piece.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING

from gpt4all.streaming import BUFFERED_PIECES

if TYPE_CHECKING:
    from gpt4all.conversation import ChatTurn, PromptTurn
    from gpt4all.streaming import Run


class AsyncGeneration(AsyncIterator[str]):
    """What :meth:`gpt4all.GPT4All.agenerate` returns; used once, by ``await`` or by ``async for``.

    Nothing runs before that. Cancelling the task, or :meth:`aclose`, stops the
    engine within a token and never blocks the event loop. A cancelled call
    leaves a session's history as it was.
    """

    def __init__(self, start: Callable[[], Run], turn: ChatTurn | PromptTurn) -> None:
        self._start = start
        self._turn = turn
        self._pump: _Pump | None = None

    def __await__(self) -> Generator[object, None, str]:
        return self._text().__await__()

    async def _text(self) -> str:
        return "".join([piece async for piece in self])

    def __aiter__(self) -> AsyncGeneration:
        return self

    async def __anext__(self) -> str:
        if self._pump is None:
            self._pump = _Pump(self._start, self._turn, asyncio.get_running_loop())
            self._pump.thread.start()
        try:
            piece = await self._pump.next()
        except BaseException:
            # The call failed, or its task was cancelled. Before the engine stops, which would record the turn.
            self._turn.undo()
            self._pump.stop()
            raise
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Stops the engine; what has come so far counts as the answer."""
        if self._pump is not None:
            self._pump.stop()
            await self._pump.ended.wait()

    def __del__(self) -> None:
        if self._pump is not None:
            self._pump.stop()


class _Pump:
    """Carries pieces from a run to the event loop. Knows nothing of its owner, so that a forgotten one can end it."""

    def __init__(self, start: Callable[[], Run], turn: ChatTurn | PromptTurn, loop: asyncio.AbstractEventLoop) -> None:
        self._start = start
        self._turn = turn
        self._loop = loop
        self._news: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(BUFFERED_PIECES)
        self._stopped = threading.Event()
        self._run: Run | None = None
        self._done = False
        #: Set when the thread has finished with the engine.
        self.ended = asyncio.Event()
        self.thread = threading.Thread(target=self._main, name="gpt4all-async", daemon=True)

    async def next(self) -> str | None:
        if self._done:
            return None
        news = await self._news.get()
        if isinstance(news, str):
            self._room.release()
            return news
        self._done = True
        if news is not None:
            raise news
        return None

    def stop(self) -> None:
        self._stopped.set()
        self._room.release()
        if self._run is not None:
            self._run.cancel()

    def _main(self) -> None:
        seen: list[str] = []
        error: BaseException | None = None
        try:
            self._run = self._start()
            if self._stopped.is_set():
                self._run.cancel()
            for piece in self._run.pieces():
                self._room.acquire()
                if self._stopped.is_set():
                    break
                seen.append(piece)
                self._tell(piece)
        except BaseException as caught:
            error = caught
        finally:
            if self._run is not None:
                self._run.stop()
            if error is not None:
                self._turn.undo()
            elif self._stopped.is_set():
                self._turn.keep_only("".join(seen))
            self._tell(error)

    def _tell(self, news: str | BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._receive, news)
        except RuntimeError:
            # The event loop is closed; nobody listens any more.
            self._stopped.set()

    def _receive(self, news: str | BaseException | None) -> None:
        self._news.put_nowait(news)
        if not isinstance(news, str):
            self.ended.set()
