"""JSON Schemas as grammars: random texts of each grammar are JSON that the schema accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gpt4all.grammars.disjoint import Traits
from gpt4all.grammars.document import Document, Node
from gpt4all.grammars.json_schema import schema_grammar
from gpt4all.grammars.keywords import Fuel
from tests.support.gbnf import Texts
from tests.support.schemas import REFUSED, SCHEMAS, check_instance

DRAWS = 60
#: What only the engine's reader of grammars finds.
FOUND_LATER = ("endless",)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_text_of_the_grammar_validates(name: str) -> None:
    texts = Texts(schema_grammar(SCHEMAS[name]))
    for seed in range(DRAWS):
        text = texts.draw(seed)
        try:
            check_instance(json.loads(text), SCHEMAS[name])
        except Exception as error:
            pytest.fail(f"{text!r}: {error}")


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in FOUND_LATER])
def test_what_cannot_be_done_is_an_error_that_says_where(name: str) -> None:
    schema, message = REFUSED[name]
    with pytest.raises(ValueError, match="^json_schema") as caught:
        schema_grammar(schema)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "integer", "minimum": 8, "maximum": 12}, {"8", "9", "10", "11", "12"}),
        ({"type": "boolean"}, {"true", "false"}),
        ({"type": "integer", "multipleOf": 4, "minimum": -5, "exclusiveMaximum": 8}, {"-4", "0", "4"}),
        ({"enum": ["a", "a", 1]}, {'"a"', "1"}),
        ({"type": "string", "pattern": "^(ab|c)?$"}, {'""', '"ab"', '"c"'}),
    ],
)
def test_a_small_schema_gives_all_its_values(schema: dict[str, Any], wanted: set[str]) -> None:
    texts = Texts(schema_grammar(schema))
    assert {texts.draw(seed) for seed in range(300)} == wanted


def test_a_grammar_does_not_grow_with_the_times_a_schema_is_used() -> None:
    address = {"type": "object", "properties": {"street": {"type": "string", "maxLength": 50}}}
    one = schema_grammar({"properties": {"a": address}})
    many = schema_grammar({"properties": {f"{letter}": address for letter in "abcdefgh"}})
    assert many.count("char{0,50}") == one.count("char{0,50}") == 1


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"const": float("nan")}, "is not JSON"),
        ({"const": {1, 2}}, "is not JSON"),
        ({"enum": ["x" * (1 << 20)]}, "larger than"),
    ],
)
def test_what_is_no_schema(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schema_grammar(schema)


def test_a_schema_that_is_nested_too_deeply() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ValueError, match="nested more than 60 deep"):
        schema_grammar(schema)
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(ValueError, match="json_schema"):
        schema_grammar(schema)


NOT = {"type": "array", "minContains": 2}


@pytest.mark.parametrize(
    ("schema", "lines"),
    [
        (
            {"properties": {"a": NOT, "b": {"items": NOT}, "c": {"type": "null"}}},
            [
                "#/properties/a: the property is left out: the keyword 'minContains' cannot be done",
                "#/properties/b: the property is left out: #/properties/b/items: the keyword 'minContains' cannot be "
                "done",
            ],
        ),
        (
            {"items": {"anyOf": [{"type": "null"}, NOT]}},
            ["#/items/anyOf/1: the alternative is left out: the keyword 'minContains' cannot be done"],
        ),
        # What is inside a part that is left out need not be named as well.
        (
            {"properties": {"a": {"properties": {"b": NOT, "c": NOT}, "required": ["c"]}}},
            [
                "#/properties/a: the property is left out: #/properties/a/properties/c: the keyword 'minContains' "
                "cannot be done"
            ],
        ),
    ],
)
def test_what_is_left_out_is_said_once_for_each_schema(schema: dict[str, Any], lines: list[str]) -> None:
    with pytest.warns(UserWarning, match="^json_schema") as caught:
        grammar = schema_grammar(schema)
    assert [warning.filename for warning in caught] == [__file__]
    assert str(caught[0].message).splitlines()[1:] == [f"  {line}" for line in lines]
    # Warnings are errors in tests.
    assert schema_grammar(schema) == grammar


@pytest.mark.parametrize("schema", [{"name": "string", "age": "int"}, {"name": "x", "schema": {"type": "object"}}])
def test_what_is_no_schema_is_said_once(schema: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=r"^json_schema: 'name', .*no keyword of JSON Schema") as caught:
        schema_grammar(schema)
    assert [warning.filename for warning in caught] == [__file__]
    schema_grammar(schema)


@pytest.mark.parametrize("schema", [{}, {"title": "anything"}, {"$defs": {}, "x-note": "ours"}])
def test_schemas_that_constrain_nothing(schema: dict[str, Any]) -> None:
    assert schema_grammar(schema)


def test_a_warning_stays_readable() -> None:
    schema = {"properties": {f"p{number}": NOT for number in range(100)}}
    with pytest.warns(UserWarning, match="and 80 more") as caught:
        schema_grammar(schema)
    assert len(str(caught[0].message).splitlines()) == 22


@pytest.mark.parametrize("wrong", [{"type": "text"}, {"items": 3}, {"minLength": "x"}, {"required": "a"}])
def test_what_is_wrong_is_not_left_out(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="#/properties/a"):
        schema_grammar({"properties": {"a": {"anyOf": [{"type": "null"}, {**wrong, "title": "A"}]}}})


def test_a_property_that_may_not_be_there_is_no_loss() -> None:
    assert "absent" not in schema_grammar({"properties": {"absent": False, "b": {}}})


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({"type": "string"}, {"type": "null"}, True),
        ({"type": "integer"}, {"type": "number"}, False),
        ({"const": 1}, {"const": 1.0}, False),
        ({"const": 1}, {"const": True}, True),
        ({"enum": ["a", "b"]}, {"enum": ["c"]}, True),
        ({"enum": ["a", "b"]}, {"enum": ["b"]}, False),
        ({"const": "a"}, {"type": "string"}, False),
        ({}, {"type": "string"}, False),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, {"type": ["string", "array"]}, True),
        ({"$ref": "#"}, {"$ref": "#"}, False),
    ],
)
def test_what_can_be_told_apart(one: dict[str, Any], other: dict[str, Any], apart: bool) -> None:
    traits = Traits(Document({}), Fuel(100))
    assert traits.apart(Node(one, "one"), Node(other, "other")) is apart
    assert traits.apart(Node(other, "other"), Node(one, "one")) is apart


def test_a_schema_is_converted_once() -> None:
    """An e-mail address takes as long as some tokens, and programs ask for the same form again and again."""
    schema = {"type": "string", "format": "email", "description": "converted once"}
    assert schema_grammar(dict(schema)) is schema_grammar(schema)
