"""Answers under a JSON Schema parse and validate, on real weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from gpt4all import GPT4All
from tests.support.schemas import REFUSED, SCHEMAS, check_instance

pytestmark = pytest.mark.model

#: Those whose values can go on for ever.
UNBOUNDED = frozenset(
    {
        "anything",
        "any object",
        "all of recursive",
        "any array",
        "any names",
        "integer",
        "integer from",
        "integer up to",
        "number",
        "numbers up to",
        "pair",
        "positive numbers",
        "bounds beside one of",
        "names",
        "names beside patterns",
        "not a type",
        "not a value",
        "one more property",
        "properties and others",
        "array at least",
        "string",
        "string at least",
        "long string",
        "many items",
        "map of known names",
        "map of named so",
        "nested",
        "old tuple",
        "one of types",
        "pattern groups",
        "pattern not anchored",
        "pattern of anything",
        "recursive",
        "recursive root",
        "required and unknown",
        "free words",
        "tuple and rest",
    }
)
GREEDY = {"temp": 0}
RANDOM = {"temp": 1.0, "top_k": 0, "top_p": 1.0, "seed": 11}


@pytest.fixture(scope="module")
def smollm2(model_file: Callable[[str], Path]) -> Iterator[GPT4All]:
    """With one thread, for which a busy machine matters less: there are many short answers here."""
    with GPT4All(model_file("smollm2"), n_ctx=1024, n_threads=1) as model:
        yield model


def ask(model: GPT4All, name: str, **options: Any) -> None:
    with model.chat_session():
        text = model.generate(f"Answer in JSON: {name}", max_tokens=150, json_schema=SCHEMAS[name], **options)
    assert model.last_generation is not None
    if model.last_generation.finish_reason == "stop":
        check_instance(json.loads(text), SCHEMAS[name])
    else:
        assert name in UNBOUNDED or name.startswith("format "), text
        assert model.last_generation.finish_reason == "length"


@pytest.mark.slow
@pytest.mark.parametrize("options", [GREEDY, RANDOM], ids=["greedy", "random"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_answer_validates(smollm2: GPT4All, name: str, options: dict[str, Any]) -> None:
    ask(smollm2, name, **options)


@pytest.mark.parametrize("name", ["object", "one of tagged", "references", "pair", "format date-time", "probability"])
def test_some_answers_validate(smollm2: GPT4All, name: str) -> None:
    ask(smollm2, name, **RANDOM)


@pytest.mark.parametrize("name", ["ref to itself", "endless"])
def test_a_schema_without_an_end(smollm2: GPT4All, name: str) -> None:
    schema, message = REFUSED[name]
    with pytest.raises(ValueError, match="json_schema") as caught:
        smollm2.generate("x", json_schema=schema)
    assert message in str(caught.value)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Address(BaseModel):
    """Where somebody lives."""

    street: str = Field(max_length=30)
    number: int = Field(ge=1, le=9999)


class Person(BaseModel):
    name: str = Field(min_length=1, max_length=20, description="the first name")
    age: int = Field(ge=0, lt=150)
    height: float | None = Field(default=None, gt=0, le=2.5)
    colours: list[Colour] = Field(max_length=3)
    home: Address
    kind: Literal["cat", "dog"] = "cat"
    scores: dict[Literal["a", "b"], bool] = Field(default_factory=dict, max_length=2)
    place: tuple[int, bool]


@pytest.mark.parametrize("options", [GREEDY, RANDOM], ids=["greedy", "random"])
def test_a_pydantic_model(smollm2: GPT4All, options: dict[str, Any]) -> None:
    with smollm2.chat_session():
        text = smollm2.generate("Describe Anna, who is 30.", max_tokens=400, json_schema=Person, **options)
    assert smollm2.last_generation is not None
    assert smollm2.last_generation.finish_reason == "stop", text
    person = Person.model_validate_json(text)
    assert person.home.number >= 1
