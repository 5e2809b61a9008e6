"""Whatever a tool's grammar lets a model write in a family's form is a call, and of the tool's schema.

Texts are drawn at random from the grammars, so that no model is needed that would write the oddest of them.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from gpt4all._native.backend import NativeModel
from gpt4all.tools.toolbox import read_tools
from tests.support.chat.reference import template_directory
from tests.support.gbnf import Texts

pytestmark = pytest.mark.model


def schema(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


SCHEMAS = {
    # What formats with a tag for each parameter write as JSON.
    "numbers": schema(
        {
            "days": {"type": "integer", "minimum": 1, "maximum": 30},
            "warm": {"type": "boolean"},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "place": schema({"x": {"type": "integer"}}, "x", additionalProperties=False),
            "tags": {"type": "array", "items": {"enum": [1, 2, 3]}, "maxItems": 3},
        },
        *("days", "warm", "place"),
    ),
    # What they cannot hold to: it is written as JSON as a whole.
    "restricted": schema(
        {
            "plate": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
            "unit": {"enum": ["c", "f"]},
            "short": {"type": "string", "maxLength": 8},
            "day": {"type": "string", "format": "date"},
        },
        *("plate", "unit", "day"),
        additionalProperties=False,
    ),
    "texts": schema(
        {
            "text": {"type": "string"},
            'we"ird>\n': {"type": "string"},
            "n": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}},
            "maybe": {"type": "string"},
        },
        *("text", "n"),
    ),
    "required without a schema": schema({"a": {"type": "integer"}}, "a", "b"),
    "nothing": schema({}),
    "all optional": schema({"a": {"type": "integer"}, "b": {"type": "boolean"}, "c": {"type": "string"}}),
}
#: One for each kind of form; the rest are slow.
KINDS = [
    *("GLM-4.6", "Kimi-K2-Thinking", "Mistral-Small-3.2-24B-Instruct-2506", "Qwen3-Coder", "openai-gpt-oss-120b"),
    *("Qwen-Qwen2.5-7B-Instruct", "openbmb-MiniCPM5-1B", "inclusionai-ling-3.0-flash", "google-gemma-4-31B-it"),
]


def after_prompt(facts: dict[str, Any], text: str) -> str:
    """What a model writes after the prompt, where ``text`` is of the grammar."""
    prompt, opening, closings = facts["generation_prompt"], facts["thinking_open"], facts["thinking_close"]
    if prompt and text.startswith(prompt):
        return text.removeprefix(prompt)
    thinks = opening and prompt.rfind(opening) > max([prompt.rfind(closing) for closing in closings], default=-1)
    return f"Hm.{closings[0]}{text}" if thinks else text


def check(model: NativeModel, template: str, name: str, seeds: range) -> None:
    tools = [{"function": {"name": "f", "description": "Does it.", "parameters": SCHEMAS[name]}}]
    definitions = [tool.definition() for tool in read_tools(tools)]
    described = {"tools": definitions, "choice": "required", "parallel": False}
    _, chat = model.prepare_chat([{"role": "user", "content": "Go."}], described, template)
    facts = chat.describe()
    texts = Texts("\n".join(filter(None, facts["grammar"].splitlines())))
    for seed in seeds:
        text = after_prompt(facts, texts.draw(seed))
        read = chat.parse(text, partial=False)
        [call] = read["tool_calls"]
        assert (call["name"], call["complete"]) == ("f", True), text
        jsonschema.validate(json.loads(call["arguments"]), SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("family", KINDS)
def test_drawn_calls(model: NativeModel, family: str, name: str) -> None:
    check(model, (template_directory() / f"{family}.jinja").read_text(encoding="utf-8"), name, range(5))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_drawn_calls_in_all_forms(model: NativeModel, name: str) -> None:
    paths = sorted(template_directory().glob("*.jinja"))
    assert len(paths) > 60
    for path in paths:
        check(model, path.read_text(encoding="utf-8"), name, range(4))


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("family", KINDS)
def test_a_megabyte_of_anything_has_a_reading(model: NativeModel, family: str, partial: bool) -> None:
    """Reading has a bound of steps for each byte, and of depth."""
    tools = [tool.definition() for tool in read_tools([{"function": {"name": "f", "parameters": SCHEMAS["numbers"]}}])]
    template = (template_directory() / f"{family}.jinja").read_text(encoding="utf-8")
    described = {"tools": tools, "choice": "auto", "parallel": True}
    _, chat = model.prepare_chat([{"role": "user", "content": "Go."}], described, template)
    trigger = (chat.describe()["triggers"] or ["<|channel|>"])[0]
    call = trigger + '{"name": "f", "arguments": {"days": '
    for text in ("a", "<", trigger, trigger[:-1], call, call + "[" * 100_000, call + '"\\u00e9'):
        read = chat.parse(text * (1_000_000 // len(text)), partial=partial)
        assert not any(call["complete"] for call in read["tool_calls"])
