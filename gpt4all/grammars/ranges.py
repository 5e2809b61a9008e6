"""Ranges of numbers as languages: the decimal numerals of the integers, or numbers, between two bounds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gpt4all.grammars.regular import Language, Repeat, characters, choice, sequence, text

#: Digits that a double always tells apart, and that any JSON reader takes as an integer.
SAFE_DIGITS = 15
#: Digits before the point that a double may have, whatever they are.
MOST_DIGITS = 308
#: Digits after the point: as many as anybody writes to tell two doubles apart, with zeros before them.
_FRACTION_DIGITS = 25

INTEGER = f'"-"? ("0" | [1-9] [0-9]{{0,{MOST_DIGITS - 1}}})'
_PLACES = f'("." [0-9]{{1,{_FRACTION_DIGITS}}})?'
_EXPONENT = "[eE] [-+]? ([0-9]{1,2} | [12] [0-9]{2})"
NUMBER = (
    f'{INTEGER} {_PLACES} | "-"? ("0" | [1-9] [0-9]{{0,7}}) {_PLACES} {_EXPONENT} | '
    f'"-"? [0-9] {_PLACES} [eE] [-+]? "30" [0-7]'
)


@dataclass(frozen=True)
class Bound:
    """One end of a range; ``open`` where the value itself is outside."""

    value: Decimal
    open: bool = False

    def mirrored(self) -> Bound:
        return Bound(-self.value, self.open)


def _digit(low: int = 0, high: int = 9) -> Language:
    return characters([(ord(str(low)), ord(str(high)))])


def _digits(least: int, most: int) -> Language:
    return Repeat(_digit(), least, most) if (least, most) != (1, 1) else _digit()


def _maybe(language: Language) -> Language:
    return Repeat(language, 0, 1)


_MINUS = text("-")
_E = characters([(ord(c), ord(c)) for c in "eE"])


def _fraction(most: int = _FRACTION_DIGITS) -> Language:
    return sequence(text("."), _digits(1, most))


def _scientific(signs: str, least: int) -> Language:
    """One digit before the point, and an exponent from ``least`` to 307, which a double has."""
    exponents = choice(
        sequence(_maybe(text("0")), _digit(least, 9)),
        sequence(_digit(1, 9), _digit()),
        sequence(_digit(1, 2), _digits(2, 2)),
        sequence(text("30"), _digit(0, 7)),
    )
    sign = _maybe(text(signs)) if signs == "+" else text(signs)
    return sequence(_digit(1, 9), _maybe(_fraction()), _E, sign, exponents)


def integer_range(low: int | None, high: int | None, most_digits: int = MOST_DIGITS) -> Language | None:
    """The integers from ``low`` to ``high``, ``None`` for none; where no bound is, as far as doubles go."""
    parts = []
    if (low is None or low < 0) and (low is None or high is None or low <= high):
        nearest = 1 if high is None else max(1, -high)
        parts.append(sequence(_MINUS, _magnitudes(nearest, None if low is None else -low, most_digits)))
    if high is None or high >= max(low or 0, 0):
        parts.append(_magnitudes(max(low or 0, 0), high, most_digits))
    return choice(*parts) if parts else None


def number_range(low: Bound | None, high: Bound | None, most_digits: int = MOST_DIGITS) -> Language | None:
    """The same for numbers with a fraction, and with an exponent where those are all on one side of a bound."""
    parts: list[Language] = []
    if low is not None and high is not None and (low.value > high.value or _meet(low, high)):
        return None
    zero = Bound(Decimal(0))
    if low is None or low.value < 0:
        nearest = high.mirrored() if high is not None and high.value <= 0 else zero
        farthest = None if low is None else low.mirrored()
        parts += (sequence(_MINUS, part) for part in _from_zero(nearest, farthest, most_digits))
    if high is None or high.value > 0 or (high.value == 0 and not high.open):
        parts += _from_zero(low if low is not None and low.value >= 0 else zero, high, most_digits)
    return choice(*parts) if parts else None


def _meet(low: Bound, high: Bound) -> bool:
    return low.value == high.value and (low.open or high.open)


def _from_zero(low: Bound, high: Bound | None, most_digits: int) -> list[Language]:
    """Between two bounds that are not negative."""
    parts = _decimals(low, high, most_digits)
    if low.value == 0 and (high is None or high.value >= 1):
        # From 0.01 on, so that none is rounded to 1.
        parts.append(_scientific("-", 2))
    if low.value < 10 and high is None and most_digits == MOST_DIGITS:
        parts.append(_scientific("+", 1))
    return parts


def _magnitudes(low: int, high: int | None, most_digits: int = MOST_DIGITS) -> Language:
    """Numerals from ``low`` to ``high``, neither negative: those of each length by themselves."""
    longest = len(str(low if high is None else high))
    parts = []
    for length in range(len(str(low)), longest + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        last = 10**length - 1 if high is None else min(high, 10**length - 1)
        parts.append(_same_length(str(first), str(last)))
    if high is None and longest < most_digits:
        parts.append(sequence(_digit(1, 9), _digits(longest, most_digits - 1)))
    return choice(*parts)


def _same_length(low: str, high: str) -> Language:
    """Digits from ``low`` to ``high``, which have equally many."""
    size = len(low)
    zeros, nines = "0" * (size - 1), "9" * (size - 1)
    if low == high:
        return text(low)
    if (low, high) == ("0" * size, "9" * size):
        return _digits(size, size)
    if low[0] == high[0]:
        return sequence(text(low[0]), _same_length(low[1:], high[1:]))
    first, last = int(low[0]), int(high[0])
    before, between, after = [], [], []
    if low[1:] != zeros:
        before.append(sequence(text(low[0]), _same_length(low[1:], nines)))
        first += 1
    if high[1:] != nines:
        after.append(sequence(text(high[0]), _same_length(zeros, high[1:])))
        last -= 1
    if first <= last:
        between.append(sequence(_digit(first, last), *([_digits(size - 1, size - 1)] if size > 1 else [])))
    return choice(*before, *between, *after)


def _decimals(low: Bound, high: Bound | None, most_digits: int) -> list[Language]:
    """Numerals between two bounds that are not negative.

    What is rounded to a double does not pass a bound, but may come to be equal to it: where that is outside, and not 0,
    there are fewer digits. Where doubles are further apart than 1, there is no fraction.
    """
    first, first_fraction = _split(low.value)
    last, last_fraction = (None, "") if high is None else _split(high.value)
    room = max(_FRACTION_DIGITS, len(first_fraction), len(last_fraction))
    if (low.open and low.value) or (high is not None and high.open):
        room = max(1, SAFE_DIGITS - len(str(first if last is None else last)), len(first_fraction), len(last_fraction))
    if high is not None and first == last:
        return _within(first, (low, first_fraction), (high, last_fraction), room)
    fraction = _maybe(_fraction(room))
    exact = first >= 10**SAFE_DIGITS
    parts = []
    if not first_fraction and not low.open:
        parts.append(sequence(text(str(first)), *([] if exact else [fraction])))
    elif not exact:
        parts.append(sequence(text(f"{first}."), _at_least(first_fraction, low.open, room)))
    # The integers between, with a fraction as far as it makes a difference.
    end = None if last is None else last - 1
    safe = 10**SAFE_DIGITS - 1 if end is None else min(end, 10**SAFE_DIGITS - 1)
    if first + 1 <= safe:
        parts.append(sequence(_magnitudes(first + 1, safe), fraction))
    beyond = max(first + 1, 10**SAFE_DIGITS)
    if (end is None and most_digits > SAFE_DIGITS) or (end is not None and beyond <= end):
        parts.append(_magnitudes(beyond, end, most_digits))
    if high is not None and last is not None:
        whole = text(str(last))
        if last_fraction:
            parts.append(sequence(whole, _maybe(sequence(text("."), _at_most(last_fraction, high.open, room)))))
        elif not high.open:
            zeros = _maybe(sequence(text("."), Repeat(text("0"), 1, 2)))
            parts.append(sequence(whole, *([zeros] if last < 10**SAFE_DIGITS else [])))
    return parts


def _within(whole: int, low: tuple[Bound, str], high: tuple[Bound, str], room: int) -> list[Language]:
    """Between two bounds with the same integer part: all fractions have as many digits."""
    size = min(room, max(len(low[1]), len(high[1])) + 2)
    first = int(low[1].ljust(size, "0")) + low[0].open
    last = int(high[1].ljust(size, "0")) - high[0].open
    if first > last:
        return []
    exact = [text(str(whole))] if not low[1] and not low[0].open else []
    if whole >= 10**SAFE_DIGITS:
        return list(exact)
    fractions = _same_length(str(first).rjust(size, "0"), str(last).rjust(size, "0"))
    return [*exact, sequence(text(f"{whole}."), fractions)]


def _at_least(fraction: str, is_open: bool, room: int) -> Language:
    """Fractions from ``fraction`` on."""
    if not fraction:
        return sequence(_digits(0, room - 1), _digit(1, 9)) if is_open else _digits(0, room)
    digit = int(fraction[0])
    same = sequence(text(fraction[0]), _at_least(fraction[1:], is_open, room - 1))
    return same if digit == 9 else choice(sequence(_digit(digit + 1, 9), _digits(0, room - 1)), same)


def _at_most(fraction: str, is_open: bool, room: int) -> Language:
    """Fractions up to ``fraction``, which does not end in 0; one that is cut short is less."""
    digit = int(fraction[0])
    parts: list[Language] = []
    if digit > 0:
        parts.append(sequence(_digit(0, digit - 1), _digits(0, room - 1)))
    if fraction[1:]:
        parts.append(sequence(text(fraction[0]), _maybe(_at_most(fraction[1:], is_open, room - 1))))
    elif not is_open:
        parts.append(text(fraction[0]))
    return choice(*parts)


def _split(value: Decimal) -> tuple[int, str]:
    """The integer part and the digits after the point."""
    whole, _, fraction = f"{value:f}".partition(".")
    return int(whole), fraction.rstrip("0")
