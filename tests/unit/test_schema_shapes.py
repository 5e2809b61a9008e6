"""What schemas say in several ways at once: all that a small one accepts is generated, or what is not is said."""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import pytest

from gpt4all.grammars.json_schema import schema_grammar
from tests.support.gbnf import Texts
from tests.support.schemas import ANIMAL, OTHER_ANIMAL, check_instance

DRAWS = 200


def values(schema: Any) -> set[str]:
    """All values of a small schema, without white space, and each once more checked."""
    texts = Texts(schema_grammar(schema))
    found = {json.dumps(json.loads(texts.draw(seed)), separators=(",", ":")) for seed in range(DRAWS)}
    for text in found:
        check_instance(json.loads(text), schema)
    return found


def narrowings(schema: Any) -> list[str]:
    """The lines of the warning about a schema, which no test has used before."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schema_grammar(schema)
    assert len(caught) <= 1
    return [line.strip() for warning in caught for line in str(warning.message).splitlines()[1:]]


A, B, C = {"a": {"const": 1}}, {"b": {"const": 2}}, {"c": {"const": 3}}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        # S4, as pydantic 2.8 writes a Literal
        ({"const": "cat", "enum": ["cat"], "type": "string"}, ['"cat"']),
        ({"enum": ["a", "bb", 1, 2.0, 3.5, None], "type": ["string", "integer"], "maxLength": 1}, ['"a"', "1", "2.0"]),
        # S7
        ({"type": "integer", "anyOf": [{"minimum": 3, "maximum": 4}, {"enum": [9, "x"]}]}, ["3", "4", "9"]),
        ({"type": ["boolean", "null"], "oneOf": [{"type": "null"}, {"const": True}]}, ["true", "null"]),
        ({"$ref": "#/$defs/n", "maximum": 2, "$defs": {"n": {"type": "integer", "minimum": 1}}}, ["1", "2"]),
        ({"properties": A, "anyOf": [{"properties": B, "required": ["b"]}, {"required": ["a"]}]}, None),
        ({"type": "object", "anyOf": [{"type": "string"}, {"properties": A, "required": ["a"]}]}, ['{"a":1}']),
        # S9, allOf
        (
            {
                "allOf": [
                    {"properties": {"a": {"minimum": 1}}},
                    {"properties": {"a": {"enum": [0, 1]}}, "required": ["a"]},
                ]
            },
            ['{"a":1}'],
        ),
        (
            {
                "allOf": [
                    {"properties": {**A, **B}, "required": ["a"]},
                    {"properties": A, "additionalProperties": False},
                ]
            },
            ['{"a":1}'],
        ),
        ({"allOf": [{"minimum": 3, "type": "number"}, {"type": "integer"}, {"exclusiveMaximum": 5}]}, ["3", "4"]),
        (
            {"allOf": [{"items": {"enum": [1, 2]}}, {"prefixItems": [{"minimum": 2}], "maxItems": 1, "minItems": 1}]},
            ["[2]"],
        ),
        # oneOf
        ({"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, ['"a"', '"c"']),
        (
            {"properties": {**A, **B}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            ['{"a":1}', '{"b":2}'],
        ),
        (
            {
                "oneOf": [
                    {"properties": A, "required": ["a"], "additionalProperties": False},
                    {"properties": {**A, **B}, "required": ["b"], "additionalProperties": False},
                ],
                "type": "object",
            },
            ['{"a":1}', '{"b":2}', '{"a":1,"b":2}'],
        ),
        # not
        ({"enum": [1, 2, 3], "not": {"const": 2}}, ["1", "3"]),
        ({"type": ["null", "string", "boolean"], "not": {"type": "string"}}, ["null", "true", "false"]),
        ({"properties": {**A, **B}, "required": ["a"], "not": {"required": ["b"]}}, ['{"a":1}']),
        ({"type": "integer", "not": {"anyOf": [{"minimum": 5}, {"exclusiveMaximum": 3}]}}, ["3", "4"]),
        ({"type": ["null", "boolean"], "not": {"not": {"type": "null"}}}, ["null"]),
        # if
        (
            {
                "properties": {"k": {"enum": ["x", "y"]}, **A},
                "required": ["k"],
                "if": {"properties": {"k": {"const": "x"}}},
                "then": {"required": ["a"]},
                "else": {"properties": {"a": False}},
            },
            ['{"k":"x","a":1}', '{"k":"y"}'],
        ),
        # What depends on what
        ({"properties": {**A, **B}, "dependentRequired": {"a": ["b"]}}, ["{}", '{"b":2}', '{"a":1,"b":2}']),
        (
            {"properties": {**A, **B}, "dependencies": {"b": {"properties": {"a": False}}}},
            ["{}", '{"a":1}', '{"b":2}'],
        ),
        # Counted
        (
            {"properties": {**A, **B, **C}, "minProperties": 2, "maxProperties": 2, "required": ["b"]},
            ['{"a":1,"b":2}', '{"b":2,"c":3}'],
        ),
        ({"items": {"enum": ["a", "b"]}, "uniqueItems": True}, ["[]", '["a"]', '["b"]', '["a","b"]', '["b","a"]']),
        ({"items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2}, ["[true,false]", "[false,true]"]),
        (
            {
                "properties": A,
                "propertyNames": {"enum": ["a", "b"]},
                "additionalProperties": {"const": 2},
                "minProperties": 2,
                "maxProperties": 2,
            },
            ['{"a":1,"b":2}'],
        ),
        ({"propertyNames": {"enum": ["a", "b"]}, "properties": {**A, **C}}, ["{}", '{"a":1}']),
    ],
)
def test_all_that_a_schema_accepts_is_generated(schema: dict[str, Any], wanted: list[str] | None) -> None:
    found = values(schema)
    # Without a list the values only have to be right.
    assert wanted is None or found == set(wanted)


def tagged(name: str, **more: Any) -> dict[str, Any]:
    """A class of pydantic's whose tag has a default, so that it is not required."""
    return {"type": "object", "properties": {"kind": {"const": name, "default": name, "type": "string"}, **more}}


