"""Template choice, 2.8's templates, and how a history becomes parts of a prompt."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import pytest

from gpt4all.chat.history import ChatSession
from gpt4all.chat.messages import Message, check_messages
from gpt4all.chat.prompt import REFILL, first_that_fits, legacy_parts, turn_starts
from gpt4all.chat.template import DEFAULT_PROMPT_TEMPLATE, ChatTemplate, choose_template

JINJA = "{% for m in messages %}{{ m.content }}{% endfor %}"
OTHER_JINJA = "{{ messages }}"
LEGACY = "<|user|>{0}<|end|><|assistant|>{1}<|end|>"


@pytest.mark.parametrize(
    ("argument", "config", "model_template", "expected", "system"),
    [
        (LEGACY, {"chatTemplate": JINJA, "systemMessage": "m", "systemPrompt": "p"}, JINJA, (LEGACY, True), "p"),
        (JINJA, {"promptTemplate": LEGACY, "systemMessage": "m", "systemPrompt": "p"}, None, (JINJA, False), "m"),
        (None, {"chatTemplate": JINJA, "systemMessage": "m", "systemPrompt": "p"}, OTHER_JINJA, (JINJA, False), "m"),
        (None, {"chatTemplate": JINJA, "systemPrompt": "p"}, None, (JINJA, False), ""),
        (None, {"promptTemplate": LEGACY, "systemPrompt": "p", "systemMessage": "m"}, JINJA, (LEGACY, True), "p"),
        (None, {"systemPrompt": "p", "systemMessage": "m"}, JINJA, (None, False), ""),
    ],
)
def test_choice(
    argument: str | None, config: dict[str, Any], model_template: str | None, expected: tuple[str, bool], system: str
) -> None:
    template, default_system = choose_template(argument, config, model_template)
    assert (template.text, template.legacy) == expected
    assert default_system == system


def test_without_any_template_the_old_default_warns() -> None:
    with pytest.warns(DeprecationWarning, match="prompt_template"):
        template, _ = choose_template(None, {}, None)
    assert template == ChatTemplate(DEFAULT_PROMPT_TEMPLATE, legacy=True)


@pytest.mark.parametrize("template", ["%1", "### Human:\n%1\n", "{0} %1"])
def test_a_literal_percent_one_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="%1"):
        choose_template(template, {}, None)


@pytest.mark.parametrize("template", ["{% if x %}{{ x }}{%1 %}", "100%10 {0}"])
def test_what_only_looks_like_percent_one_is_fine(template: str) -> None:
    choose_template(template, {}, None)


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{0} {name}", "it holds {name};"),
        ("{0} {2}", "it holds {2};"),
        ("{0} {}", "it holds {};"),
        ("{0} }", "Single '}'"),
        ("{0} {", "Single '{'"),
        ("{0:>100000000}{0}", "it holds {0:>100000000};"),
        ("{0}{1:{0}}", "it holds {1:{0}};"),
        ("{0}{1!r}", "it holds {1!r};"),
        ("{0}{0.__class__}", "it holds {0.__class__};"),
        ("{0}{0[0]}", "it holds {0[0]};"),
        ("{0} {0}", "holds {0} {0};"),
        ("{1} {0}", "holds {1} {0};"),
        ("{0}{1}{1}", "holds {0} {1} {1};"),
        ("{{0}} ", "holds no {0};"),
    ],
)
def test_a_template_that_cannot_be_filled_in(template: str, found: str) -> None:
    """Nothing but {0} and {1}: a width, for one, would take gigabytes."""
    with pytest.raises(ValueError, match=f"^prompt_template .*{re.escape(found)}"):
        choose_template(template, {}, None)


@pytest.mark.parametrize("template", ["no place", "U {0:>99}", "{ 0 }"])
def test_a_template_without_the_conversation_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"^prompt_template holds neither \{0\} nor a Jinja expression"):
        choose_template(template, {}, None)


def test_an_empty_template_is_refused() -> None:
    with pytest.raises(ValueError, match="prompt_template is empty"):
        choose_template("", {}, None)


@pytest.mark.parametrize("arguments", [3, "enable_thinking", [("enable_thinking", False)], {1: True}])
def test_template_arguments_are_a_dict_of_names(arguments: Any) -> None:
    with pytest.raises(TypeError, match="template_args"):
        session(template_args=arguments)


def turns(*contents: str) -> list[Message]:
    return [
        {"role": "assistant" if index % 2 else "user", "content": content} for index, content in enumerate(contents)
    ]


def text(parts: list[tuple[str, bool]]) -> str:
    return "".join(part for part, _ in parts)


def test_a_template_with_both_places() -> None:
    parts = legacy_parts(LEGACY, "<|system|>S<|end|>", turns("Hi", "Hello", "Bye"), {})
    assert text(parts) == "<|system|>S<|end|><|user|>Hi<|end|><|assistant|>Hello<|end|><|user|>Bye<|end|><|assistant|>"
    assert [part for part, special in parts if not special] == ["Hi", "Hello", "Bye"]


def test_a_template_without_a_place_for_the_reply() -> None:
    parts = legacy_parts(DEFAULT_PROMPT_TEMPLATE, "", turns("Hi", "Hello", "Bye"), {})
    assert text(parts) == "### Human:\nHi\n\n### Assistant:\nHello\n\n### Human:\nBye\n\n### Assistant:\n"


def test_doubled_braces_are_single_ones() -> None:
    assert text(legacy_parts('{{"q": "{0}"}}', "", turns("Hi"), {})) == '{"q": "Hi"}'


def test_braces_of_the_user_stay() -> None:
    assert text(legacy_parts("{0}", "", turns("{1} {x}"), {})) == "{1} {x}"


def test_a_message_without_an_answer() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert text(legacy_parts("<{0}>{1};", "", messages, {})) == "<a>;<b>"


def test_a_greeting_comes_first() -> None:
    messages = [{"role": "assistant", "content": "Welcome"}, {"role": "user", "content": "b"}]
    assert text(legacy_parts("<{0}>{1};", "", messages, {})) == "Welcome;<b>"


def test_what_a_subclass_formatted_is_plain_text() -> None:
    parts = legacy_parts(LEGACY, "", turns("Hi", "Hello", "Bye"), {0: "<|x|> Hi", 2: "Bye!"})
    assert text(parts) == "<|x|> HiHello<|end|>Bye!"
    assert ("<|x|> Hi", False) in parts


def session(**options: Any) -> ChatSession:
    options = {"system_prompt": None, "prompt_template": LEGACY, "messages": None, "template_args": None, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ChatSession.create({}, None, **options)


def test_history_starts_with_the_system_prompt() -> None:
    assert session(system_prompt="S").conversation.messages == [{"role": "system", "content": "S"}]
    assert session().conversation.messages == [{"role": "system", "content": ""}]


def test_messages_resume_a_conversation() -> None:
    stored = turns("Hi", "Hello")
    resumed = session(messages=stored, system_prompt="S")
    assert resumed.conversation.messages == [{"role": "system", "content": "S"}, *stored]
    resumed.conversation.messages[1]["content"] = "changed"
    assert stored[0]["content"] == "Hi"


def test_stored_system_prompts_stay_unless_given() -> None:
    stored = [{"role": "system", "content": "old"}, *turns("Hi", "Hello")]
    assert session(messages=stored).conversation.messages[0]["content"] == "old"
    assert session(messages=stored, system_prompt="new").conversation.messages[0]["content"] == "new"


def test_a_snapshot_is_a_copy() -> None:
    chat = session(system_prompt="S")
    chat.conversation.snapshot()[0]["content"] = "changed"
    assert chat.conversation.messages[0]["content"] == "S"


@pytest.mark.parametrize(
    ("messages", "error", "words"),
    [
        ("Hi", TypeError, "list"),
        (5, TypeError, "list"),
        (["Hi"], TypeError, r"messages\[0\]"),
        ([{"role": "user"}], ValueError, "content"),
        ([{"content": "Hi"}], ValueError, "role"),
        ([{"role": "user", "content": None}], TypeError, "content"),
        ([{"role": "user", "content": "\ud800"}], ValueError, "surrogate"),
    ],
)
def test_bad_messages_name_what_is_wrong(messages: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_messages(messages)


@pytest.mark.parametrize("limit", [10, 100, 1000, 100_000])
@pytest.mark.parametrize("turns_stored", [1, 2, 3, 10, 100, 5000])
@pytest.mark.parametrize("bytes_per_token", [0.5, 4, 20])
def test_where_a_conversation_begins(limit: int, turns_stored: int, bytes_per_token: float) -> None:
    """The same place that trying one after the other finds, with few tries, and of nothing that is far too long."""
    turn_sizes = [1 + index % 7 for index in range(turns_stored)]
    sizes = [sum(turn_sizes[index:]) for index in range(turns_stored)]
    asked: list[int] = []

    def size(index: int) -> int:
        asked.append(sizes[index])
        return sizes[index]

    found = first_that_fits([int(size * bytes_per_token) for size in sizes], size, limit)
    fitting = (index for index in range(turns_stored - 1) if sizes[index] <= int(limit * REFILL))
    assert found == (0 if sizes[0] <= limit else next(fitting, turns_stored - 1))
    assert len(asked) <= 2 + 2 * math.log2(turns_stored)
    assert max(asked) <= 17 * limit


def test_turns_start_at_user_messages() -> None:
    assert turn_starts([{"role": "assistant", "content": ""}, *turns("a", "b", "c")]) == [1, 3]
