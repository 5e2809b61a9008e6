"""Numbers under a JSON Schema: all that fit can be said, whatever their size, and none that does not."""

from __future__ import annotations

import contextlib
import json
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jsonschema
import pytest

from gpt4all.grammars.json_schema import schema_grammar
from tests.support.gbnf import Texts

DRAWS = 200


def exact(validator: Any, step: Any, value: Any, schema: Any) -> Any:
    """What the standard says of multiples; jsonschema divides doubles, by which 0.07 is none of 0.01."""
    if Fraction(repr(value)) % Fraction(repr(step)):
        yield jsonschema.ValidationError(f"{value} is no multiple of {step}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"multipleOf": exact})  # type: ignore[no-untyped-call]

CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"type": "integer"},
        ["175928847299117063", "-175928847299117063", "0", str(10**307)],
        ["01", "1.0", "1e3", str(10**308)],
    ),
    (
        {"type": "number"},
        ["12500000000", "0.30000000000000004", "6.02214076e23", "1E-300", "-0.00012345678901234567", str(2**256)],
        [".5", "5.", "+1", "1e400", "00"],
    ),
    ({"type": "number", "minimum": 0}, ["12500000000", "0", "0.5", "1e-7", "6.02e+23", str(10**30)], ["-1", "-1e5"]),
    ({"type": "integer", "minimum": 0}, ["175928847299117063", "0", str(2**64)], ["-1"]),
    ({"type": "integer", "minimum": 17}, ["17", "20", "99", "100", str(10**100)], ["16", "9", "-17"]),
    ({"type": "integer", "maximum": -5}, ["-5", "-10", str(-(10**40))], ["-4", "5", "0"]),
    ({"type": "number", "exclusiveMinimum": 0}, ["1e-300", "0.0001", "12500000000"], ["0", "0.0", "-1"]),
    (
        {"type": "number", "minimum": 0, "maximum": 1},
        ["0.30000000000000004", "1.2e-5", "1", "1.0", "0"],
        ["1.1", "1e5"],
    ),
    (
        {"type": "number", "exclusiveMaximum": 1, "minimum": 0},
        ["0.999", "0", "9.99e-2"],
        ["1", "1.0", "0.99999999999999999999"],
    ),
    ({"type": "number", "minimum": -1, "maximum": 1}, ["-1e-5", "-0.5", "1"], ["-1.5"]),
    ({"type": "number", "maximum": 3.5}, ["-1e30", "3.5", "-12500000000", "1e-9"], ["3.6", "1e30"]),
    (
        {"maximum": 9007199254740995},
        ["9007199254740995", "9007199254740994", "-1e40"],
        ["9007199254740995.0", "9007199254740996"],
    ),
    (
        {"minimum": 9007199254740993},
        ["9007199254740993"],
        ["9007199254740992", "9007199254740992.9", "9007199254740993.0"],
    ),
    (
        {"type": "integer", "minimum": 9007199254740993, "maximum": 9007199254740995},
        ["9007199254740994"],
        ["9007199254740992", "9007199254740996"],
    ),
    (
        {"type": "number", "minimum": 2**60 + 1, "maximum": 2**60 + 300},
        [str(2**60 + 1), str(2**60 + 300)],
        [str(2**60), f"{2**60 + 300}.0", str(2**60 + 301)],
    ),
    ({"type": "number", "maximum": 1e23}, [str(int(1e23)), "-5"], [str(10**23)]),
    (
        {"type": "number", "minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308},
        ["1e300", "-5.5", "0"],
        [],
    ),
    ({"type": "integer", "maximum": 10**35 + 1}, [str(10**35 + 1)], [str(10**35 + 2)]),
    (
        {"type": "number", "multipleOf": 0.01},
        ["19.99", "0.07", "12500000000", "-3.5", "7", "0", "1.50"],
        ["0.005", "19.999", "1e-2"],
    ),
    (
        {"type": "number", "multipleOf": 0.5, "minimum": 0},
        ["0.5", "3", "12500000000.5", "7.0"],
        ["0.25", "-0.5", "0.4"],
    ),
    ({"type": "number", "multipleOf": 0.25, "minimum": -2, "maximum": 2}, ["-1.75", "0", "0.25", "2"], ["2.25", "0.1"]),
    (
        {"type": "number", "multipleOf": 0.05, "minimum": 0, "maximum": 100000},
        ["99999.95", "0.05", "7"],
        ["0.01", "100000.05"],
    ),
    ({"type": "integer", "multipleOf": 3}, ["0", "3", "-9", "123456789", str(3 * 10**30)], ["1", "-10", "124"]),
    (
        {"type": "integer", "multipleOf": 7, "minimum": 1},
        ["7", "70", "700000007" if 700000007 % 7 == 0 else "700000000"],
        ["0", "8", "-7"],
    ),
    ({"type": "integer", "multipleOf": 1000, "minimum": 0}, ["0", "1000", "12500000000"], ["100", "1001"]),
    (
        {"type": "integer", "multipleOf": 100, "minimum": 0, "maximum": 10**9},
        ["12345600", "100", "1000000000"],
        ["1000000100", "50"],
    ),
    ({"type": "integer", "multipleOf": 0.5}, ["7", "-3"], ["0.5"]),
    ({"type": "integer", "multipleOf": 1.5}, ["3", "-6", "15"], ["1", "4"]),
    ({"type": "number", "multipleOf": 10}, ["10", "50.0", "-20"], ["5", "10.5"]),
    ({"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer"}, ["12", "24", "0"], ["4", "6", "18"]),
    ({"type": "integer", "multipleOf": 1000000, "minimum": 0, "maximum": 5000000}, ["0", "3000000"], ["1500000"]),
]


