"""``agenerate`` in an event loop that must never be blocked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gpt4all import AsyncGeneration, ContextWindowExceededError, GenerationError, GPT4All

pytestmark = pytest.mark.model


def test_awaited_and_iterated_give_the_same(smollm2: GPT4All) -> None:
    expected = smollm2.generate("Once upon a time", max_tokens=20, temp=0)

    async def main() -> None:
        assert await smollm2.agenerate("Once upon a time", max_tokens=20, temp=0) == expected
        pieces = [piece async for piece in smollm2.agenerate("Once upon a time", max_tokens=20, temp=0)]
        assert "".join(pieces) == expected
        assert len(pieces) > 5

    asyncio.run(main())


def test_awaited_after_a_piece(smollm2: GPT4All) -> None:
    async def main() -> None:
        answer = smollm2.agenerate("Once upon a time", max_tokens=20, temp=0)
        first = await anext(answer)
        whole = await answer
        assert whole == smollm2.generate("Once upon a time", max_tokens=20, temp=0)
        assert whole.startswith(first)
        assert len(whole) > len(first)

    asyncio.run(main())


def test_a_callback_cannot_fake_the_end(smollm2: GPT4All) -> None:
    def callback(token: int, piece: str) -> bool:
        raise StopAsyncIteration

    async def main() -> None:
        with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
            await smollm2.agenerate("Hello", max_tokens=3, callback=callback)
        answer = smollm2.agenerate("Hello", max_tokens=3, callback=callback)
        with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
            await anext(answer)
        # There is no text of what has failed.
        with pytest.raises(GenerationError, match="once"):
            await answer

    asyncio.run(main())


def test_who_waits_gets_what_the_history_has_when_another_closes(smollm2: GPT4All) -> None:
    async def main() -> None:
        started, callback = _starting()

        with smollm2.chat_session():
            answer = smollm2.agenerate("Count to one hundred.", max_tokens=100_000, temp=0, callback=callback)
            task = asyncio.ensure_future(_text(answer))
            await started.wait()
            await answer.aclose()
            history = smollm2.current_chat_session
            assert history is not None
            assert history[-1] == {"role": "assistant", "content": await task}

    asyncio.run(main())


def _starting() -> tuple[asyncio.Event, Callable[[int, str], bool]]:
    """An event, and the callback that sets it with the first token."""
    loop, started = asyncio.get_running_loop(), asyncio.Event()

    def callback(token: int, piece: str) -> bool:
        loop.call_soon_threadsafe(started.set)
        return True

    return started, callback


async def _text(answer: AsyncGeneration) -> str:
    return await answer


def test_the_loop_goes_on_meanwhile(smollm2: GPT4All) -> None:
    async def main() -> int:
        ticks = 0
        task = asyncio.ensure_future(_collect(smollm2, 60))
        while not task.done():
            await asyncio.sleep(0)
            ticks += 1
        assert await task
        return ticks

    assert asyncio.run(main()) > 60


async def _collect(model: GPT4All, max_tokens: int) -> str:
    return await model.agenerate("Once upon a time", max_tokens=max_tokens, temp=0, stop=[])


def test_a_cancelled_task_stops_the_engine(smollm2: GPT4All) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(_collect(smollm2, 100_000))
        # Until the engine is at work.
        while not smollm2._loaded._worker._line:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert smollm2.generate("Hello", max_tokens=2)


def test_a_cancelled_turn_keeps_what_was_said(smollm2: GPT4All) -> None:
    async def main() -> None:
        started, callback = _starting()

        async def turn() -> str:
            return await smollm2.agenerate("Count to one hundred.", max_tokens=100_000, temp=0, callback=callback)

        with smollm2.chat_session("Be brief."):
            task = asyncio.ensure_future(turn())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await smollm2.agenerate("Hello", max_tokens=1)
            said = [message["content"] for message in smollm2.current_chat_session or []]
            assert said[:2] == ["Be brief.", "Count to one hundred."]
            assert said[3] == "Hello"
            assert len(said) == 5

    asyncio.run(main())


def test_breaking_off_and_closing(smollm2: GPT4All) -> None:
    async def main() -> None:
        with smollm2.chat_session():
            stream = smollm2.agenerate("Count to one hundred.", max_tokens=100_000, temp=0)
            seen = []
            async for piece in stream:
                seen.append(piece)
                if len(seen) == 3:
                    break
            await stream.aclose()
            history = smollm2.current_chat_session
            assert history is not None
            assert history[-1] == {"role": "assistant", "content": "".join(seen)}

    asyncio.run(main())


def test_many_at_once_queue(tiny: Callable[..., GPT4All]) -> None:
    model = tiny()
    expected = [model.generate(f"Number {n}", max_tokens=6, temp=0) for n in range(16)]

    async def main() -> list[str]:
        return await asyncio.gather(*(model.agenerate(f"Number {n}", max_tokens=6, temp=0) for n in range(16)))

    assert asyncio.run(main()) == expected


def test_errors_arrive_where_they_are_awaited(tiny: Callable[..., GPT4All]) -> None:
    model = tiny()

    async def main() -> None:
        with pytest.raises(ContextWindowExceededError):
            await model.agenerate("long " * 1000)

    asyncio.run(main())
    with pytest.raises(ValueError, match="temp"):
        model.agenerate("Hello", temp=-1)
    with pytest.raises(TypeError, match="temperature"):
        model.agenerate("Hello", temperature=1)  # type: ignore[call-arg]
