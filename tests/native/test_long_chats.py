"""Conversations of hundreds of turns, in contexts of any size."""

from __future__ import annotations

import pytest

from gpt4all import ContextWindowExceededError
from tests.fake import END
from tests.native_helpers import LoadFake

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


def test_what_is_left_out_is_the_oldest(loaded: LoadFake) -> None:
    model = loaded("fine", END, options={"n_ctx": 64})
    with model.chat_session("system", TEMPLATE):
        for number in range(10):
            model.generate(f"message {number}")
        chat = model._chats[-1]
        # Whole turns: what is sent begins with a message of the user, after the system prompt.
        assert chat.left_out > 0
        assert chat.history[1 + chat.left_out]["role"] == "user"


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
