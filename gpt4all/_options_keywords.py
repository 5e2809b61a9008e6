"""JSON Schema's keywords, and their values, each checked before it is used; errors say what is wrong, not where."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gpt4all._options_numbers import Bound

Schema = dict[str, Any]

#: By the type of the values they are about.
KEYWORDS = {
    "object": frozenset(
        {
            "additionalProperties",
            "maxProperties",
            "minProperties",
            "patternProperties",
            "properties",
            "propertyNames",
            "required",
        }
    ),
    "array": frozenset({"additionalItems", "items", "maxItems", "minItems", "prefixItems", "uniqueItems"}),
    "string": frozenset({"format", "maxLength", "minLength", "pattern"}),
    "number": frozenset({"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}),
}
#: Each of them says all there is to say, so nothing else may stand beside it.
WHOLE = ("$ref", "anyOf", "oneOf", "allOf", "enum", "const")
#: Keywords of the standard, of any draft, that no grammar here can do.
UNSUPPORTED = frozenset(
    {
        "$dynamicAnchor",
        "$dynamicRef",
        "$recursiveAnchor",
        "$recursiveRef",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "disallow",
        "divisibleBy",
        "else",
        "extends",
        "if",
        "maxContains",
        "minContains",
        "not",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)

_MAX_DIGITS = 60


class SchemaError(ValueError):
    """The schema is wrong, and not only beyond what a grammar can do: no part of it is left out for that."""


def mapping(schema: Schema, keyword: str) -> dict[str, Any]:
    """An object of schemas, empty where the keyword is missing."""
    value = schema.get(keyword, {})
    if not isinstance(value, dict):
        raise SchemaError(f"{keyword} must be an object")
    return value


def counts(schema: Schema, least: str, most: str) -> tuple[int, int | None]:
    """A lower and an upper bound of a size."""
    for keyword in (least, most):
        if keyword in schema and (not is_a(schema[keyword], "integer") or schema[keyword] < 0):
            raise SchemaError(f"{keyword} must be an integer from 0")
    return int(schema.get(least, 0)), int(schema[most]) if most in schema else None


def bound(schema: Schema, closed: str, opened: str, tighter: Callable[..., Bound]) -> Bound | None:
    """The bound that two keywords give together; ``tighter`` is ``max`` for a lower one and ``min`` for an upper."""
    # Of equal ones the first is taken, and the open one is tighter.
    bounds = [Bound(decimal(schema, keyword), keyword == opened) for keyword in (opened, closed) if keyword in schema]
    return tighter(bounds, key=lambda found: found.value) if bounds else None


def decimal(schema: Schema, keyword: str) -> Decimal:
    """A number, exactly as it is written."""
    value = schema[keyword]
    if not is_a(value, "number"):
        raise SchemaError(f"{keyword} must be a number, not {value!r}")
    number = Decimal(repr(value))
    if number and not -_MAX_DIGITS <= number.adjusted() <= _MAX_DIGITS:
        raise ValueError(f"{keyword} is too large or too small")
    return number


def whole(limit: Bound | None, inwards: int) -> int | None:
    """The integer nearest to a bound on its inner side: 1 is up, -1 is down."""
    if limit is None:
        return None
    value = limit.value * inwards
    nearest = -int((-value).to_integral_value(rounding="ROUND_FLOOR"))
    if limit.open and nearest == value:
        nearest += 1
    return nearest * inwards


def is_a(value: Any, name: str) -> bool:
    """Whether a JSON value has a type: ``true`` is no number, and 1.0 is an integer."""
    if name in ("number", "integer"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return name == "number" or float(value).is_integer()
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[name])
