"""Numbers of JSON Schema, which may have bounds and be multiples of something at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from math import gcd
from typing import Any

from gpt4all.grammars.automata import Alphabet, Automaton, TooLargeError, automaton, bodies, explored, meet, smallest
from gpt4all.grammars.keywords import CannotError, Fuel, NothingError, SchemaError, bound, decimal, whole
from gpt4all.grammars.ranges import MOST_DIGITS, Bound, integer_range, number_range
from gpt4all.grammars.regular import Language, choice, text, written
from gpt4all.grammars.rules import Rules

#: Most multiples of ``multipleOf`` that are listed one by one.
_MAX_LISTED = 1000
#: Digits before the point that multiples without a bound have; fewer where each needs many rules.
_MULTIPLES_DIGITS = (40, 18, 9)
#: Places after the point of a step.
_MAX_PLACES = 20

Bounds = tuple[Bound | None, Bound | None]


def number_rule(schemas: Sequence[dict[str, Any]], name: str, rules: Rules, fuel: Fuel) -> str:
    """The rule for numbers, or integers where that is the ``name`` of the type, that all ``schemas`` accept.

    Raises:
        ValueError: there is none, or no grammar for them.
    """
    with localcontext() as context:
        # Nothing is rounded.
        context.prec = 2 * MOST_DIGITS
        return _number_rule(schemas, name, rules, fuel)


def _number_rule(schemas: Sequence[dict[str, Any]], name: str, rules: Rules, fuel: Fuel) -> str:
    lows = [found for schema in schemas if (found := bound(schema, "minimum", "exclusiveMinimum", max)) is not None]
    highs = [found for schema in schemas if (found := bound(schema, "maximum", "exclusiveMaximum", min)) is not None]
    low = max(lows, key=lambda each: (each.value, each.open), default=None)
    high = min(highs, key=lambda each: (each.value, not each.open), default=None)
    step = _step([decimal(schema, "multipleOf") for schema in schemas if "multipleOf" in schema], name)
    if step is None and low is None and high is None:
        return name
    if step is not None and low is not None and high is not None and (high.value - low.value) / step <= _MAX_LISTED:
        return rules.rule(written(_listed(step, low, high), rules.rule))
    if step is None:
        return rules.rule(written(_range(name, (low, high), MOST_DIGITS), rules.rule))
    for digits in _MULTIPLES_DIGITS:
        try:
            return _multiples(step, name, (low, high), digits, rules, fuel)
        except TooLargeError:
            continue
    raise CannotError(f"multipleOf of {step} is too much to count with; closer bounds would help")


def _step(steps: list[Decimal], name: str) -> Decimal | None:
    """What all ``steps`` have as a common multiple, and 1 as well for integers; ``None`` for any integer, or number."""
    if any(step <= 0 for step in steps):
        raise SchemaError("multipleOf must be more than 0")
    places = max((-int(step.normalize().as_tuple().exponent) for step in steps), default=0)
    if places > _MAX_PLACES:
        raise CannotError(f"multipleOf of {min(steps)} has too many places")
    unit = 10 ** max(0, places)
    together = unit if name == "integer" else 1
    for step in steps:
        size = int(step * unit)
        together = together * size // gcd(together, size)
    return None if not steps or (name == "integer" and together == unit) else Decimal(together) / unit


def _range(name: str, bounds: Bounds, digits: int) -> Language:
    low, high = bounds
    if name == "integer":
        found = integer_range(whole(low, 1), whole(high, -1), digits)
    else:
        found = number_range(low, high, digits)
    if found is None:
        raise NothingError("no number is large enough and small enough")
    return found


def _listed(step: Decimal, low: Bound, high: Bound) -> Language:
    first, last = whole(Bound(low.value / step, low.open), 1), whole(Bound(high.value / step, high.open), -1)
    assert first is not None
    assert last is not None
    if last < first:
        raise NothingError("no multiple is large enough and small enough")
    return choice(*(text(f"{(count * step).normalize():f}") for count in range(first, last + 1)))


def _multiples(step: Decimal, name: str, bounds: Bounds, digits: int, rules: Rules, fuel: Fuel) -> str:
    language = _range(name, bounds, digits)
    alphabet = Alphabet((language, *map(text, "0123456789.")))
    multiples = smallest(_divided(step, alphabet, fuel), fuel)
    machine = smallest(meet([automaton(language, alphabet, fuel), multiples], [], fuel), fuel)
    if machine.to_end()[0] < 0:
        raise NothingError("no multiple is large enough and small enough")
    key = ("multiples", step, name, bounds)
    return rules.group(key, len(machine.steps), lambda names: bodies(machine, alphabet, rules.rule, names))


def _divided(step: Decimal, alphabet: Alphabet, fuel: Fuel) -> Automaton:
    """Numerals of multiples: by what is left over so far, and the places after the point, ``None`` before it."""
    places = max(0, -int(step.normalize().as_tuple().exponent))
    size = int(step * 10**places)
    digits = [(alphabet.bit(str(digit)), digit) for digit in range(10)]

    def steps(at: tuple[int, int | None]) -> Iterator[tuple[int, tuple[int, int | None]]]:
        rest, place = at
        if place is None:
            yield alphabet.bit("."), (rest, 0)
            yield alphabet.bit("-"), at
        # What is smaller than any multiple can only be 0.
        for bit, digit in digits if place is None or place < places else digits[:1]:
            beyond = place is not None and place >= places
            yield bit, at if beyond else ((rest * 10 + digit) % size, None if place is None else place + 1)

    def accepts(at: tuple[int, int | None]) -> bool:
        rest, place = at
        left: int = 10 ** (places - (place or 0))
        return rest * left % size == 0

    return explored((0, None), steps, accepts, fuel)
