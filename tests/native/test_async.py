"""``agenerate`` on the fake backend: used once, cancelled anywhere, without threads of its own."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gpt4all import GenerationError
from gpt4all.generation.asynchronous import AsyncGeneration
from tests.support.fake.backend import END, TURN
from tests.support.fake.helpers import LoadFake, is_idle, wait_until


async def await_it(generation: AsyncGeneration) -> str:
    return await generation


async def iterate(generation: AsyncGeneration) -> str:
    return "".join([piece async for piece in generation])


Use = Callable[[AsyncGeneration], Awaitable[str]]


@pytest.mark.parametrize("first", [await_it, iterate])
@pytest.mark.parametrize("second", [await_it, iterate])
def test_a_second_use_raises(loaded: LoadFake, first: Use, second: Use) -> None:
    model = loaded("a", "b", END)

    async def main() -> None:
        generation = model.agenerate("x")
        assert await first(generation) == "ab"
        with pytest.raises(GenerationError, match="agenerate"):
            await second(generation)

    asyncio.run(main())


def test_two_tasks_cannot_share_one(loaded: LoadFake) -> None:
    model = loaded("a", "b", END)

    async def main() -> list[Any]:
        generation = model.agenerate("x")
        return list(await asyncio.gather(iterate(generation), iterate(generation), return_exceptions=True))

    answer, error = asyncio.run(main())
    assert answer == "ab"
    assert isinstance(error, GenerationError)


def test_two_tasks_that_ask_for_a_piece_at_once(loaded: LoadFake) -> None:
    model = loaded("a", wait_cancel_after=1)

    async def main() -> list[Any]:
        generation = model.agenerate("x")
        assert await generation.__anext__() == "a"
        tasks = [asyncio.create_task(generation.__anext__()) for _ in range(2)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await generation.aclose()
        return await asyncio.gather(*tasks, return_exceptions=True)

    _, error = asyncio.run(main())
    assert isinstance(error, GenerationError)
    assert "another task" in str(error)


def test_no_pieces_after_the_end(loaded: LoadFake) -> None:
    model = loaded("a", END)

    async def main() -> None:
        generation = model.agenerate("x")
        assert await generation.__anext__() == "a"
        for _ in range(3):
            with pytest.raises(StopAsyncIteration):
                await generation.__anext__()
        await generation.aclose()

    asyncio.run(main())


def test_closing_before_anything_runs(loaded: LoadFake) -> None:
    model = loaded("a", END)

    async def main() -> None:
        generation = model.agenerate("x")
        await generation.aclose()
        with pytest.raises(GenerationError, match="once"):
            await generation

    asyncio.run(main())
    assert model.last_generation is None


def test_cancelled_callers_that_wait_leave_at_once(loaded: LoadFake) -> None:
    model = loaded("a", TURN, "b", END, wait_cancel_after=2)

    async def main() -> None:
        under_way = model.agenerate("x")
        await under_way.__anext__()
        threads = threading.active_count()
        tasks = [asyncio.create_task(await_it(model.agenerate("y"))) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(model._loaded._worker._line) == 51
        assert threading.active_count() == threads
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        assert len(model._loaded._worker._line) == 1
        # One that waits can be closed without waiting for the one before it.
        waiting = model.agenerate("z")
        task = asyncio.create_task(waiting.__anext__())
        await asyncio.sleep(0)
        await waiting.aclose()
        with pytest.raises(StopAsyncIteration):
            await task
        await under_way.aclose()
        assert await model.agenerate("x") == "b"

    asyncio.run(main())


def test_a_forgotten_generation_stops_the_engine(loaded: LoadFake) -> None:
    model = loaded("a", TURN, "b", END, wait_cancel_after=2)

    async def main() -> None:
        await model.agenerate("x").__anext__()
        gc.collect()
        assert await model.agenerate("y") == "b"

    asyncio.run(main())
    assert is_idle(model)


def test_an_event_loop_that_is_gone(loaded: LoadFake) -> None:
    model = loaded("a")

    async def main() -> AsyncGeneration:
        generation = model.agenerate("x", max_tokens=10**6)
        await generation.__anext__()
        return generation

    generation = asyncio.run(main())
    assert model.generate("y", max_tokens=3) == "aaa"
    del generation
    wait_until(lambda: is_idle(model))


def test_errors_of_the_engine_and_of_callbacks(loaded: LoadFake) -> None:
    model = loaded("a", "b", "c", fail_at=(2, b"DECODE", "no more"))

    def fail(token: int, piece: str) -> None:
        raise KeyError("own")

    async def main() -> None:
        generation = model.agenerate("x")
        assert [await generation.__anext__() for _ in "ab"] == ["a", "b"]
        with pytest.raises(GenerationError, match="no more"):
            await generation.__anext__()
        with pytest.raises(KeyError, match="own"):
            await model.agenerate("x", callback=fail)

    asyncio.run(main())
