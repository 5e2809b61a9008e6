"""Ranges of numbers as grammars: the decimal numerals of the integers, or numbers, between two bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

#: Digits that a double always tells apart, and that any JSON reader takes as an integer.
SAFE_DIGITS = 15
#: Digits before the point of a number that only one bound limits.
_USUAL_DIGITS = 9

INTEGER = f'"-"? ("0" | [1-9] [0-9]{{0,{SAFE_DIGITS - 1}}})'
NUMBER = f'{INTEGER} ("." [0-9]{{1,{SAFE_DIGITS}}})? ([eE] [-+]? [0-9]{{1,2}})?'


@dataclass(frozen=True)
class Bound:
    """One end of a range; ``open`` where the value itself is outside."""

    value: Decimal
    open: bool = False

    def mirrored(self) -> Bound:
        return Bound(-self.value, self.open)


def integer_range(low: int | None, high: int | None) -> str | None:
    """A grammar for the integers from ``low`` to ``high``, ``None`` where there are none.

    Without a bound, integers of as many digits as are safe, or one more than the other bound has.
    """
    farthest = 10 ** max(SAFE_DIGITS, *(len(str(abs(bound))) + 1 for bound in (low, high) if bound is not None)) - 1
    low = -farthest if low is None else low
    high = farthest if high is None else high
    parts = []
    if low < 0 and low <= high:
        parts.append(f'"-" ({_magnitudes(max(1, -high), -low)})')
    if high >= max(low, 0):
        parts.append(_magnitudes(max(low, 0), high))
    return " | ".join(parts) or None


def number_range(low: Bound | None, high: Bound | None) -> str | None:
    """The same for numbers with a fraction; it is as long as a double can tell apart."""
    if low is None:
        assert high is not None
        mirrored = number_range(high.mirrored(), None)
        return None if mirrored is None else _negated(mirrored)
    if high is None:
        digits = max(_USUAL_DIGITS, len(str(int(abs(low.value)))) + 1)
        high = Bound(Decimal(10**digits - 1))
    if low.value > high.value or (low.value == high.value and (low.open or high.open)):
        return None
    zero = Bound(Decimal(0))
    parts: list[str] = []
    if low.value < 0:
        nearest = high.mirrored() if high.value <= 0 else zero
        parts += (f'"-" ({part})' for part in _decimals(nearest, low.mirrored()))
    if high.value > 0 or (high.value == 0 and not high.open):
        parts += _decimals(low if low.value >= 0 else zero, high)
    return " | ".join(parts) or None


def _negated(expression: str) -> str:
    """Numbers with the other sign, from those of :func:`number_range`."""
    return " | ".join(part[4:] if part.startswith('"-" ') else f'"-" ({part})' for part in _alternatives(expression))


def _alternatives(expression: str) -> Iterator[str]:
    depth = start = 0
    for at, character in enumerate(expression):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and depth == 0:
            yield expression[start:at].strip()
            start = at + 1
    yield expression[start:].strip()


def _magnitudes(low: int, high: int) -> str:
    """Numerals from ``low`` to ``high``, neither negative: those of each length by themselves."""
    parts = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        parts.append(_same_length(str(first), str(min(high, 10**length - 1))))
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Digits from ``low`` to ``high``, which have equally many."""
    size = len(low)
    zeros, nines = "0" * (size - 1), "9" * (size - 1)
    if low == high:
        return f'"{low}"'
    if (low, high) == ("0" * size, "9" * size):
        return _digits(size, size)
    if low[0] == high[0]:
        return f'"{low[0]}" ({_same_length(low[1:], high[1:])})'
    first, last = int(low[0]), int(high[0])
    before, after = [], []
    if low[1:] != zeros:
        before.append(f'"{first}" ({_same_length(low[1:], nines)})')
        first += 1
    if high[1:] != nines:
        after.append(f'"{last}" ({_same_length(zeros, high[1:])})')
        last -= 1
    between = [f"[{first}-{last}] {_digits(size - 1, size - 1)}"] if first <= last else []
    return " | ".join(before + between + after)


def _digits(least: int, most: int) -> str:
    return f"[0-9]{{{least},{most}}}" if most > 0 else ""


def _decimals(low: Bound, high: Bound) -> list[str]:
    """Numerals between two bounds that are not negative."""
    first, first_fraction = _split(low.value)
    last, last_fraction = _split(high.value)
    room = max(1, SAFE_DIGITS - len(str(last)), len(first_fraction), len(last_fraction))
    if first == last:
        return _within(first, (low, first_fraction), (high, last_fraction), room)
    parts = []
    if not first_fraction and not low.open:
        parts.append(f'"{first}" ("." {_digits(1, room)})?')
    else:
        parts.append(f'"{first}." ({_at_least(first_fraction, low.open, room)})')
    if first + 1 < last:
        parts.append(f'({_magnitudes(first + 1, last - 1)}) ("." {_digits(1, room)})?')
    if last_fraction:
        parts.append(f'"{last}" ("." ({_at_most(last_fraction, high.open, room)}))?')
    elif not high.open:
        parts.append(f'"{last}" ("." "0"{{1,2}})?')
    return parts


def _within(whole: int, low: tuple[Bound, str], high: tuple[Bound, str], room: int) -> list[str]:
    """Between two bounds with the same integer part: all fractions have as many digits."""
    size = min(room, max(len(low[1]), len(high[1])) + 2)
    first = int(low[1].ljust(size, "0")) + low[0].open
    last = int(high[1].ljust(size, "0")) - high[0].open
    if first > last:
        return []
    fractions = _same_length(str(first).rjust(size, "0"), str(last).rjust(size, "0"))
    exact = [f'"{whole}"'] if not low[1] and not low[0].open else []
    return [*exact, f'"{whole}." ({fractions})']


def _at_least(fraction: str, is_open: bool, room: int) -> str:
    """Fractions from ``fraction`` on."""
    if not fraction:
        return f"{_digits(0, room - 1)} [1-9]" if is_open else _digits(0, room)
    digit, more = int(fraction[0]), _at_least(fraction[1:], is_open, room - 1)
    same = f'"{digit}" ({more})' if more else f'"{digit}"'
    return same if digit == 9 else f"[{digit + 1}-9] {_digits(0, room - 1)} | {same}"


def _at_most(fraction: str, is_open: bool, room: int) -> str:
    """Fractions up to ``fraction``, which does not end in 0; one that is cut short is less."""
    digit, parts = int(fraction[0]), []
    if digit > 0:
        parts.append(f"[0-{digit - 1}] {_digits(0, room - 1)}")
    if fraction[1:]:
        parts.append(f'"{digit}" ({_at_most(fraction[1:], is_open, room - 1)})?')
    elif not is_open:
        parts.append(f'"{digit}"')
    return " | ".join(parts)


def _split(value: Decimal) -> tuple[int, str]:
    """The integer part and the digits after the point."""
    whole, _, fraction = f"{value:f}".partition(".")
    return int(whole), fraction.rstrip("0")
