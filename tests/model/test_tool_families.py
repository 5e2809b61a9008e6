"""Rounds of tools in the formats of model families, on the real library, with a model that says what a test wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from gpt4all import GPT4All
from tests.support.chat.reference import template_directory
from tests.support.chat.scripted import NEXT

pytestmark = pytest.mark.model

Say = Callable[..., GPT4All]


@pytest.fixture
def say(scripted: Callable[..., GPT4All]) -> Say:
    """``say(family, *answers)``: a model of this template that gives these answers."""

    def load(family: str, *answers: str, piece: int = 7) -> GPT4All:
        template = (template_directory() / f"{family}.jinja").read_text(encoding="utf-8")
        return scripted(answers, f"{template}{{% if add_generation_prompt %}}{NEXT}{{% endif %}}", piece=piece)

    return load


def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


def prompt_of(model: GPT4All, messages: list[dict[str, Any]]) -> str:
    """What the model is sent for a conversation."""
    return "".join(text for text, _ in model._loaded.render_chat(messages, None, {}, None))


def kimi(number: int, a: int) -> str:
    return (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:"
        f'{number}<|tool_call_argument_begin|>{{"a": {a}}}<|tool_call_end|><|tool_calls_section_end|>'
    )


@pytest.mark.parametrize("piece", [1, 7])
def test_ids_of_kimi_count_through_the_rounds(say: Say, piece: int) -> None:
    model = say("Kimi-K2-Instruct", kimi(0, 1), kimi(1, 2), kimi(12, 3), "All done.", piece=piece)
    told: list[str] = []
    with model.new_chat() as chat:
        text = chat.generate("q", tools=[add], temp=0, tool_delta_callback=lambda delta: told.append(delta.id))
        # This format takes what tells the model its next answer for the beginning of that.
        assert text.endswith("All done.")
        assert chat.last_generation is not None
        ids = [each.id for each in chat.last_generation.tool_calls]
        assert ids == ["functions.add:0", "functions.add:1", "functions.add:12"]
        assert [each for each in told if each] == ids
        assert [message["tool_call_id"] for message in chat.messages if message["role"] == "tool"] == ids
        assert "## Return of functions.add:1\n3" in prompt_of(model, chat.messages)


def qwen(thinking: str, text: str, a: int | None = None) -> str:
    called = "" if a is None else f'\n<tool_call>\n{{"name": "add", "arguments": {{"a": {a}}}}}\n</tool_call>'
    return f"<think>\n{thinking}\n</think>\n\n{text}{called}"


def test_thinking_between_rounds_is_kept_as_the_template_wants(say: Say) -> None:
    model = say("Qwen-Qwen3-0.6B", qwen("Sum first.", "Wait.", 1), qwen("So two.", "It is 2."), qwen("Again.", "Yes."))
    thoughts: list[str] = []
    with model.new_chat() as chat:
        answer = chat.generate("q", tools=[add], temp=0, reasoning_callback=thoughts.append)
        assert answer == "It is 2."
        assert "".join(thoughts).replace("\n", "") == "Sum first.So two."
        turn = chat.messages
        assert turn[2]["reasoning_content"].strip() == "Sum first."
        # Between the rounds: the model goes on from its thinking.
        assert "Sum first." in prompt_of(model, turn[1:4])
        # In a later turn this template drops it, and that of answers is never sent.
        later = prompt_of(model, [*turn[1:], {"role": "user", "content": "Sure?"}])
        assert "It is 2." in later
        assert "Sum first." not in later
        assert "So two." not in later
        assert chat.generate("Sure?", tools=[add], temp=0) == "Yes."


@pytest.mark.parametrize("content", ["", "Wait."])
def test_thinking_that_has_another_name(say: Say, content: str) -> None:
    """gpt-oss takes thinking or text with a call, not both."""
    model = say("openai-gpt-oss-120b", "Hello.")
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": content, "reasoning_content": "Sum first.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "2"},
    ]
    prompt = prompt_of(model, messages)
    assert ("Sum first." in prompt) == (not content)
    assert content in prompt


@pytest.mark.parametrize("family", ["mistralai-Mistral-Nemo-Instruct-2407", "Mistral-Small-3.2-24B-Instruct-2506"])
@pytest.mark.parametrize(
    "ids", [("functions.add:0", "call_DdmO9pD3xa9XTPNJ32zg2hcA"), ("abcdef123", "x"), (None, None)]
)
def test_a_conversation_of_another_model_goes_on(say: Say, family: str, ids: tuple[str | None, str | None]) -> None:
    """Mistral's templates refuse ids that are not nine letters and digits."""
    model = say(family, "Hello.")
    messages: list[dict[str, Any]] = [{"role": "user", "content": "q"}]
    for number, own in enumerate(ids):
        function = {"name": "add", "arguments": f'{{"a": {number}}}'}
        named = {"id": own} if own else {}
        answered = {"tool_call_id": own} if own else {}
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [{**named, "type": "function", "function": function}]},
            {"role": "tool", "content": f"result {number}", **answered},
        ]
    messages.append({"role": "assistant", "content": "Fine."})
    with model.new_chat(messages=messages) as chat:
        prompt = prompt_of(model, messages)
        chat.generate("Go on.", tools=[add], temp=0, max_tokens=5)
        assert chat.messages[3].get("tool_call_id") == ids[0]
    found = re.findall(r'(?:"(?:id|call_id)": "|\[CALL_ID\]|\[TOOL_RESULTS\])([a-z0-9]{9})\b', prompt)
    assert len(found) == 4
    assert found[0] == found[1] != found[2] == found[3]
    assert (found[0] == ids[0]) == (ids[0] == "abcdef123")
