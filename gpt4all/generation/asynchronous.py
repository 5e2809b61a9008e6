"""Generation for asyncio: awaited for the whole text, or iterated for its pieces.

No thread waits for it: the model's own tells the event loop that there is something to take.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from queue import Empty
from typing import TYPE_CHECKING, Any

from gpt4all._native.outcome import Outcome
from gpt4all.errors import GenerationError

if TYPE_CHECKING:
    import asyncio

    from gpt4all.engine.runs import Run
    from gpt4all.generation.call import Call
else:
    # With the engine, which importing the package leaves out; type hints can be had all the same.
    Call = Any


class AsyncGeneration(AsyncIterator[str]):
    """What ``GPT4All.agenerate`` returns; used once, by ``await`` or by ``async for``.

    Nothing runs before that. Cancelling the task, or ``aclose``, stops the
    engine within a token and never blocks the event loop; a session's history
    then keeps the answer as far as it was seen. Awaiting and iterating raise what
    ``GPT4All.generate`` does, and a second use a ``GenerationError``.

    Example:
        >>> async def main():
        ...     answer = model.agenerate("The opposite of hot is", max_tokens=2, temp=0)
        ...     print(await answer)
        ...     print(answer.outcome.finish_reason)
        >>> asyncio.run(main())
         cold.
        length
    """

    #: Until it is made: Ctrl-C may come meanwhile, and then ``__del__`` has nothing to stop.
    _over = True

    def __init__(self, call: Call) -> None:
        import asyncio

        self._call = call
        self._run: Run | None = None
        self._news = asyncio.Event()
        #: Pieces of the round that is under way, where tools are called between rounds.
        self._seen: list[str] = []
        #: Whether pieces are told; of a text that is awaited, the event loop hears nothing before its end.
        self._streaming = True
        self._begun = False
        self._used = False
        self._waiting = False
        self._over = False

    @property
    def outcome(self) -> Outcome | None:
        """How this generation ended; ``None`` before, and where it ended with an error."""
        return self._call.outcome

    def __await__(self) -> Generator[object, None, str]:
        self._use()
        # Unless pieces were taken by hand.
        self._streaming = self._begun
        return self._text().__await__()

    async def _text(self) -> str:
        while await self._piece() is not None:
            pass
        return self._text_so_far()

    def __aiter__(self) -> AsyncGeneration:
        self._use()
        return self

    async def __anext__(self) -> str:
        piece = await self._piece()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _piece(self) -> str | None:
        """The next one; ``None`` is the end."""
        if self._waiting:
            raise GenerationError("this agenerate() object is being read by another task; call agenerate() for each")
        self._waiting = True
        try:
            piece = await self._next()
        except BaseException as error:
            self._used = True
            self._stop()
            if isinstance(error, StopAsyncIteration):
                # A callback's; it would look like the end.
                raise RuntimeError("a callback of agenerate() raised StopAsyncIteration") from error
            raise
        finally:
            self._waiting = False
        if piece is None:
            self._over = True
        else:
            self._seen.append(piece)
        return piece

    async def aclose(self) -> None:
        """Stops the engine and waits for that; what has come so far counts as the answer.

        Example:
            >>> async def main():
            ...     answer = model.agenerate("The capital of France is", temp=0)
            ...     async for piece in answer:
            ...         print(piece)
            ...         break
            ...     await answer.aclose()
            >>> asyncio.run(main())
             Paris
        """
        self._used = True
        self._stop()
        while self._run is not None and not self._run.has_ended():
            self._news.clear()
            if not self._run.has_ended():
                await self._news.wait()

    def __del__(self) -> None:
        try:
            self._stop()
        except KeyboardInterrupt:
            # Python would lose it here.
            from gpt4all.engine.workers import interrupt_again

            interrupt_again()

    def _use(self) -> None:
        if self._used:
            raise GenerationError("an agenerate() object gives its answer once; call agenerate() again")
        self._used = True

    async def _next(self) -> str | None:
        while not self._over:
            if self._run is None:
                self._run = self._new_run()
            self._news.clear()
            with contextlib.suppress(Empty):
                piece = self._run.take()
                if piece is not None:
                    return piece
                if not await self._call.advance_async():
                    return None
                self._seen, self._run = [], None
                continue
            await self._news.wait()
        return None

    def _text_so_far(self) -> str:
        """That of the round: what was taken piece by piece, or, where the text is awaited, what has been computed."""
        if self._streaming or self._run is None:
            return "".join(self._seen)
        return self._run.text_so_far()

    def _new_run(self) -> Run:
        import asyncio

        run = self._call.new_run(streaming=self._streaming, on_news=_notifier(asyncio.get_running_loop(), self._news))
        try:
            self._call.submit(run)
        except BaseException:
            run.drop()
            raise
        self._begun = True
        return run

    def _stop(self) -> None:
        if self._over:
            return
        self._over = True
        if self._begun:
            # As far as this, also for who still waits.
            self._seen, self._streaming = [self._text_so_far()], True
            self._call.exchange.keep(self._seen[0])
        if self._run is not None:
            self._run.drop()


def _notifier(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> Callable[[], None]:
    """Knows nothing of the generation, so that a forgotten one can end."""

    def notify() -> None:
        # An event loop that is closed refuses; then nobody listens any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(news.set)

    return notify
