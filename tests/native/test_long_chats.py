"""Conversations of hundreds of turns, in contexts of any size."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gpt4all import CancellationError, ContextWindowExceededError, GPT4All
from gpt4all.engine.loaded_model import LoadedModel
from tests.support.fake.backend import END
from tests.support.fake.helpers import LoadFake, Task, is_idle, wait_until

TEMPLATE = "<{0}>{1};"


@pytest.mark.parametrize("n_ctx", [64, 256, 512])
def test_hundreds_of_turns(loaded: LoadFake, n_ctx: int) -> None:
    model = loaded("fine", END, options={"n_ctx": n_ctx})
    computed = 0
    with model.chat_session("system", TEMPLATE):
        for number in range(400):
            assert model.generate(f"message {number}") == "fine"
            last = model.last_generation
            assert last is not None
            assert last.prompt_tokens <= n_ctx - 4
            computed += last.prompt_tokens - last.cached_tokens
        history = model.current_chat_session or []
    assert [message["content"] for message in history[-2:]] == ["message 399", "fine"]
    assert len(history) == 801
    # About 20 tokens a turn are new; a context that slid on every turn would compute all of it each time.
    assert computed / 400 < 20 + n_ctx / 4


def test_a_stored_conversation_is_not_read_again_for_each_turn(
    loaded: LoadFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("fine", END, options={"n_ctx": 256})
    texts: list[int] = []
    tokenize = LoadedModel.tokenize_parts

    def count(session: LoadedModel, parts: Any, *arguments: Any, **named: Any) -> Any:
        texts.append(sum(len(text) for text, _ in parts))
        return tokenize(session, parts, *arguments, **named)

    monkeypatch.setattr(LoadedModel, "tokenize_parts", count)
    messages = [{"role": ("user", "assistant")[index % 2], "content": f"message {index}"} for index in range(4000)]
    with model.chat_session("system", TEMPLATE, messages=messages):
        assert model.generate("question") == "fine"
        assert len(texts) < 20
        assert sum(texts) < 20 * 8 * 256
        texts.clear()
        model.generate("another")
        assert len(texts) == 2


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_call_ends_between_two_tries_of_its_prompt(
    loaded: LoadFake, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model = loaded("fine", END, options={"n_ctx": 64})
    tries, in_the_second, go_on = [0], threading.Event(), threading.Event()
    tokenize = LoadedModel.tokenize_parts

    def wait(session: LoadedModel, *arguments: Any, **named: Any) -> Any:
        tries[0] += 1
        if tries[0] == 2:
            in_the_second.set()
            assert go_on.wait(30)
        return tokenize(session, *arguments, **named)

    async def ask() -> None:
        task = asyncio.create_task(_text(model))
        await asyncio.to_thread(in_the_second.wait, 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go_on.set()

    monkeypatch.setattr(LoadedModel, "tokenize_parts", wait)
    messages = [{"role": ("user", "assistant")[index % 2], "content": f"message {index}"} for index in range(400)]
    with model.chat_session("system", TEMPLATE, messages=messages):
        if how == "cancelled":
            asyncio.run(ask())
            wait_until(lambda: is_idle(model))
        else:
            call = Task(lambda: model.generate("question"))
            assert in_the_second.wait(30)
            closer = Task(model.close)
            wait_until(lambda: len(model._loaded._worker._line) == 2)
            go_on.set()
            closer.result()
            with pytest.raises(CancellationError, match="closed"):
                call.result()
        assert tries == [2]
        assert (model.current_chat_session or [])[-2]["content"] == "question"


async def _text(model: GPT4All) -> str:
    return await model.agenerate("question")


def test_what_is_left_out_is_the_oldest(loaded: LoadFake) -> None:
    model = loaded("fine", END, options={"n_ctx": 64})
    with model.chat_session("system", TEMPLATE):
        for number in range(10):
            model.generate(f"message {number}")
        conversation = model._contexts[-1].chat.conversation
        # Whole turns: what is sent begins with a message of the user, after the system prompt.
        assert conversation.left_out > 0
        assert conversation.messages[1 + conversation.left_out]["role"] == "user"


@pytest.mark.parametrize(("n_ctx", "fits"), [(8, False), (32, True)])
def test_a_context_of_the_smallest_size(loaded: LoadFake, n_ctx: int, fits: bool) -> None:
    model = loaded("fine", END, options={"n_ctx": n_ctx})
    with model.chat_session("", TEMPLATE):
        if fits:
            assert [model.generate("question") for _ in range(50)] == ["fine"] * 50
        else:
            with pytest.raises(ContextWindowExceededError, match="at most 4"):
                model.generate("question")
            assert model.current_chat_session == [{"role": "system", "content": ""}]
