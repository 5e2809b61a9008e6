"""Messages in OpenAI's shape: checked, with errors that name the message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpt4all.chat.messages import check_messages, check_prompt, copied, size_of, text_of

CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CONVERSATION: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "Anna"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "2"},
    {"role": "assistant", "content": "It is 2."},
]


def test_what_openai_has_is_taken_as_it_is() -> None:
    checked = check_messages(CONVERSATION)
    assert checked == CONVERSATION
    assert check_messages(json.loads(json.dumps(checked))) == CONVERSATION
    checked[2]["tool_calls"][0]["function"]["name"] = "changed"
    assert CALL["function"]["name"] == "f"


def test_arguments_become_text_and_what_is_null_goes() -> None:
    call = {"function": {"name": "f", "arguments": {"x": "é"}}}
    message = {"role": "assistant", "tool_calls": [call], "name": None, "tool_call_id": None}
    assert check_messages([message]) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}],
        }
    ]
    assert check_messages([{"role": "assistant", "content": "a", "tool_calls": None}]) == [
        {"role": "assistant", "content": "a"}
    ]


USER: dict[str, Any] = {"role": "user", "content": "x"}
DEEP_TEXT = '{"a": ' * 100 + "1" + "}" * 100
DEEP = json.loads(DEEP_TEXT)
ROUND: list[Any] = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        ({"role": 1, "content": "x"}, TypeError, "'role'"),
        ({"content": "x"}, ValueError, "no 'role'"),
        ({"role": "user"}, ValueError, "no 'content'"),
        ("x", TypeError, "must be a dict"),
        ({"role": "user", "content": b"x"}, TypeError, r"'content'\] must be a str"),
        ({"role": "user", "content": "\ud800"}, ValueError, r"'content'\] holds a lone surrogate"),
        ({"role": "user", "content": [{"text": "a"}, {"text": "b", "at": {1}}]}, TypeError, r"\[1\]\['at'\].* not set"),
        (
            {"role": "user", "content": "x", "sent": object()},
            TypeError,
            r"'sent'\] must be a value of JSON, not object",
        ),
        ({"role": "user", "content": "x", "score": float("nan")}, TypeError, r"'score'\].* not nan"),
        ({"role": "user", "content": "x", "seen": {"by": "\ud800"}}, ValueError, r"'seen'\]\['by'\] holds a lone"),
        ({"role": "user", "content": "x", "seen": {1: 2}}, TypeError, r"'seen'\]'s key must be a str"),
        ({"role": "user", "content": "x", 5: 1}, TypeError, "must be a str"),
        ({"role": "user", "content": "x", "deep": DEEP}, ValueError, "nested too deeply"),
        ({"role": "user", "content": "x", "round": ROUND}, ValueError, "nested too deeply"),
        ({"role": "assistant", "content": "x", "reasoning_content": 5}, TypeError, "'reasoning_content'"),
        ({"role": "tool", "content": "x", "tool_call_id": 7}, TypeError, "'tool_call_id'"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": DEEP_TEXT}}]},
            ValueError,
            "nested",
        ),
        ({"role": "assistant", "content": None}, TypeError, "'content'"),
        ({"role": "user", "content": [{"type": "image_url"}]}, ValueError, r"'content'\]\[0\] is of type 'image_url'"),
        ({"role": "user", "content": ["x"]}, TypeError, r"'content'\]\[0\] must be a dict"),
        ({"role": "user", "content": [{"type": "text"}]}, ValueError, "has no 'text'"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, TypeError, "'text'"),
        ({"role": "user", "content": "x", "name": 5}, TypeError, "'name'"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, ValueError, "only an assistant"),
        ({"role": "assistant", "tool_calls": "f"}, TypeError, "tool_calls.* must be a list"),
        ({"role": "assistant", "tool_calls": ["f"]}, TypeError, r"tool_calls'\]\[0\] must be a dict"),
        ({"role": "assistant", "tool_calls": [{}]}, ValueError, "no 'function'"),
        ({"role": "assistant", "tool_calls": [{"function": {}}]}, ValueError, "no 'name'"),
        ({"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}, ValueError, "'custom'"),
        ({"role": "assistant", "tool_calls": [{**CALL, "id": 5}]}, TypeError, "'id'"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
            ValueError,
            "'arguments'.* is no JSON",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
            ValueError,
            "must be a JSON object",
        ),
    ],
)
def test_a_wrong_message_is_named(message: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=r"messages\[1\].*" + words):
        check_messages([USER, message])


def test_an_answer_to_no_call_is_named() -> None:
    wrong = {"role": "tool", "tool_call_id": "c2", "content": "2"}
    with pytest.raises(ValueError, match=r"messages\[3\] answers the call 'c2'"):
        check_messages([*CONVERSATION[:3], wrong])
    # The rest of a conversation that is elsewhere.
    assert check_messages([wrong]) == [wrong]


@pytest.mark.parametrize("messages", [[], [{"role": "assistant", "content": "x"}], [USER, CONVERSATION[0]]])
def test_the_last_message_is_one_to_answer(messages: Any) -> None:
    with pytest.raises(ValueError, match="messages"):
        check_prompt(messages)


def test_text_and_size() -> None:
    assert text_of(CONVERSATION[1]) == "a\nb"
    assert text_of(CONVERSATION[2]) == ""
    assert size_of(CONVERSATION[1]) == 3
    assert size_of(CONVERSATION[2]) > len(json.dumps(CALL))
    assert copied(CONVERSATION[2]) == CONVERSATION[2]
