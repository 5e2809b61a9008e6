"""Parts of text and rendered chats as ``gpt4all_backend.h`` has them, on the fake and on the real library.

What a template becomes is different there: the fake reads none. That is in ``tests/model/test_chat_templates.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ctypes import byref, c_char_p, c_int32
from typing import Any

import pytest

from gpt4all import ChatTemplateError
from gpt4all._native import abi
from gpt4all._native.backend import load_backend
from tests.support.abi.client import CONTROL, Library, Model, StatusError, Subject
from tests.support.fake.backend import FakeModel
from tests.support.load_options import load_options

MESSAGES = json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": 'a"\\\n\u00e9😀'}])
# The form that the fake gives every conversation.
TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}\n{{ '' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
RENDERED = [("[user]", False), ("Hi", True), ("\n[assistant]", False), ('a"\\\n\u00e9😀', True), ("\n", False)]


@pytest.fixture
def model(subject: Subject) -> Iterator[Model]:
    with subject.library.load(subject.model, n_ctx=64) as model:
        yield model


def merged(parts: list[tuple[bytes, bool]]) -> list[tuple[str, bool]]:
    """Neighbours of one kind as one part: how text is cut where nothing changes says nothing."""
    joined: list[tuple[bytes, bool]] = []
    for text, from_message in parts:
        if joined and joined[-1][1] == from_message:
            joined[-1] = (joined[-1][0] + text, from_message)
        else:
            joined.append((text, from_message))
    return [(text.decode(), from_message) for text, from_message in joined]


def test_parts_are_one_text(model: Model) -> None:
    text = "Once upon a time"
    for flags in (0, abi.TOKENIZE_ADD_SPECIAL):
        wanted = model.tokenize(text, flags)
        for at in range(len(text) + 1):
            for kind in (True, False):
                assert model.tokenize_parts([(text[:at], kind), ("", True), (text[at:], not kind)], flags) == wanted


def test_control_tokens_count_in_parts_that_parse_them(subject: Subject, model: Model) -> None:
    text = subject.control
    [control] = model.tokenize(text, abi.TOKENIZE_PARSE_SPECIAL)
    parts = [("a", False), (text, True), (text, False), ("b", True)]
    assert model.tokenize_parts(parts, 0).count(control) == 1
    assert model.tokenize_parts([(text, False), (text, False)], 0).count(control) == 0
    half = len(text) // 2
    assert control not in model.tokenize_parts([(text[:half], True), (text[half:], False)], 0)


def test_tokens_that_do_not_fit_are_counted(model: Model) -> None:
    parts = (abi.TextPart * 2)(abi.TextPart(b"Once upon", 9, 1, 0), abi.TextPart(b" a time", 7, 0, 0))
    wanted = model.tokenize_parts([("Once upon", True), (" a time", False)], 0)
    buffer, count = (c_int32 * len(wanted))(*[-7] * len(wanted)), c_int32()
    tokenize = model.c.gpt4all_tokenize_parts
    status = tokenize(model.handle, parts, 2, 0, None, buffer, len(wanted) - 1, byref(count))
    assert (status, count.value, buffer[-1]) == (abi.ERROR_BUFFER_TOO_SMALL, len(wanted), -7)
    assert tokenize(model.handle, parts, 2, 0, None, buffer, len(wanted), byref(count)) == abi.OK
    assert list(buffer) == wanted


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (abi.TextPart(b"ab", -1, 0, 0), "parts[1]"),
        (abi.TextPart(b"ab", 1 << 40, 0, 0), "parts[1]"),
        (abi.TextPart(None, 1, 0, 0), "parts[1].data"),
        (abi.TextPart(b"ab", 2, 0, 1), "parts[1].reserved"),
    ],
)
def test_impossible_parts(model: Model, part: abi.TextPart, message: str) -> None:
    parts, count = (abi.TextPart * 2)(abi.TextPart(b"ab", 2, 0, 0), part), c_int32()
    status = model.c.gpt4all_tokenize_parts(model.handle, parts, 2, 0, None, None, 0, byref(count))
    assert status == abi.ERROR_INVALID_ARGUMENT
    assert message in model.library.last_error()


def test_rendering(model: Model) -> None:
    assert merged(model.render(MESSAGES, TEMPLATE)) == RENDERED
    parts = merged(model.render(MESSAGES, TEMPLATE, "{}", add_generation_prompt=True))
    assert parts == [*RENDERED[:-1], ("\n[assistant]", False)]
    assert model.render("[]", TEMPLATE) == []
    assert merged(model.render(" [ ] ", TEMPLATE, add_generation_prompt=True)) == [("[assistant]", False)]


def test_rendering_can_be_stopped(model: Model) -> None:
    whole = model.render(MESSAGES, TEMPLATE)
    assert len(whole) > 2
    for most in range(1, len(whole)):
        assert model.render(MESSAGES, TEMPLATE, most=most) == whole[:most]


def test_rendering_looks_at_the_cancel_flag(model: Model) -> None:
    for template in (TEMPLATE, TEMPLATE + "{# read for the first time #}"):
        with pytest.raises(StatusError) as failure:
            model.render(MESSAGES, template, cancel=c_int32(1))
        assert failure.value.status == abi.ERROR_CANCELLED
    assert merged(model.render(MESSAGES, TEMPLATE, cancel=c_int32(0))) == RENDERED


def test_rendering_is_no_call_that_needs_the_context(model: Model) -> None:
    seen: list[Any] = []

    def on_token(token: int, piece: bytes) -> bool:
        seen.append((merged(model.render(MESSAGES, TEMPLATE)), model.tokenize_parts([("a", True)], 0)))
        return len(seen) < 3

    model.generate(model.tokenize("Once upon a"), on_token=on_token, max_tokens=10)
    assert seen == [(RENDERED, model.tokenize("a", 0))] * 3


@pytest.mark.parametrize(
    ("messages", "args", "message"),
    [
        ("", None, "messages_json"),
        ("{}", None, "messages_json"),
        ("[1]", None, "messages_json"),
        ('[{"content": "a"}]', None, "messages_json"),
        ('[{"role": "user", "content": "a"}', None, "messages_json"),
        ('[{"role": "user", "content": "a\\q"}]', None, "messages_json"),
        ("[]]", None, "messages_json"),
        ("[" * 100_000, None, "messages_json"),
        ("[]", "[]", "args_json"),
        ("[]", "{", "args_json"),
        ("[]", "{'a': 1}", "args_json"),
        ("[]", '{"a": ' + "[" * 100_000, "args_json"),
    ],
)
def test_impossible_messages(model: Model, messages: str, args: str | None, message: str) -> None:
    with pytest.raises(StatusError, match=message) as failure:
        model.render(messages, TEMPLATE, args)
    assert failure.value.status == abi.ERROR_INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("template", "message"),
    [("{% if", "is broken"), ("{{ raise_exception('not this one') }}", "refuses the conversation: not this one")],
)
def test_templates_that_fail(model: Model, template: str, message: str) -> None:
    with pytest.raises(StatusError, match=message) as failure:
        model.render(MESSAGES, template)
    assert failure.value.status == abi.ERROR_TEMPLATE
    assert merged(model.render(MESSAGES, TEMPLATE)) == RENDERED


def test_own_template(subject: Subject, model: Model) -> None:
    if model.info().chat_template:
        assert merged(model.render(MESSAGES))
    else:
        with pytest.raises(StatusError, match="no chat template"):
            model.render(MESSAGES)
    missing = model.c.gpt4all_chat_render(model.handle, None, None, None, 0, None, abi.PartCallback(lambda *_: 0), None)
    assert missing == abi.ERROR_INVALID_ARGUMENT
    assert "messages_json" in model.library.last_error()


class TestFake:
    def test_needs_a_template(self, fake: Library, fake_model: FakeModel) -> None:
        with fake.load(fake_model("a")) as model, pytest.raises(StatusError, match="no chat template"):
            model.render(MESSAGES)

    def test_thinking(self, fake: Library, fake_model: FakeModel) -> None:
        with fake.load(fake_model("a", chat_template="{{ '<think>' }}")) as model:
            thinks = merged(model.render("[]", add_generation_prompt=True))
            assert thinks == [("[assistant]<think>\n", False)]
            silent = model.render("[]", None, '{"x": [1], "enable_thinking": false}', add_generation_prompt=True)
            assert merged(silent) == [("[assistant]", False)]

    def test_broken(self, fake: Library, fake_model: FakeModel) -> None:
        with fake.load(fake_model("a")) as model, pytest.raises(StatusError, match="is broken"):
            model.render(MESSAGES, "broken")

    def test_through_the_package(self, fake_backend: object, fake_model: FakeModel) -> None:
        backend = load_backend("cpu")
        model = backend.load_model(fake_model("a", chat_template="x", control=CONTROL), load_options(n_ctx=64))
        messages = [{"role": "user", "content": f"ü{CONTROL}"}]
        parts = model.render_chat(messages, args={"a": 1})
        assert "".join(text for text, _ in parts) == f"[user]ü{CONTROL}\n[assistant]"
        assert (f"ü{CONTROL}", True) in parts
        tokens = model.tokenize_parts([(text, not from_message) for text, from_message in parts])
        assert tokens == model.tokenize("".join(text for text, _ in parts), add_special=True, parse_special=False)
        with pytest.raises(ChatTemplateError, match="is broken"):
            model.render_chat(messages, "broken")
        model.close()


def test_strings_end_at_nul(model: Model) -> None:
    """The template and the JSON are C strings."""
    template = c_char_p(b"[{{ messages[0].role }}]\0{% if")
    taken: list[int] = []

    def take(address: int, length: int, from_message: int, payload: int | None) -> int:
        taken.append(length)
        return 0

    callback = abi.PartCallback(take)
    messages = MESSAGES.encode()
    assert model.c.gpt4all_chat_render(model.handle, template, messages, None, 0, None, callback, None) == abi.OK
    assert taken
