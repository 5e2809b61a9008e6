"""Wherever messages are given, a wrong one is named by its index and field, before anything runs or is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gpt4all import GPT4All
from gpt4all.server.messages import read_messages
from tests.support.fake.backend import END
from tests.support.fake.helpers import LoadFake

JINJA = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
WRONG: list[dict[str, Any]] = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
    {"role": "user", "content": "c"},
]


def in_session(model: GPT4All) -> None:
    with model.chat_session():
        model.current_chat_session = WRONG


def assigned(model: GPT4All) -> None:
    model.new_chat().messages = WRONG


def awaited(model: GPT4All) -> None:
    async def main() -> None:
        await model.agenerate(WRONG)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda model: model.generate(WRONG), "prompt"),
        (lambda model: model.generate(WRONG, streaming=True), "prompt"),
        (awaited, "prompt"),
        (lambda model: model.new_chat().generate(WRONG), "prompt"),
        (lambda model: model.generate_many([[WRONG[0]], WRONG]), r"prompts\[1\]: messages"),
        (lambda model: model.new_chat(messages=WRONG), "messages"),
        (lambda model: model.chat_session(messages=WRONG), "messages"),
        (in_session, "messages"),
        (assigned, "messages"),
        (lambda model: read_messages(WRONG, "messages"), "messages"),
    ],
)
def test_a_wrong_message_is_named(loaded: LoadFake, use: Callable[[GPT4All], Any], name: str) -> None:
    model = loaded("x", END, chat_template=JINJA)
    place = r"\[1\]\['tool_calls'\]\[0\]\['function'\]\['arguments'\] is no JSON"
    with pytest.raises(ValueError, match=f"^{name}{place}"):
        use(model)
    assert model.last_generation is None or model.last_generation.finish_reason == "stop"
