"""Reasoning models: real templates in the file, scripted tokens from the fake, thinking apart from the answer."""

from __future__ import annotations

from typing import Any

import pytest

from gpt4all import GPT4All
from tests.support.chat.reference import read_template
from tests.support.fake.backend import ECHO, END, TURN
from tests.support.fake.helpers import LoadFake

THINKING = "Hm, 2 + 2.\n"
ANSWER = "It is 4 < 5."
_TAGS = ("Hm, 2", " + 2.\n</th", "ink>", "\n\nIt is", " 4 < 5.")
#: A template that comes with llama.cpp's source, and what such a model generates.
MODELS = {
    "Qwen-Qwen3-0.6B": _TAGS,
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": _TAGS,
    "openai-gpt-oss-120b": (
        "<|channel|>",
        "analysis",
        "<|message|>",
        "Hm, 2",
        " + 2.\n",
        "<|end|>",
        "<|start|>",
        "assistant",
        "<|channel|>",
        "final",
        "<|message|>",
        "It is",
        " 4 < 5.",
    ),
}


@pytest.fixture(scope="session")
def templates() -> dict[str, str]:
    """Read before the fake backend's fixtures hide this machine's caches."""
    return {name: read_template(name) for name in MODELS}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, templates: dict[str, str], loaded: LoadFake) -> GPT4All:
    """Thinks and answers in its first turn, and in the second repeats what it was sent."""
    return loaded(*MODELS[request.param], END, TURN, ECHO, END, chat_template=templates[request.param])


@pytest.mark.parametrize("streaming", [False, True])
def test_thinking_is_no_part_of_the_answer(model: GPT4All, streaming: bool) -> None:
    thoughts: list[str] = []
    with model.chat_session("s"):
        answer = model.generate("2 + 2?", streaming=streaming, reasoning_callback=thoughts.append)
        assert "".join(answer) == ANSWER
        assert "".join(thoughts) == THINKING
        assert model.last_generation is not None
        assert model.last_generation.reasoning == THINKING
        assert model.current_chat_session == [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": ANSWER},
        ]


def test_thinking_is_not_sent_back(model: GPT4All) -> None:
    with model.chat_session("s"):
        model.generate("2 + 2?")
        echo = model.generate("And now?")
        assert model.last_generation is not None
        sent = (model.last_generation.reasoning or "") + echo
    assert ANSWER in sent
    assert "And now?" in sent
    assert "Hm" not in sent


def test_stopped_while_it_thinks(model: GPT4All) -> None:
    def stop(piece: str) -> bool:
        return False

    with model.chat_session("s"):
        assert model.generate("2 + 2?", reasoning_callback=stop) == ""
        assert model.last_generation is not None
        assert model.last_generation.finish_reason == "cancelled"
        assert model.last_generation.reasoning
        assert THINKING.startswith(model.last_generation.reasoning)
        assert (model.current_chat_session or [])[-1] == {"role": "assistant", "content": ""}


def test_an_exception_of_the_reasoning_callback(model: GPT4All) -> None:
    def fail(piece: str) -> Any:
        raise KeyError(piece)

    with model.chat_session("s"):
        with pytest.raises(KeyError):
            model.generate("2 + 2?", reasoning_callback=fail)
        assert model.current_chat_session == [{"role": "system", "content": "s"}]


def test_thinking_that_is_turned_off(templates: dict[str, str], loaded: LoadFake) -> None:
    model = loaded("It is", " 4 < 5.", END, chat_template=templates["Qwen-Qwen3-0.6B"])
    with model.chat_session(template_args={"enable_thinking": False}):
        assert model.generate("2 + 2?") == ANSWER
        assert model.last_generation is not None
        assert not model.last_generation.reasoning
