"""Answers: told of as they come, several of one request in one stream, or awaited."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

from gpt4all._native.outcome import Outcome, TokenLogprob, ToolCallDelta
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.server.failures import ApiError
from gpt4all.server.metrics import Metrics

Kind = Literal["text", "reasoning", "call", "logprobs", "end"]
#: Takes, on the model's thread, a piece of an answer: its kind, and text, thinking, a piece of a call, or how likely
#: the next token was.
Tell = Callable[[Kind, "str | ToolCallDelta | TokenLogprob"], bool]
#: Begins an answer; with ``None`` nobody is told of its pieces.
Start = Callable[["Tell | None"], AsyncGeneration]


@dataclass(slots=True)  # frozen would take three times as long for each
class Event:
    """A piece of the answer ``index``, or its end, with its outcome.

    Attributes:
        logprobs: of the tokens that the piece is made of, where they are wanted; the rest of them at the end.
    """

    index: int
    kind: Kind
    text: str = ""
    call: ToolCallDelta | None = None
    outcome: Outcome | None = None
    logprobs: Sequence[TokenLogprob] = ()


class Answer(NamedTuple):
    """An answer that is complete."""

    outcome: Outcome
    text: str


async def events(
    starts: Sequence[Start], at_once: int, seconds: float, metrics: Metrics
) -> AsyncGenerator[Event, None]:
    """All that the answers say, as it comes; ``aclose`` stops them.

    Raises:
        ApiError: they took longer than ``seconds``.
        GPT4AllError, ValueError: what the first that fails raises.
    """
    # In the order in which they came, from whatever thread.
    news: deque[Event | BaseException] = deque()
    is_news = asyncio.Event()
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(at_once)
    is_waking = False
    untold: list[deque[TokenLogprob]] = [deque() for _ in starts]

    def put(one: Event | BaseException) -> None:
        nonlocal is_waking
        news.append(one)
        # Waking the event loop costs as much as all else here, so it is done once for all that waits.
        if not is_waking:
            is_waking = True
            # A loop that is closed has no reader.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(is_news.set)

    async def run(index: int, start: Start) -> None:
        n_told = 0

        def tell(kind: Kind, piece: str | ToolCallDelta | TokenLogprob) -> bool:
            nonlocal n_told
            if isinstance(piece, dict):
                untold[index].append(piece)
            elif isinstance(piece, str):
                put(Event(index, kind, piece))
                n_told += len(piece) if kind == "text" else 0
            else:
                put(Event(index, kind, call=piece))
            return True

        try:
            outcome, text = await _answer(start, tell, gate, metrics)
        except Exception as error:
            put(error)
            return
        if rest := text[n_told:]:  # which no token brought
            put(Event(index, "text", rest))
        put(Event(index, "end", outcome=outcome))

    # One timer for all: a wait_for for each piece would cost as much as waking the loop.
    timer = loop.call_later(seconds, put, _late(seconds))
    async with _tasks(run(index, start) for index, start in enumerate(starts)) as tasks:
        try:
            left = len(tasks)
            while left:
                await is_news.wait()
                # First this: what comes after the last look wakes the loop again.
                is_news.clear()
                is_waking = False
                while news and left:  # a timer that ends now ends nothing any more
                    event = news.popleft()
                    if isinstance(event, BaseException):
                        raise event
                    left -= event.kind == "end"
                    waiting = untold[event.index]
                    yield replace(event, logprobs=_tokens_of(event, waiting)) if waiting else event
        finally:
            timer.cancel()


def _tokens_of(event: Event, waiting: deque[TokenLogprob]) -> list[TokenLogprob]:
    """Takes the tokens that make up the event's text; they were told before it, and maybe others with them."""
    text = event.text if event.call is None else event.call.arguments
    left, tokens = len(text.encode()), []
    while waiting and (left > 0 or event.kind == "end"):
        tokens.append(waiting.popleft())
        left -= len(tokens[-1]["bytes"])
    return tokens


def callbacks(tell: Tell | None, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those that tell of an answer's text, and of its tokens where ``arguments`` want them; none for nobody."""
    if tell is None:
        return {}
    told: dict[str, Any] = {"callback": lambda _, piece: not piece or tell("text", piece)}
    if arguments.get("logprobs") is not None:
        told["logprobs_callback"] = partial(tell, "logprobs")
    return told


async def answers(starts: Sequence[Start], at_once: int, seconds: float, metrics: Metrics) -> list[Answer]:
    """Waits for all of them.

    Raises:
        ApiError: they took longer than ``seconds``.
        GPT4AllError, ValueError: what the first that fails raises.
    """
    gate = asyncio.Semaphore(at_once)
    async with _tasks(_answer(start, None, gate, metrics) for start in starts) as tasks:
        done, open_ones = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        found = {task: task.result() for task in done}
        if open_ones:
            raise _late(seconds)
        return [found[task] for task in tasks]


async def _answer(start: Start, tell: Tell | None, gate: asyncio.Semaphore, metrics: Metrics) -> Answer:
    async with gate:
        answer = start(tell)
        try:
            text = await answer
        finally:
            await answer.aclose()
            if answer.outcome is not None:
                metrics.add_generation(answer.outcome)
    assert answer.outcome is not None
    return Answer(answer.outcome, text)


@contextlib.asynccontextmanager
async def _tasks(works: Iterable[Coroutine[Any, Any, Any]]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Runs them together, and ends those that still run."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _late(seconds: float) -> ApiError:
    return ApiError(504, f"the answer took longer than {seconds:g} seconds", code="timeout")
