"""Many threads on one model, many models, executors, asyncio's threads."""

from __future__ import annotations

import _thread
import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from gpt4all import GPT4All, ModelLoadError
from gpt4all.engine import at_exit
from tests.support.fake.backend import ECHO, END, TURN, FakeModel
from tests.support.fake.helpers import AT_GATE, EngineLog, LoadFake, Task, is_idle, wait_until


def test_sixteen_threads_take_their_turns_in_order(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", TURN, END, wait_cancel_after=1)
    stream: Any = model.generate("x", streaming=True)
    next(stream)
    engine_log.wait_for(AT_GATE)
    order: list[int] = []

    def call(number: int) -> None:
        # The callback runs while the call has its turn.
        model.generate("x", callback=lambda token, piece: order.append(number))

    tasks = []
    for number in range(16):
        tasks.append(Task(partial(call, number)))
        wait_until(lambda: len(model._loaded._worker._line) == 1 + len(tasks))
    stream.close()
    for task in tasks:
        task.result()
    assert order == list(range(16))


def test_answers_of_many_threads_are_not_mixed_up(loaded: LoadFake) -> None:
    model = loaded(ECHO, END)

    def talk(number: int) -> None:
        for turn in range(20):
            prompt = f"thread {number}, turn {turn}"
            streamed = model.generate(prompt, streaming=True)
            assert "".join(streamed) == prompt
            assert model.generate(prompt) == prompt
            assert model.detokenize(model.tokenize(prompt)) == prompt
            if turn % 5 == 0:
                model.model.set_thread_count(number + 1)

    tasks = [Task(partial(talk, number)) for number in range(16)]
    for task in tasks:
        task.result()
    assert is_idle(model)


def test_streams_opened_and_dropped_by_many_threads(loaded: LoadFake) -> None:
    model = loaded(*"abcdef")

    def drop() -> None:
        for _ in range(20):
            for number, _piece in enumerate(model.generate("x", max_tokens=10**6, streaming=True)):
                if number == 3:
                    break

    tasks = [Task(drop) for _ in range(8)]
    for task in tasks:
        task.result()
    assert model.generate("x", max_tokens=3) == "abc"


def test_no_call_starts_a_thread(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("a", END)

    def fail(*arguments: object) -> None:
        raise AssertionError("a thread was started")

    async def ask() -> str:
        return await model.agenerate("x")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        patch.setattr(_thread, "start_new_thread", fail)
        assert model.generate("x") == "a"
        assert list(model.generate("x", streaming=True)) == ["a"]
        assert asyncio.run(ask()) == "a"
        model.model.set_thread_count(2)
        assert model.tokenize("x")


@pytest.mark.parametrize("function", ["_thread.start_new_thread", "threading.Thread.start"])
def test_a_thread_that_cannot_start(
    fake_backend: object, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """By the system's limits, found by the thread that starts the model's, or by that."""

    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("can't start new thread")

    path, before = fake_model("a", END), set(at_exit.workers)
    with monkeypatch.context() as patch:
        patch.setattr(function, fail)
        with pytest.raises(ModelLoadError, match="limits on threads"):
            GPT4All(path)
    assert at_exit.workers.keys() == before
    with GPT4All(path) as model:
        assert model.generate("x") == "a"


def test_many_models_work_side_by_side(fake_backend: object, fake_model: FakeModel) -> None:
    barrier = threading.Barrier(8, timeout=30)

    def work(number: int) -> str:
        with GPT4All(fake_model(f"{number},", n_ctx_train=64), n_ctx=64) as model:
            barrier.wait()
            answers = [model.generate("x", max_tokens=5) for _ in range(20)]
            barrier.wait()
        assert len(set(answers)) == 1
        return answers[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [f"{number}," * 5 for number in range(8)]


def test_models_load_side_by_side(fake_backend: object, fake_model: FakeModel) -> None:
    paths = [fake_model(str(number), END) for number in range(6)]

    def load(path: object, meet: Callable[[], object]) -> str:
        with GPT4All(path, progress=lambda fraction: bool(fraction or meet() is not None)) as model:  # type: ignore[arg-type]
            return model.generate("x")

    # All six are inside their loads at once.
    barrier = threading.Barrier(len(paths), timeout=30)
    with ThreadPoolExecutor(len(paths)) as pool:
        assert list(pool.map(partial(load, meet=barrier.wait), paths)) == list("012345")


def test_a_thread_pool_shares_a_model(loaded: LoadFake) -> None:
    model = loaded(ECHO, END)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.generate, "abcdefgh")) == list("abcdefgh")


def test_asyncio_to_thread(loaded: LoadFake) -> None:
    model = loaded(ECHO, END)

    async def ask_all() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(model.generate, prompt) for prompt in "abcd"))

    assert asyncio.run(ask_all()) == list("abcd")


def test_a_stream_may_change_threads(loaded: LoadFake) -> None:
    model = loaded(*"abc", END)
    stream = model.generate("x", streaming=True)
    assert next(stream) == "a"
    assert Task(lambda: next(stream)).result() == "b"
    assert list(stream) == ["c"]


def test_a_stream_closed_by_another_thread(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=1)
    stream: Any = model.generate("x", streaming=True)
    next(stream)
    engine_log.wait_for(AT_GATE)
    Task(stream.close).result()
    assert is_idle(model)
