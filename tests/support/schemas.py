"""JSON Schemas for tests, and a validator that checks formats as well."""

from __future__ import annotations

from typing import Any

import jsonschema

from gpt4all.grammars.formats import FORMATS

ANIMAL = {
    "type": "object",
    "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["kind", "lives"],
}
OTHER_ANIMAL = {
    "type": "object",
    "properties": {"kind": {"const": "dog"}, "name": {"type": "string", "maxLength": 8}},
    "required": ["kind", "name"],
}

#: By name; each can be done.
SCHEMAS: dict[str, Any] = {
    "anything": {},
    "any object": {"type": "object"},
    "any array": {"type": "array"},
    "enum": {"enum": ["red", 'gr"een\\', 3, 2.5, None, True, ["x", {"y": "é\n"}]]},
    "enum with type": {"type": "string", "enum": ["a", 1, "b"]},
    "const": {"const": {"a": [1, 2]}},
    "string": {"type": "string"},
    "string length": {"type": "string", "minLength": 2, "maxLength": 5},
    "string at least": {"minLength": 3},
    "long string": {"type": "string", "maxLength": 10**9},
    "integer": {"type": "integer"},
    "integer range": {"type": "integer", "minimum": -37, "maximum": 1204},
    "integer from": {"type": "integer", "minimum": 17},
    "integer up to": {"type": "integer", "exclusiveMaximum": -5},
    "integer fraction bounds": {"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 12},
    "integer both bounds": {"type": "integer", "minimum": 3, "exclusiveMinimum": 3, "maximum": 9},
    "multiples": {"type": "integer", "multipleOf": 5, "minimum": -12, "maximum": 40},
    "number": {"type": "number"},
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "open interval": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "narrow interval": {"type": "number", "minimum": 0.25, "exclusiveMaximum": 0.75},
    "around zero": {"type": "number", "minimum": -1.5, "maximum": 2.25},
    "negative numbers": {"type": "number", "minimum": -12.75, "exclusiveMaximum": -0.5},
    "positive numbers": {"type": "number", "exclusiveMinimum": 0},
    "numbers up to": {"type": "number", "maximum": -3.125},
    "small steps": {"type": "number", "minimum": 9.99, "maximum": 10.01},
    "boolean or null": {"type": ["boolean", "null"]},
    "several types": {"type": ["integer", "string", "array"], "maxLength": 3, "maximum": 5, "maxItems": 1},
    "array of enum": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 4},
    "array at least": {"type": "array", "items": {"type": "boolean"}, "minItems": 1},
    "empty array": {"type": "array", "maxItems": 0},
    "many items": {"type": "array", "items": {"type": "integer"}, "maxItems": 10**9},
    "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "minItems": 2, "maxItems": 2},
    "tuple and rest": {
        "type": "array",
        "prefixItems": [{"type": "boolean"}, {"type": "null"}],
        "items": {"type": "integer"},
        "minItems": 1,
    },
    "tuple and no rest": {"prefixItems": [{"type": "boolean"}, {"type": "null"}], "items": False},
    "old tuple": {"type": "array", "items": [{"type": "boolean"}], "additionalItems": {"type": "null"}, "minItems": 3},
    "object": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, 'b"\\\n': {"type": "null"}, "ключ": {"type": "boolean"}},
        "required": ["ключ"],
        "additionalProperties": False,
    },
    "all optional": {"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}},
    "required and unknown": {"type": "object", "properties": {"a": {"const": 1}}, "required": ["z", "a"]},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 3},
    "map of known names": {"propertyNames": {"enum": ["x", "y"]}, "additionalProperties": {"type": "boolean"}},
    "map of named so": {"type": "object", "patternProperties": {"^x_[0-9]$": {"type": "null"}}},
    "no properties": {"type": "object", "additionalProperties": False},
    "nested": {
        "type": "object",
        "properties": {"o": {"type": "object", "properties": {"p": {"type": "array", "items": {"type": "null"}}}}},
        "required": ["o"],
    },
    "const, enum and type": {"const": "cat", "enum": ["cat", "dog"], "type": "string"},
    "enum and length": {"enum": ["a", "bbb", 5, None], "maxLength": 2, "minimum": 6},
    "type beside any of": {
        "type": "object",
        "properties": {"a": {"type": "null"}},
        "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}],
    },
    "types beside any of": {
        "type": ["string", "null"],
        "anyOf": [{"maxLength": 2}, {"type": "null"}, {"type": "array"}],
    },
    "bounds beside one of": {"maximum": 9, "oneOf": [{"type": "integer", "minimum": 3}, {"type": "string"}]},
    "ref and more": {"$ref": "#/$defs/a", "minimum": 3, "$defs": {"a": {"type": "integer", "maximum": 8}}},
    "all of objects": {
        "allOf": [
            {"properties": {"a": {"type": "integer", "minimum": 2}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 5}, "b": {"type": "null"}}, "required": ["b"]},
        ],
        "type": "object",
    },
    "all of with closed": {
        "allOf": [
            {"properties": {"a": {}, "b": {}}},
            {"properties": {"b": {"const": 1}}, "additionalProperties": False},
        ]
    },
    "all of many patterns": {"type": "string", "allOf": [{"pattern": f"^a?b{{0,{n}}}c?$"} for n in range(3, 40)]},
    "all of recursive": {
        "allOf": [{"$ref": "#/$defs/one"}, {"$ref": "#/$defs/other"}],
        "$defs": {
            "one": {"properties": {"next": {"$ref": "#/$defs/one"}, "a": {"type": "integer"}}},
            "other": {"type": "object", "properties": {"next": {"$ref": "#/$defs/other"}, "a": {"enum": [1, "x"]}}},
        },
    },
    "one of required": {
        "type": "object",
        "properties": {"a": {"const": 1}, "b": {"const": 2}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "one of overlapping enums": {"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]},
    "one of closed": {
        "oneOf": [
            {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "additionalProperties": False},
            {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"], "additionalProperties": False},
        ]
    },
    "one of tags with a default": {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": "cat", "default": "cat"}, "a": {"type": "null"}}},
            {"type": "object", "properties": {"kind": {"const": "dog", "default": "dog"}, "a": {"type": "null"}}},
        ]
    },
    "one of one of": {
        "oneOf": [
            {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"pet": {"const": "cat"}, "colour": {"const": colour}},
                        "required": ["pet", "colour"],
                    }
                    for colour in ("black", "white")
                ]
            },
            {"type": "object", "properties": {"pet": {"const": "dog"}}, "required": ["pet"]},
        ]
    },
    "not a type": {"not": {"type": ["array", "object", "number", "boolean"]}},
    "not a value": {"type": ["string", "boolean"], "not": {"enum": ["a", "ab", "b", False]}},
    "not required": {"properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "not": {"required": ["b"]}},
    "not any of": {"type": "integer", "not": {"anyOf": [{"minimum": 10}, {"exclusiveMaximum": 2}]}},
    "not a property": {
        "properties": {"a": {"enum": [1, 2, 3]}},
        "not": {"properties": {"a": {"const": 2}}, "required": ["a"]},
    },
    "if then else": {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "x": {"type": "integer"}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"required": ["x"]},
        "else": {"properties": {"x": False}},
    },
    "dependent": {
        "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"b": {"required": ["c"]}},
    },
    "dependencies": {
        "properties": {"a": {"const": 1}, "b": {"const": 2}},
        "dependencies": {"a": ["b"], "b": {"properties": {"a": {"type": "integer"}}}},
    },
    "unique enum": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 2},
    "unique booleans": {"type": "array", "items": {"type": ["boolean", "null"]}, "uniqueItems": True},
    "unique and one": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 1},
    "counted properties": {
        "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}, "d": {"const": 4}},
        "minProperties": 2,
        "maxProperties": 3,
        "required": ["c"],
    },
    "one more property": {"properties": {"a": {"type": "null"}}, "minProperties": 2},
    "properties and others": {
        "properties": {"a": {"type": "null"}, "ab": {"type": "null"}, "é": {}},
        "additionalProperties": {"type": "integer"},
        "maxProperties": 4,
    },
    "names": {"properties": {"a": {}, "long": {}}, "propertyNames": {"maxLength": 3}},
    "names that are none beside patterns": {"propertyNames": {"type": "null"}, "patternProperties": {"^x": {}}},
    "any names": {
        "propertyNames": True,
        "maxProperties": 2,
        "properties": {"ab": {"type": "null"}},
        "minProperties": 2,
    },
    "names that are none": {"propertyNames": {"type": "integer"}},
    "inner root": {
        "properties": {
            "x": {"$id": "http://e.org/x", "$defs": {"t": {"type": "integer"}}, "$ref": "#/$defs/t"},
            "y": {"$ref": "x#/$defs/t"},
            "z": {"$ref": "#/$defs/t"},
            "w": {"$ref": "#named"},
        },
        "$id": "http://e.org/root",
        "$defs": {"t": {"type": "string", "maxLength": 2}, "n": {"$anchor": "named", "type": "null"}},
        "required": ["x", "y", "z", "w"],
    },
    "any of": {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}, {"type": "array", "maxItems": 0}]},
    "one of types": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "one of tagged": {"oneOf": [ANIMAL, OTHER_ANIMAL], "discriminator": {"propertyName": "kind"}},
    "all of one": {"allOf": [{"$ref": "#/$defs/cat"}], "default": None, "$defs": {"cat": ANIMAL}},
    "references": {
        "type": "object",
        "properties": {"pet": {"$ref": "#/$defs/a~1b%20c"}, "old": {"$ref": "#/$defs/list/anyOf/1"}},
        "required": ["pet", "old"],
        "$defs": {"a/b c": ANIMAL, "list": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}},
    },
    "recursive": {
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
                "required": ["left"],
            }
        },
    },
    "recursive root": {"type": "object", "properties": {"next": {"$ref": "#"}}},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3,4}$"},
    "pattern of anything": {"type": "string", "pattern": "^.*$"},
    "pattern not anchored": {"type": "string", "pattern": "ab+c|^x|y$"},
    "pattern negated": {"type": "string", "pattern": '^[^a-z"]{3}[^\\s\\w]$'},
    "pattern groups": {"type": "string", "pattern": "^(?:a|bb)*(?P<x>c?)\\.(d|\\/)+?\\\\$"},
    "pattern escapes": {"type": "string", "pattern": "^\\t\\x41\\u0042[\\]\\-\\\\^]\\W\\S\\D$"},
    "pattern of quotes": {"type": "string", "pattern": '^["\\\\\\n]{4}$'},
    "enum and format": {"enum": ["http://www.w3.org/2000/09/xmldsig#rsa-sha1", "urn:x:y"], "format": "uri"},
    "enum and pattern": {"enum": ["a1", "b", "c2"], "pattern": "[0-9]$"},
    "names beside patterns": {
        "properties": {"abc": {"type": "null"}, "x1": {"const": 1}},
        "patternProperties": {"^x[0-9]+$": {"type": "integer"}},
        "required": ["abc"],
        "minProperties": 2,
    },
    "not some of a format": {"format": "date", "not": {"const": "2024-02-29"}},
    "free words": {"type": "string", "x-order": 3, "example": "words no standard knows", "format": "password"},
    **{f"format {name}": {"type": "string", "format": name} for name in FORMATS},
}

