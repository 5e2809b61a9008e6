"""Answers as events: several of one request at once, in one stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gpt4all._native.outcome import Outcome, TokenLogprob, ToolCallDelta
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.server.failures import ApiError
from gpt4all.server.metrics import Metrics

#: Takes, on the model's thread, what is to keep its order: its kind, and text, thinking, a piece of a call, or how
#: likely the next token was.
Tell = Callable[["Kind", "str | ToolCallDelta | TokenLogprob"], bool]
#: Begins an answer.
Start = Callable[[Tell], AsyncGeneration]
Kind = Literal["text", "reasoning", "call", "logprobs", "end"]


@dataclass(frozen=True)
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


@dataclass
class Answer:
    """An answer that is complete."""

    outcome: Outcome
    text: str
    reasoning: str


@dataclass
class _Open:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)


async def events(
    starts: Sequence[Start], at_once: int, seconds: float, metrics: Metrics
) -> AsyncGenerator[Event, None]:
    """All that the answers say, as it comes; ``aclose`` stops them.

    Raises:
        ApiError: they took longer than ``seconds``.
        GPT4AllError, ValueError: what the first that fails raises.
    """
    queue: asyncio.Queue[Event | BaseException] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(at_once)
    untold: list[deque[TokenLogprob]] = [deque() for _ in starts]

    async def run(index: int, start: Start) -> None:
        #: Pieces of text that came in order with thinking and calls.
        told: deque[str] = deque()

        def tell(kind: Kind, news: str | ToolCallDelta | TokenLogprob) -> bool:
            if isinstance(news, dict):
                untold[index].append(news)
                return True
            if kind == "text":
                told.append(str(news))
            event = Event(index, kind, news) if isinstance(news, str) else Event(index, kind, call=news)
            # A loop that is closed has no reader.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(queue.put_nowait, event)
            return True

        async with gate:
            answer = start(tell)
            try:
                async for piece in answer:
                    if told and told[0] == piece:
                        told.popleft()
                    else:
                        queue.put_nowait(Event(index, "text", piece))
            finally:
                await answer.aclose()
                if answer.outcome is not None:
                    metrics.add_generation(answer.outcome)
        queue.put_nowait(Event(index, "end", outcome=answer.outcome))

    async def guarded(index: int, start: Start) -> None:
        try:
            await run(index, start)
        except Exception as error:
            queue.put_nowait(error)

    tasks = [asyncio.create_task(guarded(index, start)) for index, start in enumerate(starts)]
    # One timer for all: a wait_for for each piece would cost as much as all else here.
    late = ApiError(504, f"the answer took longer than {seconds:g} seconds", code="timeout")
    timer = loop.call_later(seconds, queue.put_nowait, late)
    try:
        left = len(tasks)
        while left:
            event = await queue.get()
            if isinstance(event, BaseException):
                raise event
            left -= event.kind == "end"
            waiting = untold[event.index]
            yield replace(event, logprobs=_tokens_of(event, waiting)) if waiting else event
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tokens_of(event: Event, waiting: deque[TokenLogprob]) -> list[TokenLogprob]:
    """Takes the tokens that make up the event's text; they were told before it, and maybe others with them."""
    text = event.text if event.call is None else event.call.arguments
    left, tokens = len(text.encode()), []
    while waiting and (left > 0 or event.kind == "end"):
        tokens.append(waiting.popleft())
        left -= len(tokens[-1]["bytes"])
    return tokens


async def answers(stream: AsyncGenerator[Event, None]) -> list[Answer]:
    """Waits for all of them."""
    collected: dict[int, _Open] = {}
    done: dict[int, Answer] = {}
    async with contextlib.aclosing(stream):
        async for event in stream:
            parts = collected.setdefault(event.index, _Open())
            if event.kind == "text":
                parts.text.append(event.text)
            elif event.kind == "reasoning":
                parts.reasoning.append(event.text)
            elif event.outcome is not None:
                done[event.index] = Answer(event.outcome, "".join(parts.text), "".join(parts.reasoning))
    return [done[index] for index in sorted(done)]