@pytest.mark.parametrize(("schema", "numbers", "others"), CASES, ids=lambda value: json.dumps(value)[:70])
def test_all_that_fit_can_be_said_and_no_others(schema: dict[str, Any], numbers: list[str], others: list[str]) -> None:
    texts = Texts(schema_grammar(schema))
    validator = Validator(schema)
    for seed in range(DRAWS):
        text = texts.draw(seed)
        assert abs(json.loads(text)) < float("inf"), text
        validator.validate(json.loads(text))
    assert [number for number in numbers if not validator.is_valid(json.loads(number))] == []
    assert [number for number in numbers if not texts.has(number)] == []
    assert [number for number in others if texts.has(number)] == []


@pytest.mark.parametrize("seed", range(40))
def test_random_bounds(seed: int) -> None:
    chance = random.Random(seed)
    places = chance.choice((0, 0, 1, 3))
    size = 10 ** chance.randint(1, 18)

    def number() -> int | float:
        value = Decimal(chance.randint(-size, size)).scaleb(-places)
        return float(value) if places and size < 10**12 else int(value)

    kind = chance.choice(("integer", "number"))
    low, high = sorted((number(), number()))
    schema: dict[str, Any] = {"type": kind}
    if chance.random() < 0.8:
        schema[chance.choice(("minimum", "exclusiveMinimum"))] = low
    if chance.random() < 0.8:
        schema[chance.choice(("maximum", "exclusiveMaximum"))] = high
    if chance.random() < 0.4:
        schema["multipleOf"] = chance.choice((0.5, 3, 0.01, 12, 2.5))
    validator = Validator(schema)
    inside = [value for value in (low, high, int(low) + 1, int(high) - 1) if validator.is_valid(value)]
    if high - low < 100 and not inside:
        # There may be none, or some that are not tried here.
        with contextlib.suppress(ValueError):
            schema_grammar(schema)
        return
    texts = Texts(schema_grammar(schema))
    for draw in range(40):
        validator.validate(json.loads(texts.draw(draw)))
    for value in (low, high, 0, 1, -1, int(low) + 1, int(high) - 1, (int(low) + int(high)) // 2, 12, 10**20):
        whole = isinstance(value, int) or value.is_integer()
        if not isinstance(value, float) or not whole:
            assert texts.has(str(value)) == validator.is_valid(value), value


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"minLength": 10**400}, "minLength: an integer of more than 308 digits is too large"),
        ({"maxItems": 10**400}, "maxItems: an integer"),
        ({"const": 10**400}, "const: an integer"),
        ({"enum": [1, [{"a": -(10**400)}]]}, "enum: an integer"),
        ({"type": "number", "maximum": -(10**400)}, "maximum"),
        ({"type": "number", "multipleOf": 10**400}, "multipleOf"),
        ({"type": "number", "minimum": 10**400}, "minimum"),
    ],
)
def test_numbers_that_no_double_reaches_are_refused_by_name(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^json_schema: #: ") as caught:
        schema_grammar(schema)
    assert message in str(caught.value)


def test_a_bound_that_no_double_reaches_is_none() -> None:
    assert Texts(schema_grammar({"type": "integer", "maximum": 10**400, "minimum": 5})).has("123456789012345678901")