def test_the_tag_of_a_union_is_always_written() -> None:
    union = {"oneOf": [tagged("cat"), tagged("dog")], "discriminator": {"propertyName": "kind"}}
    assert values(union) == {'{"kind":"cat"}', '{"kind":"dog"}'}


def test_unions_of_unions() -> None:
    cats = [
        {"properties": {"pet": {"const": "cat"}, "colour": {"const": colour}}, "required": ["pet", "colour"]}
        for colour in ("black", "white")
    ]
    schema = {
        "oneOf": [
            {"oneOf": cats, "discriminator": {"propertyName": "colour"}},
            {"type": "object", "properties": {"pet": {"const": "dog"}}, "required": ["pet"]},
        ],
        "discriminator": {"propertyName": "pet"},
    }
    assert values(schema) == {
        '{"pet":"cat","colour":"black"}',
        '{"pet":"cat","colour":"white"}',
        '{"pet":"dog"}',
    }


def test_many_tagged_alternatives() -> None:
    grammar = schema_grammar({"oneOf": [tagged(f"k{number}") for number in range(300)]})
    assert all(f'"\\"k{number}\\""' in grammar for number in range(300))


LINES = [
    (
        {"anyOf": [{"type": "number", "multipleOf": 0.5, "minContains": 1}, {"type": "null"}]},
        ["#/anyOf/0: the alternative is left out: the keyword 'minContains' cannot be done"],
    ),
    (
        {"type": "object", "properties": {"a": {"unevaluatedItems": False}, "b": {"type": "null"}}},
        ["#/properties/a: the property is left out: the keyword 'unevaluatedItems' cannot be done"],
    ),
    ({"items": {"type": "string"}, "uniqueItems": True}, ["#: uniqueItems: there is at most one item"]),
    (
        {"items": {"enum": list("abcdefgh")}, "uniqueItems": True, "minItems": 3},
        ["#: uniqueItems: the items are in the schema's order"],
    ),
    ({"contains": {"type": "null"}}, ["#/contains: it is the first item"]),
    (
        {
            "oneOf": [
                {"type": "object", "properties": {**A, **B}, "required": ["a"]},
                {"required": ["b"], "type": "object"},
            ]
        },
        ["#/oneOf/0: the property 'b' is left out, with which another would match"],
    ),
    (
        {"properties": A, "if": {"multipleOf": 7}, "then": {"required": ["a"]}, "else": {"required": ["a"]}},
        ["#: if is not told from else: the keyword 'not' cannot be done with 'multipleOf' inside"],
    ),
]


@pytest.mark.parametrize(("schema", "lines"), LINES)
def test_what_is_narrowed_is_said(schema: dict[str, Any], lines: list[str]) -> None:
    assert narrowings(schema) == lines
    texts = Texts(schema_grammar(schema))
    for seed in range(60):
        check_instance(json.loads(texts.draw(seed)), schema)


def test_nothing_is_said_where_nothing_is_lost() -> None:
    schema = {
        "oneOf": [ANIMAL, OTHER_ANIMAL],
        "properties": {"never": False, "nor": {"enum": ["a"], "type": "null"}},
        "anyOf": [{"type": "object"}, {"type": "string", "minimum": 3}],
    }
    assert narrowings(schema) == []


