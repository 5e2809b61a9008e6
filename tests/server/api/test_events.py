"""The order of what answers say, whatever the event loop does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest

from gpt4all._native.outcome import Outcome, ToolCallDelta
from gpt4all.errors import GenerationError
from gpt4all.server.failures import ApiError
from gpt4all.server.generating import Event, answers, events
from gpt4all.server.metrics import Metrics

OUTCOME = Outcome("stop", 1, 0, 1, 0, 0.0, 0.0)
CALL = ToolCallDelta(0, "1", "add", "{}")


class Said:
    """An answer that is complete by the time that somebody waits for it, said on a thread of its own."""

    def __init__(self, say: Callable[[], None], text: str) -> None:
        thread = threading.Thread(target=say)
        thread.start()
        thread.join()
        self._text = text
        self.outcome: Outcome | None = None

    def __await__(self) -> Generator[object, None, str]:
        self.outcome = OUTCOME
        return self._text
        yield  # so that this is a generator

    async def aclose(self) -> None:
        pass


def all_of(*starts: Any, seconds: float = 60) -> list[Event]:
    async def run() -> list[Event]:
        return [one async for one in events(starts, 1, seconds, Metrics())]

    return asyncio.run(run())


def start(tell: Any) -> Any:
    def say() -> None:
        tell("reasoning", "Well.")
        tell("text", "One ")
        tell("call", CALL)

    return Said(say, "One moment.")


def test_what_is_said_comes_before_the_end() -> None:
    expected = [
        Event(0, "reasoning", "Well."),
        Event(0, "text", "One "),
        Event(0, "call", call=CALL),
        Event(0, "text", "moment."),
        Event(0, "end", outcome=OUTCOME),
    ]
    assert all_of(start) == expected
    assert all_of(start, start) == expected + [replace(event, index=1) for event in expected]


def test_what_was_said_before_an_error_is_told() -> None:
    def fails(tell: Any) -> Any:
        tell("text", "One ")
        raise GenerationError("no more")

    async def run() -> None:
        stream = events([fails], 1, 60, Metrics())
        assert await anext(stream) == Event(0, "text", "One ")
        with pytest.raises(GenerationError, match="no more"):
            await anext(stream)

    asyncio.run(run())


def test_nothing_comes_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[str]:
        loop = asyncio.get_running_loop()
        timers: list[Callable[[], None]] = []

        def call_later(seconds: float, put: Callable[..., None], *arguments: Any) -> asyncio.TimerHandle:
            timers.append(lambda: put(*arguments))
            return loop.call_at(loop.time() + seconds, put, *arguments)

        monkeypatch.setattr(loop, "call_later", call_later)
        told: list[str] = []
        async for event in events([start], 1, 60, Metrics()):
            told.append(event.kind)
            if event.kind == "end":
                # The time is over before anybody looks again.
                (late,) = timers
                late()
        return told

    assert asyncio.run(run())[-1] == "end"


def test_answers_that_take_too_long() -> None:
    class Never(Said):
        def __await__(self) -> Generator[object, None, str]:
            yield from asyncio.Event().wait().__await__()
            raise AssertionError

    def never(tell: Any) -> Any:
        return Never(lambda: None, "")

    with pytest.raises(ApiError, match=r"longer than 0\.01 seconds") as error:
        all_of(never, seconds=0.01)
    assert error.value.status == 504
    with pytest.raises(ApiError, match=r"longer than 0\.01 seconds"):
        asyncio.run(answers([never, never], 2, 0.01, Metrics()))
