"""Chats prepared with tools, and what answers say, on the fake and on the real library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from ctypes import byref, c_int32, c_void_p
from typing import Any

import pytest

from gpt4all._native import abi
from gpt4all._native.chat import Parts, PreparedChat
from gpt4all.grammars.json_schema import schema_grammar
from tests.support.abi.client import Model, StatusError, Subject

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = {
    "tools": [
        {
            "type": "function",
            "function": {"name": "get_weather", "description": "The weather.", "parameters": SCHEMA},
            "grammar": schema_grammar(SCHEMA),
            "properties": {"city": "text"},
        }
    ],
    "choice": "auto",
    "parallel": True,
}
MESSAGES = [{"role": "user", "content": "Is it warm in Paris?"}]
TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}\n{{ '' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Par\\"is}"}}</tool_call>'


@pytest.fixture
def model(subject: Subject) -> Iterator[Model]:
    with subject.library.load(subject.model, n_ctx=64) as model:
        yield model


def prepare(model: Model, tools: Any = None, messages: Any = MESSAGES, template: str = TEMPLATE) -> PreparedChat:
    parts, handle = Parts(), c_void_p()
    tools = TOOLS if tools is None else tools
    status = model.c.gpt4all_chat_prepare(
        *(model.handle, template.encode(), json.dumps(messages).encode(), json.dumps(tools).encode(), None, None),
        *(parts.callback, None, byref(handle)),
    )
    model.library.check(status)
    assert ("Is it warm in Paris?", True) in parts.take()
    return PreparedChat(model.c, handle)


@pytest.fixture
def chat(model: Model) -> Iterator[PreparedChat]:
    chat = prepare(model)
    yield chat
    chat.close()


def test_text_is_content(chat: PreparedChat) -> None:
    read = chat.parse("It is warm.", partial=False)
    assert read == {"content": "It is warm.", "reasoning_content": "", "tool_calls": [], "complete": True}


def test_a_call_is_read(chat: PreparedChat) -> None:
    read = chat.parse("I look. " + CALL, partial=False)
    assert read["content"] == "I look. "
    [call] = read["tool_calls"]
    assert (call["name"], call["complete"], read["complete"]) == ("get_weather", True, True)
    assert json.loads(call["arguments"]) == {"city": 'Par"is}'}


def test_several_calls_are_read(chat: PreparedChat) -> None:
    read = chat.parse(CALL + "\n" + CALL, partial=False)
    assert [call["complete"] for call in read["tool_calls"]] == [True, True]


def test_what_a_growing_text_says_only_grows(chat: PreparedChat) -> None:
    text = ("I look. \u00e9 " + CALL + CALL).encode()
    content, calls = "", [""]
    for end in range(len(text) + 1):
        read = chat.parse(text[:end], partial=True)
        assert not read["complete"]
        # Of a character that is cut, nothing is known yet.
        assert read["content"].rstrip("\ufffd").startswith(content)
        content = read["content"].rstrip("\ufffd")
        now = [call["arguments"] for call in read["tool_calls"]]
        assert len(now) >= len(calls) or now == []
        for before, call in zip(calls, read["tool_calls"], strict=False):
            assert call["arguments"].startswith(before)
            assert not call["complete"] or json.loads(call["arguments"]) == {"city": 'Par"is}'}
        calls = now
    assert [json.loads(call) for call in calls] == [{"city": 'Par"is}'}] * 2


def test_a_call_that_is_cut_off_is_not_complete(chat: PreparedChat) -> None:
    whole = chat.parse(CALL, partial=False)["tool_calls"][0]["arguments"]
    end = CALL.index(whole) + len(whole)
    for n in range(end):
        assert not any(call["complete"] for call in chat.parse(CALL[:n], partial=True)["tool_calls"])
        read = chat.parse(CALL[:n], partial=False)
        assert not any(call["complete"] for call in read["tool_calls"])


def test_any_bytes_have_a_reading(chat: PreparedChat) -> None:
    for data in (b"\xff\xfe", b"\x00", b"<tool_call>" * 100, b"<tool_call>{" + b"[" * 10_000, b"</tool_call>"):
        for partial in (True, False):
            read = chat.parse(data, partial=partial)
            assert not any(call["complete"] for call in read["tool_calls"])


def test_parsing_stops(model: Model, chat: PreparedChat) -> None:
    flag, parts, text = c_int32(1), Parts(), b"a" * 5_000_000
    status = model.c.gpt4all_chat_parse(chat.handle, text, len(text), 0, byref(flag), parts.callback, None)
    assert status == abi.ERROR_CANCELLED
    assert parts.take() == []


def test_what_is_wrong_is_refused(model: Model) -> None:
    wrong: list[Any] = [[], {"tools": 1, "choice": "sometimes"}]
    for tools in wrong:
        if tools and "fake" in str(model.library.path):
            continue  # checks no more
        with pytest.raises(StatusError):
            prepare(model, tools=tools)


def test_null_is_freed(model: Model) -> None:
    assert model.c.gpt4all_chat_free(None) == abi.OK


def test_facts_are_json(chat: PreparedChat) -> None:
    assert chat.describe()["format"] == "generic"


def test_arguments_must_be_there(model: Model, chat: PreparedChat) -> None:
    parts, none = Parts(), c_void_p()
    calls: list[Callable[[], int]] = [
        lambda: model.c.gpt4all_chat_parse(None, b"", 0, 0, None, parts.callback, None),
        lambda: model.c.gpt4all_chat_parse(chat.handle, None, 1, 0, None, parts.callback, None),
        lambda: model.c.gpt4all_chat_parse(chat.handle, b"", -1, 0, None, parts.callback, None),
        lambda: model.c.gpt4all_chat_describe(None, parts.callback, None),
        lambda: model.c.gpt4all_chat_prepare(
            model.handle, None, b"[]", None, None, None, parts.callback, None, byref(none)
        ),
    ]
    for call in calls:
        assert call() == abi.ERROR_INVALID_ARGUMENT