#: A schema, and what the error must say.
REFUSED: dict[str, tuple[Any, str]] = {
    "false": (False, "nothing matches"),
    "no schema": ({"items": 3}, "#/items: a schema is an object, not 3"),
    "deep": (
        {"properties": {"a": {"items": {"minContains": 2}}}, "required": ["a"]},
        "#/properties/a/items: the keyword 'minContains' cannot be done",
    ),
    "not everything": ({"not": {}}, "nothing matches"),
    "not of what is not known": (
        {"not": {"multipleOf": 3}},
        "the keyword 'not' cannot be done with 'multipleOf' inside",
    ),
    "unevaluated": ({"type": "object", "unevaluatedProperties": False}, "'unevaluatedProperties'"),
    "unknown type": ({"type": "text"}, "there is no type 'text'"),
    "no type": ({"type": []}, "type is empty"),
    "enum of another type": ({"type": "integer", "enum": ["a"]}, "none of the values"),
    "empty enum": ({"enum": []}, "enum must be a list that is not empty"),
    "ref elsewhere": ({"$ref": "https://example.com/a.json"}, "only the schema itself"),
    "ref to nothing": ({"$ref": "#/$defs/a"}, "leads nowhere"),
    "ref to itself": ({"$ref": "#"}, "never ends"),
    "endless": ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "never ends"),
    "one of alike": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "none of the alternatives can be done"),
    "pattern and length": ({"pattern": "^a$", "minLength": 2}, "no string is right"),
    "format and length": ({"type": "string", "format": "date", "maxLength": 3}, "no string is right"),
    "pattern look": ({"pattern": "^a(?=a)"}, "of groups with ? only"),
    "pattern look behind": ({"pattern": "^(?<!a)b"}, "of groups with ? only"),
    "pattern look in one alternative": ({"pattern": "^(?=a)b|c"}, "several alternatives"),
    "pattern too large to count": (
        {"items": {"pattern": "^.*a.{30}b$", "minLength": 40}, "minItems": 1},
        "#/items: what must hold together here is too large",
    ),
    "patterns in any order": (
        {"type": "string", "allOf": [{"pattern": f"{letter}1"} for letter in "abcdefghijklmnopqrstuvwxyz"]},
        "what must hold together here is too large",
    ),
    "pattern look at nothing": ({"pattern": "^(?!a)a"}, "no string is right"),
    "pattern back": ({"pattern": "(a)\\1"}, "\\1 can not be done"),
    "pattern boundary": ({"pattern": "\\bword"}, "\\b can not be done"),
    "pattern group": ({"pattern": "(a"}, "not closed"),
    "pattern of anchors": ({"pattern": "(" * 30 + "^a" + ")*" * 30}, "too many repetitions with an anchor inside"),
    "pattern anchor": ({"pattern": "a^b"}, "it is never found"),
    "pattern nothing": ({"pattern": "(*a)"}, "nothing to repeat"),
    "pattern possessive": ({"pattern": "a++"}, "can not be repeated"),
    "pattern many": ({"pattern": "a{20000}"}, "too many"),
    "pattern backwards": ({"pattern": "[z-a]"}, "makes no sense"),
    "items backwards": ({"type": "array", "minItems": 3, "maxItems": 2}, "no array"),
    "items that must be many": ({"type": "array", "minItems": 10**9}, "too many"),
    "length backwards": ({"type": "string", "minLength": 3, "maxLength": 2}, "no string"),
    "length of a kind": ({"type": "string", "minLength": -1}, "minLength must be an integer from 0"),
    "bounds backwards": ({"type": "number", "minimum": 3, "maximum": 2}, "no number"),
    "bounds meet": ({"type": "number", "minimum": 3, "exclusiveMaximum": 3}, "no number"),
    "no integer between": ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}, "no number"),
    "bound of a kind": ({"type": "number", "minimum": "3"}, "minimum must be a number"),
    "old bound": ({"type": "number", "minimum": 3, "exclusiveMinimum": True}, "must be a number"),
    "huge bound": ({"type": "number", "minimum": 1e300}, "too large"),
    "multiples of nothing": ({"type": "number", "multipleOf": 0}, "multipleOf must be more than 0"),
    "multiples of much": ({"type": "integer", "multipleOf": 1000003}, "closer bounds would help"),
    "multiples far apart": ({"multipleOf": 10, "minimum": 11, "maximum": 19}, "no multiple"),
    "members that may be one": ({"type": "object", "minProperties": 2}, "minProperties of 2 cannot be done"),
    "required and forbidden": (
        {"required": ["a"], "additionalProperties": False},
        "property 'a' is required, and nothing matches it",
    ),
    "required of a kind": ({"properties": {}, "required": "a"}, "required must be a list"),
}

_FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


def check_instance(value: Any, schema: Any) -> None:
    """Raises where ``schema`` does not accept ``value``."""
    old = isinstance(schema, dict) and isinstance(schema.get("items"), list)
    kind = jsonschema.Draft7Validator if old else jsonschema.Draft202012Validator
    kind.check_schema(schema)
    kind(schema, format_checker=_FORMATS).validate(value)
