"""Ctrl-C at every place of a call: it always arrives, the history keeps one rule, and the model goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gpt4all import Embed4All, GPT4All
from gpt4all.engine import at_exit
from gpt4all.generation.many import complete
from tests.support.fake.backend import END, FakeModel
from tests.support.fake.helpers import LoadFake, is_idle, wait_until, worker_threads
from tests.support.interruptions import at_every_place

#: What runs on the caller's thread in a call.
CALL = ("methods.py", "call.py", "many.py", "streaming.py", "exchange.py", "runs.py", "workers.py", "loaded_model.py")


def whole(model: GPT4All) -> str:
    return model.generate("q")


def whole_with_callback(model: GPT4All) -> str:
    return model.generate("q", callback=lambda token, piece: None)


def streamed(model: GPT4All) -> str:
    return "".join(model.generate("q", streaming=True))


def streamed_by_hand(model: GPT4All) -> str:
    stream = model.generate("q", streaming=True)
    return next(stream) + "".join(stream)


@pytest.mark.parametrize("call", [whole, whole_with_callback, streamed, streamed_by_hand])
def test_a_call_in_a_session(loaded: LoadFake, call: Callable[[GPT4All], str]) -> None:
    model = loaded("a", "b", END)
    system = {"role": "system", "content": "S"}
    with model.chat_session("S", "<{0}>"):

        def check(interrupted: bool) -> None:
            # The model is free for the next call, which finds no turn under way.
            model.model.set_thread_count(1)
            assert is_idle(model)
            history = model.current_chat_session or []
            assert history[:1] == [system]
            if not interrupted:
                assert len(history) == 3
            if len(history) > 1:
                user, reply = history[1:]
                assert user == {"role": "user", "content": "q"}
                assert "ab".startswith(reply["content"])
            model.current_chat_session = [system]

        assert at_every_place(CALL, lambda: call(model), check) > 40


def test_a_stream_that_is_closed(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("a")
    again: list[bool] = []
    # It would come to the main thread, where none of these was meant for.
    monkeypatch.setattr("gpt4all.generation.call.interrupt_again", lambda: again.append(True))
    arrived: list[bool] = []

    def call() -> None:
        stream: Any = model.generate("q", streaming=True, max_tokens=10**6)
        next(stream)
        stream.close()

    def check(interrupted: bool) -> None:
        arrived.append(interrupted or bool(again))
        again.clear()
        model.model.set_thread_count(1)
        wait_until(lambda: is_idle(model))

    assert at_every_place(CALL, call, check) > 40
    # All but the last, which was not interrupted.
    assert arrived.index(False) == len(arrived) - 1


def test_many(loaded: LoadFake) -> None:
    model = loaded("a", END, options={"n_parallel": 2})

    def check(interrupted: bool) -> None:
        model.model.set_thread_count(1)
        assert is_idle(model)

    assert at_every_place(CALL, lambda: model.generate_many(["p", "q", "r"]), check) > 40


def test_many_that_are_left(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of those under way goes on."""
    model = loaded("a", options={"n_parallel": 2})
    again: list[bool] = []
    monkeypatch.setattr("gpt4all.engine.workers.interrupt_again", lambda: again.append(True))
    arrived: list[bool] = []

    def call() -> None:
        calls = (model._new_call("q", max_tokens=most) for most in (1, 10**6, 10**6, 10**6))
        completions = complete(calls, 3, total=None, progress=False)
        next(completions)
        completions.close()

    def check(interrupted: bool) -> None:
        arrived.append(interrupted or bool(again))
        again.clear()
        wait_until(lambda: is_idle(model))

    assert at_every_place(CALL, call, check) > 40
    assert arrived.index(False) == len(arrived) - 1


def test_short_calls(loaded: LoadFake) -> None:
    model = loaded("a", END)

    def call() -> None:
        model.tokenize("abc")
        model.model.set_thread_count(2)

    def check(interrupted: bool) -> None:
        assert model.generate("x") == "a"

    assert at_every_place(CALL, call, check) > 40


# Python's own word on a coroutine that Ctrl-C met before its first step.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine:pytest.PytestUnraisableExceptionWarning")
def test_agenerate(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("a", "b", END)
    monkeypatch.setattr("gpt4all.engine.workers.interrupt_again", lambda: None)

    async def main() -> None:
        assert await model.agenerate("q") == "ab"

    def check(interrupted: bool) -> None:
        assert model.generate("x") == "ab"

    assert at_every_place((*CALL, "asynchronous.py"), lambda: asyncio.run(main()), check) > 40


def test_embed(fake_backend: object, fake_model: FakeModel) -> None:
    path = fake_model(architecture="bert", traits="encoder embedding", name="all-MiniLM-L6-v2")
    with Embed4All(path, n_threads=1) as model:
        wanted = model.embed(["a", "b"])

        def check(interrupted: bool) -> None:
            assert model.embed(["a", "b"]) == wanted

        files = ("embed4all.py", "texts.py", "vectors.py", "runs.py", "workers.py", "loaded_model.py")
        assert at_every_place(files, lambda: model.embed(["a", "b"]), check) > 40


def test_a_load(fake_backend: object, fake_model: FakeModel) -> None:
    path = fake_model("a", END)
    # Models of other tests may be open.
    before = set(at_exit.workers)

    def call() -> None:
        GPT4All(path, n_ctx=64, n_threads=1).close()

    def check(interrupted: bool) -> None:
        wait_until(lambda: not worker_threads() and at_exit.workers.keys() == before)

    assert at_every_place(("loading.py", "workers.py", "loaded_model.py"), call, check) > 40
    with GPT4All(path, n_ctx=64, n_threads=1) as model:
        assert model.generate("x") == "a"


def test_a_load_with_several_threads(fake_backend: object, fake_model: FakeModel) -> None:
    path = fake_model("a", END)
    before = set(at_exit.workers)

    def call() -> None:
        GPT4All(path, n_ctx=64, n_threads=1, n_parallel=3).close()

    def check(interrupted: bool) -> None:
        wait_until(lambda: not worker_threads() and at_exit.workers.keys() == before)

    assert at_every_place(("loading.py", "workers.py", "loaded_model.py"), call, check) > 40