@pytest.mark.parametrize(
    ("inner", "outer", "wanted"),
    [
        ({"$id": "http://e.org/x", "$defs": {"t": {"const": 1}}, "$ref": "#/$defs/t"}, {}, "1"),
        # Before 2019 nothing counted beside a $ref.
        (
            {"$id": "http://e.org/x", "$defs": {"t": {"const": 1}}, "$ref": "#/$defs/t"},
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            '"s"',
        ),
        ({"$ref": "other#/$defs/t"}, {"$id": "http://e.org/r"}, "7"),
        ({"$ref": "http://e.org/other#/$defs/t"}, {}, "7"),
        ({"$ref": "#it"}, {}, "8"),
        ({"$ref": "http://e.org/r#/$defs/t"}, {"$id": "http://e.org/r"}, '"s"'),
        ({"$ref": "#/$defs/a~1b%25~0"}, {}, "9"),
    ],
)
def test_references_are_resolved_where_they_stand(inner: dict[str, Any], outer: dict[str, Any], wanted: str) -> None:
    schema = {
        **outer,
        "properties": {"x": inner},
        "required": ["x"],
        "$defs": {
            "t": {"const": "s"},
            "it": {"$anchor": "it", "const": 8},
            "a/b%~": {"const": 9},
            "other": {"$id": "http://e.org/other", "$defs": {"t": {"const": 7}}},
        },
    }
    texts = Texts(schema_grammar(schema))
    assert {json.dumps(json.loads(texts.draw(seed))["x"]) for seed in range(30)} == {wanted}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#"}, "refers to itself and never ends"),
        ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}, "never ends"),
        ({"$ref": "http://e.org/elsewhere"}, "only the schema itself"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "nothing matches"),
        ({"properties": {"a": False}, "required": ["a"], "type": "object"}, "nothing matches"),
        ({"anyOf": [{"minContains": 1}, {"maxContains": 1}]}, "none of the alternatives can be done: #/anyOf/0"),
        ({"items": {"type": "string"}, "uniqueItems": True, "minItems": 2}, "uniqueItems cannot be done"),
        ({"items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 3}, "not enough different items"),
        ({"dependentRequired": {"a": [1]}}, "dependentRequired must be lists of names or schemas"),
        ({"anyOf": []}, "anyOf must be a list that is not empty"),
        ({"allOf": {}}, "allOf must be a list that is not empty"),
        ({"$ref": 3}, "$ref must be a string"),
    ],
)
def test_what_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        schema_grammar(schema)


def test_a_part_that_refers_to_itself_is_left_out_whole() -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/tree"}, "bad": {"unevaluatedItems": False}},
        "required": ["bad"],
    }
    schema = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/tree"}, "trees": {"items": {"$ref": "#/$defs/tree"}}, **A},
        "$defs": {"tree": tree},
    }
    assert [line.partition(":")[0] for line in narrowings(schema)] == ["#/properties/tree", "#/properties/trees"]
    assert values(schema) == {"{}", '{"a":1}'}


def test_a_string_that_is_too_large_for_a_grammar_is_left_out() -> None:
    large = {"type": "string", "pattern": "a.{3000}b.{3000}c", "maxLength": 9000, "minLength": 8000}
    assert len(narrowings({"type": "object", "properties": {"s": large, **A}})) == 1


def test_errors_are_of_the_public_kind() -> None:
    with pytest.raises(ValueError, match="^json_schema: #: nothing matches") as caught:
        schema_grammar(False)
    assert type(caught.value) is ValueError
    assert caught.value.__suppress_context__


def test_many_properties() -> None:
    assert schema_grammar({"properties": {f"p{number}": {} for number in range(11_000)}}).count(r"\"p") == 11_000


def nested(keyword: str, depth: int) -> Any:
    schema: Any = {"type": "null"}
    for _ in range(depth):
        schema = {keyword: [schema, schema]}
    return schema


WIDE = {
    "anyOf of anyOf": {"allOf": [{"anyOf": [{"minimum": n, "type": "integer"} for n in range(60)]} for _ in range(6)]},
    "dependencies": {"dependentRequired": {f"a{n}": [f"a{n + 1}"] for n in range(400)}},
    "overlapping oneOf": {"oneOf": [{"properties": {f"a{n}": {"type": "string"}}} for n in range(200)]},
    "shared alternatives": nested("anyOf", 14),
    "shared parts": nested("allOf", 14),
    "unique": {"items": {"enum": list(range(3000))}, "uniqueItems": True, "minItems": 2900},
    "counted": {"properties": {f"a{n}": {} for n in range(3000)}, "minProperties": 1500},
    "big enum": {"enum": list(range(20_000)), "type": "integer"},
    "not": {"not": {"allOf": [{"anyOf": [{"required": [f"a{m}-{n}"]} for m in range(9)]} for n in range(9)]}},
    "if": {"allOf": [{"if": {"required": [f"a{n}"]}, "then": {"required": ["b"]}} for n in range(40)]},
    "conditionals": {
        "properties": {"k": {"enum": [f"v{n}" for n in range(40)]}},
        "type": "object",
        "allOf": [
            {"if": {"properties": {"k": {"const": f"v{n}"}}}, "then": {"required": [f"x{n}"]}} for n in range(40)
        ],
    },
    "minimum beyond all": {"type": "array", "minItems": 10**30},
}


def test_many_conditions_on_one_property() -> None:
    grammar = schema_grammar(WIDE["conditionals"])
    assert all(f'"\\"x{number}\\""' in grammar for number in range(40))


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.filterwarnings("ignore:json_schema")
def test_the_work_is_bounded(name: str) -> None:
    """Each would take ages, were nothing counted; a hang ends the test run."""
    try:
        grammar = schema_grammar(WIDE[name])
    except ValueError as error:
        assert str(error).startswith("json_schema")  # noqa: PT017 — refusing is as good
    else:
        assert len(grammar) <= 2 << 20
