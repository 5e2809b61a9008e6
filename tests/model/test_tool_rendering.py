"""Templates render conversations with tools, calls and their results as jinja2 renders them.

Known differences, besides those of ``test_chat_templates.py``:

- Kimi's templates add to lists, which Python's usual sandbox forbids; they are compared with one that lets them.
- Functionary 3.1 joins text that jinja2 holds for HTML, and so escapes quotes; the engine knows no HTML.
- FireFunction counts on variables that nobody sets, llama.cpp's own for DeepSeek R1 writes a generator as JSON, and
  Gemma 2 refuses system messages: there jinja2 fails, and the engine does not.
"""

from __future__ import annotations

import copy
import html
import json
from typing import Any

import jinja2
import pytest

from gpt4all import ChatTemplateError
from gpt4all._native.backend import NativeModel
from tests.support.chat.reference import Message, assistant, render, system, template_directory, user

pytestmark = pytest.mark.model

JINJA_FAILS = {"fireworks-ai-llama-3-firefunction-v2", "llama-cpp-deepseek-r1"}
CHANGES_LISTS = {"Kimi-K2-Instruct", "Kimi-K2-Thinking"}
ESCAPES_HTML = {"meetkai-functionary-medium-v3.1"}
REFUSES_SYSTEM = {"google-gemma-2-2b-it"}


def function(name: str, description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    # Mistral's templates want nine letters and digits.
    return {"id": f"call0000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(text: str, *calls: dict[str, Any]) -> Message:
    return assistant(text, tool_calls=list(calls))


def result(number: int, name: str, text: str) -> Message:
    return {"role": "tool", "tool_call_id": f"call0000{number}", "name": name, "content": text}


CITY = {"type": "string", "description": 'A city, e.g. "Paris"'}
DAYS = {"type": "integer", "default": 3, "minimum": 1}
WORDS = {"type": "array", "items": {"type": "string"}}
FILTER = {"type": "object", "properties": {"year": {"type": "number"}}}
TOOLS = [
    function("weather", "The weather.", {"city": CITY, "days": DAYS, "unit": {"enum": ["c", "f"]}}, ["city"]),
    function("search", "é & <b>", {"words": WORDS, "deep": {"type": "boolean"}, "filter": FILTER}, ["words"]),
    function("now", "Tells the time.", {}, []),
]
WEATHER = call(1, "weather", city="Paris é", days=2)
SEARCH = call(2, "search", words=["a", 'b"c'], deep=True, filter={"year": 1.5})
WARM = user("Is it warm?")
TALKS: dict[str, list[Message]] = {
    "tools alone": [WARM],
    "system": [system("Be brief."), WARM],
    "result": [WARM, calling("", WEATHER), result(1, "weather", "21 degrees")],
    "next question": [
        WARM,
        calling("", WEATHER),
        result(1, "weather", '{"degrees": 21, "sky": "clear"}'),
        assistant("It is."),
        user("Now?"),
    ],
    "text beside": [WARM, calling("I look.", WEATHER), result(1, "weather", "21"), assistant("It is.")],
    "two calls": [
        WARM,
        calling("", WEATHER, SEARCH),
        result(1, "weather", "21"),
        result(2, "search", "[]"),
        assistant("Yes."),
        user("Ok?"),
    ],
    "no arguments": [user("When?"), calling("", call(3, "now")), result(3, "now", "noon")],
    "two rounds": [
        WARM,
        calling("", WEATHER),
        result(1, "weather", "21"),
        calling("", SEARCH),
        result(2, "search", "none"),
    ],
}


def with_text(messages: list[Message]) -> list[Message]:
    """With arguments as OpenAI has them."""
    messages = copy.deepcopy(messages)
    for message in messages:
        for one in message.get("tool_calls", ()):
            one["function"]["arguments"] = json.dumps(one["function"]["arguments"], ensure_ascii=False)
    return messages


def expected(name: str, template: str, messages: list[Message]) -> set[str]:
    """What jinja2 makes of it, with arguments as objects and as text: the engine finds out which a template takes."""
    found = set()
    for form in (messages, with_text(messages)):
        try:
            text = render(
                template, form, bos="<|im_start|>", eos="<|im_end|>", tools=TOOLS, mutable=name in CHANGES_LISTS
            )
        except (jinja2.TemplateError, TypeError):
            continue
        found.add(html.unescape(text) if name in ESCAPES_HTML else text)
    return found


@pytest.mark.parametrize(
    "label", [pytest.param(label, marks=() if label == "two rounds" else pytest.mark.slow) for label in TALKS]
)
def test_conversations_with_tools(model: NativeModel, label: str) -> None:
    messages, paths = TALKS[label], sorted(template_directory().glob("*.jinja"))
    assert len(paths) > 60
    for path in paths:
        template = path.read_text(encoding="utf-8")
        wanted = expected(path.stem, template, messages)
        try:
            parts = model.render_chat(with_text(messages), template, args={"tools": TOOLS})
        except ChatTemplateError:
            assert wanted == set(), path.stem
            continue
        if path.stem in JINJA_FAILS or (path.stem in REFUSES_SYSTEM and label == "system"):
            assert wanted == set(), path.stem
        else:
            # Midnight may have passed.
            got = "".join(text for text, _ in parts)
            assert got in wanted or got in expected(path.stem, template, messages), path.stem
