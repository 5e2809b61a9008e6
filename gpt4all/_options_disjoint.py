"""Whether two JSON Schemas can accept the same value; in doubt they can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_MAX_NESTING = 20
_ALL_TYPES = frozenset({"object", "array", "string", "number", "boolean", "null"})

Resolve = Callable[[Any], Any]


def disjoint(one: Any, other: Any, resolve: Resolve) -> bool:
    """Whether no value matches both: by their types, their constants, or the constants of a property both require."""
    one, other = _target(one, resolve), _target(other, resolve)
    if one is False or other is False:
        return True
    shared = _types(one, resolve, 0) & _types(other, resolve, 0)
    if not shared:
        return True
    ours, theirs = _constants(one), _constants(other)
    if ours is not None and theirs is not None:
        return not ours & theirs
    return shared == {"object"} and _told_apart(one, other, resolve)


def _told_apart(one: dict[str, Any], other: dict[str, Any], resolve: Resolve) -> bool:
    """Whether a property that both require has constants in both, and different ones."""
    for name in set(one.get("required", [])) & set(other.get("required", [])):
        tags = []
        for schema in (one, other):
            properties = schema.get("properties")
            tag = properties.get(name) if isinstance(properties, dict) else None
            tags.append(_constants(_target(tag, resolve)))
        if tags[0] is not None and tags[1] is not None and not tags[0] & tags[1]:
            return True
    return False


def _target(schema: Any, resolve: Resolve) -> Any:
    for _ in range(_MAX_NESTING):
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            schema = resolve(schema["$ref"])
        elif isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
            schema = schema["allOf"][0]
        else:
            return schema
    return True


def _constants(schema: Any) -> frozenset[str] | None:
    """The only values that can match, written so that equal ones are the same."""
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return frozenset({_identity(schema["const"])})
    values = schema.get("enum")
    return frozenset(map(_identity, values)) if isinstance(values, list) else None


def _identity(value: Any) -> str:
    # 1 and 1.0 are the same number.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (list, dict)):
        # Numbers inside may be written in several ways; all lists count as the same, and all objects.
        return type(value).__name__
    return json.dumps(value)


def _types(schema: Any, resolve: Resolve, nesting: int) -> frozenset[str]:
    """The types a matching value may have; ``integer`` counts as ``number``."""
    schema = _target(schema, resolve)
    if schema is False:
        return frozenset()
    if not isinstance(schema, dict) or nesting > _MAX_NESTING:
        return _ALL_TYPES
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list):
            return frozenset().union(*(_types(each, resolve, nesting + 1) for each in schema[keyword]))
    if "const" in schema or isinstance(schema.get("enum"), list):
        return frozenset(_type_of(value) for value in (schema["enum"] if "enum" in schema else [schema["const"]]))
    declared = schema.get("type", list(_ALL_TYPES))
    names = declared if isinstance(declared, list) else [declared]
    return frozenset("number" if name == "integer" else str(name) for name in names)


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
