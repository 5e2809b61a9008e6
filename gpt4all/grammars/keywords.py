"""JSON Schema's keywords, and their values, each checked before it is used; errors say what is wrong, not where."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gpt4all.grammars.ranges import MOST_DIGITS, Bound

Schema = dict[str, Any]

#: What each keyword is about and how it is done, the part of it that a grammar can say. Other words are no constraint.
TABLE = {
    "type": ("any value", "in full"),
    "enum": ("any value", "in full"),
    "const": ("any value", "in full"),
    "properties": ("object", "in the schema's order; an optional one that cannot be done is left out"),
    "required": ("object", "in full"),
    "additionalProperties": ("object", "a schema: after the declared ones; true: none beside declared ones"),
    "patternProperties": ("object", "after the declared ones; the schemas of several patterns all hold"),
    "propertyNames": ("object", "in full for declared ones"),
    "minProperties": ("object", "those that are not declared count as one"),
    "maxProperties": ("object", "in full"),
    "items": ("array", "in full"),
    "prefixItems": ("array", "in full"),
    "additionalItems": ("array", "in full"),
    "minItems": ("array", "in full"),
    "maxItems": ("array", "in full"),
    "contains": ("array", "the first item"),
    "uniqueItems": ("array", "up to 6 listed values in any order, more in the schema's; others: one item"),
    "minLength": ("string", "in full"),
    "maxLength": ("string", "in full"),
    "pattern": ("string", "what Python and JavaScript both read; ``patterns`` says what not"),
    "format": ("string", "a part that validators take; ``formats`` says which"),
    "minimum": ("number", "in full"),
    "maximum": ("number", "in full"),
    "exclusiveMinimum": ("number", "in full"),
    "exclusiveMaximum": ("number", "in full"),
    "multipleOf": ("number", "``numbers`` says of what"),
    "excluded": ("any value", "ours: values that it must not be, which not makes"),
    # In the same place as everything else that is said there:
    "$ref": ("joined", "within the schema, by pointer, $anchor and $id"),
    "allOf": ("joined", "in full"),
    # Several ways to fill a place:
    "anyOf": ("alternatives", "one that cannot be done is left out"),
    "oneOf": ("alternatives", "by tags, which are always written, by required properties, or by what not can do"),
    "not": ("alternatives", "of what can be said the other way round"),
    "if": ("alternatives", "else where not can do the condition, otherwise what satisfies then and else"),
    "dependencies": ("alternatives", "in full; of more than 4, what others depend on is left out"),
    "dependentRequired": ("alternatives", "like dependencies"),
    "dependentSchemas": ("alternatives", "like dependencies"),
    # What no grammar here can do:
    "$dynamicRef": ("refused", ""),
    "$recursiveRef": ("refused", ""),
    "disallow": ("refused", ""),
    "divisibleBy": ("refused", ""),
    "extends": ("refused", ""),
    "maxContains": ("refused", ""),
    "minContains": ("refused", ""),
    "unevaluatedItems": ("refused", ""),
    "unevaluatedProperties": ("refused", ""),
}
#: Words of the standard's that constrain nothing by themselves.
ANNOTATIONS = frozenset(
    {
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "then", "else"),
        *("$id", "id", "$schema", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$defs", "definitions", "$comment"),
        *("$vocabulary", "contentEncoding", "contentMediaType", "contentSchema"),
    }
)


def _about(*kinds: str) -> tuple[str, ...]:
    return tuple(keyword for keyword, (kind, _) in TABLE.items() if kind in kinds)


#: By the type of the values they are about.
KEYWORDS = {kind: frozenset(_about(kind)) for kind in ("object", "array", "string", "number")}
BRANCHING = _about("alternatives")
#: What a value is held to in its own place.
PLAIN = frozenset(_about("any value", *KEYWORDS))
UNSUPPORTED = frozenset(_about("refused"))
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

#: Before and after the point, of a bound that is counted to.
_MAX_DIGITS = 60
#: A bound this far off is none.
_FARTHEST = Decimal(10) ** MOST_DIGITS


class SchemaError(ValueError):
    """The schema is wrong, or too much: no part of it is left out for that."""


class CannotError(ValueError):
    """What no grammar here can do: the closest part that a value can do without is left out."""


class NothingError(ValueError):
    """No value at all is accepted: to leave that out loses nothing."""


class Fuel:
    """How much work a schema may make."""

    def __init__(self, amount: float) -> None:
        self._left = amount

    def spend(self, amount: float = 1) -> None:
        self._left -= amount
        if self._left < 0:
            raise SchemaError("the schema is too complex: its parts can be combined in too many ways")


def mapping(schema: Schema, keyword: str) -> dict[str, Any]:
    """An object of schemas, empty where the keyword is missing."""
    value = schema.get(keyword, {})
    if not isinstance(value, dict):
        raise SchemaError(f"{keyword} must be an object")
    return value


def names(schema: Schema, keyword: str) -> list[str]:
    """A list of names, empty where the keyword is missing."""
    value = schema.get(keyword, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SchemaError(f"{keyword} must be a list of names")
    return value


def values(schema: Schema) -> list[Any] | None:
    """The only values that ``enum`` or ``const`` lets through."""
    if "const" in schema:
        check_sizes(schema["const"], "const")
        return [schema["const"]]
    if "enum" not in schema:
        return None
    if not isinstance(schema["enum"], list) or not schema["enum"]:
        raise SchemaError("enum must be a list that is not empty")
    check_sizes(schema["enum"], "enum")
    return schema["enum"]


def types(schema: Schema) -> frozenset[str] | None:
    """The types that are declared."""
    if "type" not in schema:
        return None
    declared = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    for name in declared:
        if name not in TYPES:
            raise SchemaError(f"there is no type {name!r}")
    if not declared:
        raise SchemaError("type is empty")
    return frozenset(declared)


def counts(schema: Schema, least: str, most: str) -> tuple[int, int | None]:
    """A lower and an upper bound of a size."""
    for keyword in (least, most):
        if keyword in schema:
            check_sizes(schema[keyword], keyword)
            if not is_a(schema[keyword], "integer") or schema[keyword] < 0:
                raise SchemaError(f"{keyword} must be an integer from 0")
    return int(schema.get(least, 0)), int(schema[most]) if most in schema else None


def check_sizes(value: Any, keyword: str) -> None:
    """Refuses integers, anywhere in a JSON value, that no double reaches."""
    waiting = [value]
    for each in waiting:
        if isinstance(each, int) and abs(each) >= 10**MOST_DIGITS:
            raise SchemaError(f"{keyword}: an integer of more than {MOST_DIGITS} digits is too large")
        waiting += each if isinstance(each, list) else each.values() if isinstance(each, dict) else ()


def narrowest(schemas: list[Schema], least: str, most: str) -> tuple[int, int | None]:
    """The bounds of a size that hold in several schemas at once."""
    bounds = [counts(schema, least, most) for schema in schemas]
    uppers = [upper for _, upper in bounds if upper is not None]
    return max((lower for lower, _ in bounds), default=0), min(uppers, default=None)


def bound(schema: Schema, closed: str, opened: str, tighter: Callable[..., Bound]) -> Bound | None:
    """The bound that two keywords give together; ``tighter`` is ``max`` for a lower one and ``min`` for an upper."""
    # Of equal ones the first is taken, and the open one is tighter.
    bounds = [Bound(decimal(schema, keyword), keyword == opened) for keyword in (opened, closed) if keyword in schema]
    found = tighter(bounds, key=lambda found: found.value) if bounds else None
    if found is None or abs(found.value) < _FARTHEST:
        return found
    # What is written has fewer digits anyway.
    if (found.value > 0) != (tighter is min):
        raise NothingError(f"{closed} leaves no number that can be written")
    return None


def decimal(schema: Schema, keyword: str) -> Decimal:
    """A number, exactly as validators read it."""
    value = schema[keyword]
    if not is_a(value, "number"):
        raise SchemaError(f"{keyword} must be a number, not {value!r}")
    # Where doubles are further apart than 1, the nearest one is not what is written.
    number = Decimal(value) if abs(value) >= 2**53 else Decimal(repr(value))
    if number and not -_MAX_DIGITS <= number.adjusted() <= _MAX_DIGITS and abs(number) < _FARTHEST:
        raise CannotError(f"{keyword} is too large or too small")
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
        return name == "number" or isinstance(value, int) or value.is_integer()
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[name])
