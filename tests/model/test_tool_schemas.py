"""Forced calls of a model that is much too small for them: whatever the shape of a schema, the arguments validate."""

from __future__ import annotations

import random
import warnings
from typing import Any

import jsonschema
import pytest
from bfcl.questions import PACKAGE, read
from nativebuild.cache import cache_dir

from gpt4all import GPT4All
from gpt4all.tools.toolbox import read_tools

pytestmark = pytest.mark.model

SHORT = {"type": "string", "maxLength": 12}


def shape(required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def strict(**properties: Any) -> dict[str, Any]:
    return {**shape(**properties), "additionalProperties": False}


#: What the leaderboard's functions are made of.
SHAPES: dict[str, dict[str, Any]] = {
    "geometry.triangle_area": shape(
        ["base", "height"], base={"type": "integer"}, height={"type": "number"}, unit=SHORT
    ),
    "no_parameters": shape(),
    "list_of_choices": shape(
        days={"type": "array", "items": {"type": "string", "enum": ["Mon", "Tue", "Wed"]}, "maxItems": 3}
    ),
    "list_of_objects": shape(
        orders={
            "type": "array",
            "items": shape(item=SHORT, amount={"type": "integer", "minimum": 1, "maximum": 20}),
            "minItems": 1,
            "maxItems": 2,
        }
    ),
    "matrix": shape(
        rows={
            "type": "array",
            "items": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
            "maxItems": 2,
        }
    ),
    "objects_in_objects": shape(
        route=shape(["start"], start=shape(city=SHORT, zip={"type": "string", "pattern": "^[0-9]{5}$"}), end=SHORT),
        quiet={"type": "boolean", "default": False},
    ),
    "defaults_and_remarks": shape(
        ["date"],
        date={"type": "string", "format": "date", "description": "such as 2024-03-01"},
        guests={"type": "integer", "default": 2},
        smoking={"type": "string", "enum": ["yes", "no", "dontcare"], "default": "dontcare"},
    ),
    "map_of_numbers": shape(prices={"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 2}),
    "one_value_of_several_types": shape(
        key={"type": ["integer", "null"]}, value={"anyOf": [SHORT, {"type": "boolean"}]}
    ),
    "numbers_as_words": shape(level={"enum": [1, "two", None]}, kind={"const": "fixed"}),
}
#: What OpenAI's strict mode allows: every property required, none beside them, optional ones as unions with null.
STRICT: dict[str, dict[str, Any]] = {
    "optional_as_null": strict(city=SHORT, unit={"type": ["string", "null"], "enum": ["c", "f", None]}),
    "bounds": strict(
        score={"type": "number", "minimum": 0, "maximum": 10},
        five={"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
        at={"type": "string", "format": "time"},
    ),
    "definitions": {
        **strict(steps={"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1, "maxItems": 2}),
        "$defs": {"step": strict(title=SHORT, done={"type": "boolean"})},
    },
    "recursion": strict(name=SHORT, child={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "either": strict(item={"anyOf": [strict(name=SHORT), strict(number={"type": "integer"}, unit=SHORT)]}),
}


def tool(name: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters, **more}}


TOOLS = [
    *(tool(name, parameters) for name, parameters in SHAPES.items()),
    *(tool(name, parameters, strict=True) for name, parameters in STRICT.items()),
]


def forced_call(model: GPT4All, messages: list[dict[str, Any]], tools: list[dict[str, Any]], seed: int) -> bool:
    """Whether it was written to its end; what it says of itself is checked in either case."""
    model.generate(
        messages,
        tools=tools,
        tool_choice="required",
        parallel_tool_calls=False,
        run_tools=False,
        max_tokens=120,
        temp=1,
        seed=seed,
    )
    outcome = model.last_generation
    assert outcome is not None
    if outcome.finish_reason == "length":
        assert outcome.tool_calls == ()
        assert all("cut off" in (call.error or "") for call in outcome.refused_calls)
        return False
    assert outcome.finish_reason == "tool_calls"
    (call,) = outcome.tool_calls
    (parameters,) = (each["function"]["parameters"] for each in tools if each["function"]["name"] == call.name)
    jsonschema.validate(call.arguments, parameters, jsonschema.Draft202012Validator)
    return True


@pytest.mark.parametrize("name", [*SHAPES, *STRICT])
def test_forced_calls_validate(smollm2: GPT4All, name: str) -> None:
    (offered,) = (each for each in TOOLS if each["function"]["name"] == name)
    asked = [{"role": "user", "content": f"Please call {name} for me."}]
    # A text in an answer may have no end; of several seeds one ends in time. Of recursion such a model finds no end.
    assert any(forced_call(smollm2, asked, [offered], seed) for seed in range(4)) or name == "recursion"


def test_one_of_many_is_called(smollm2: GPT4All) -> None:
    asked = [{"role": "user", "content": "Help."}]
    offered = [each for each in TOOLS if each["function"]["name"] in ("bounds", "matrix", "no_parameters", "either")]
    assert any(forced_call(smollm2, asked, offered, seed) for seed in range(4))


@pytest.mark.slow
def test_functions_of_the_leaderboard(smollm2: GPT4All) -> None:
    """Of the package where ``scripts/dev bfcl`` has fetched it."""
    package = cache_dir() / "bfcl" / PACKAGE.filename
    if not package.is_file():
        pytest.skip("bfcl-eval is not there; scripts/dev bfcl fetches it")
    short = [question for question in read(package) if len(str(question.tools)) < 900]
    written = 0
    with warnings.catch_warnings():
        # What a grammar cannot hold to is narrowed, and said.
        warnings.simplefilter("ignore", UserWarning)
        for question in random.Random(14).sample(short, 8):
            assert read_tools(question.tools)
            written += forced_call(smollm2, question.messages, question.tools, 1)
    assert written >= 4
