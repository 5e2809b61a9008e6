"""Each call has an outcome of its own; ``last_generation`` is that of the call that ended last."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from gpt4all import GenerationError, Outcome
from tests.support.fake.backend import END
from tests.support.fake.helpers import LoadFake, Task


def test_streams_side_by_side(loaded: LoadFake) -> None:
    model = loaded("a", "b", "c", END)
    first, second = (model.generate("x" * length, streaming=True) for length in (3, 5))
    assert first.outcome is None
    assert next(first) == "a"
    assert "".join(second) == "abc"
    assert "".join(first) == "bc"
    assert isinstance(first.outcome, Outcome)
    assert isinstance(second.outcome, Outcome)
    assert second.outcome.prompt_tokens - first.outcome.prompt_tokens == 2
    assert model.last_generation is second.outcome


def test_threads(loaded: LoadFake) -> None:
    model = loaded("a", END)

    def prompt_tokens(length: int) -> int:
        generation = model.generate("x" * length, streaming=True)
        assert "".join(generation) == "a"
        assert generation.outcome is not None
        return generation.outcome.prompt_tokens

    counts = [task.result() for task in [Task(partial(prompt_tokens, length)) for length in range(1, 9)]]
    assert [count - counts[0] for count in counts] == [*range(8)]


def test_tasks(loaded: LoadFake) -> None:
    model = loaded("a", END)

    async def main() -> list[int]:
        calls = [model.agenerate("x" * length) for length in range(1, 5)]
        assert [call.outcome for call in calls] == [None] * 4
        assert await asyncio.gather(*calls) == ["a"] * 4
        return [call.outcome.prompt_tokens for call in calls if call.outcome is not None]

    counts = asyncio.run(main())
    assert [count - counts[0] for count in counts] == [0, 1, 2, 3]


def test_a_stream_that_is_closed(loaded: LoadFake) -> None:
    generation = loaded("a").generate("x", streaming=True, max_tokens=10**6)
    next(generation)
    generation.close()
    assert generation.outcome is not None
    assert generation.outcome.finish_reason == "cancelled"


def test_a_call_that_fails_has_none(loaded: LoadFake) -> None:
    model = loaded("a", fail_at=(3, "DECODE", "no"))
    generation = model.generate("x", streaming=True)
    with pytest.raises(GenerationError):
        list(generation)
    assert generation.outcome is None
    assert model.last_generation is None


def test_a_stream_is_a_generator(loaded: LoadFake) -> None:
    """As in 2.8: for contextlib.closing, send, throw."""
    generation = loaded("a", "b", END).generate("x", streaming=True)
    assert iter(generation) is generation
    assert generation.send(None) == "a"
    with pytest.raises(KeyError):
        generation.throw(KeyError())
    assert list(generation) == []
