"""Regular languages, which patterns, formats and ranges of numbers are, and how a grammar writes them in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Ranges = tuple[tuple[int, int], ...]
#: Gives the name of a rule that says what it is given.
Rule = Callable[[str], str]

#: Repetitions that are multiplied out. A larger upper bound is lowered to it: what is generated then is still valid.
MAX_REPETITIONS = 10_000

#: What is written where it is used; the rest is a rule of its own, as it may be used again: sets of so many signs and
#: repetitions that are no more, and choices of so many signs.
_SHORT, _LONG = 5, 40
_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_JSON_ESCAPES = {0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r", 0x22: '"', 0x5C: "\\"}


@dataclass(frozen=True)
class Characters:
    """One character out of some ranges, which are in order and apart."""

    ranges: Ranges


@dataclass(frozen=True)
class Sequence:
    parts: tuple[Language, ...]


@dataclass(frozen=True)
class Choice:
    options: tuple[Language, ...]


@dataclass(frozen=True)
class Repeat:
    part: Language
    least: int = 0
    most: int | None = None


Language = Characters | Sequence | Choice | Repeat

EMPTY = Sequence(())


def characters(ranges: Iterable[tuple[int, int]]) -> Characters:
    """One character out of ranges in any order; halves of a character, surrogates, are none."""
    return Characters(complement(complement(ranges)))


def complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All other characters."""
    result, following = [], 0
    for first, last in sorted([*ranges, _SURROGATES]):
        if first > following:
            result.append((following, first - 1))
        following = max(following, last + 1)
    return (*result, (following, _LAST)) if following <= _LAST else tuple(result)


ANY = characters([(0, _LAST)])


def text(literal: str) -> Language:
    parts = tuple(Characters(((ord(c), ord(c)),)) for c in literal)
    return parts[0] if len(parts) == 1 else Sequence(parts)


def sequence(*parts: Language) -> Language:
    return parts[0] if len(parts) == 1 else Sequence(parts)


def choice(*options: Language) -> Language:
    return options[0] if len(options) == 1 else Choice(options)


def counted(part: Language, least: int, most: int | None) -> Language:
    """``part`` repeated so many times.

    Raises:
        ValueError: it is asked for too often.
    """
    return Repeat(part, *_bounds(least, most))


def bounded(least: int, most: int | None) -> str:
    """The same in a grammar, behind what is repeated."""
    return _repetition(*_bounds(least, most))


def _bounds(least: int, most: int | None) -> tuple[int, int | None]:
    if least > MAX_REPETITIONS:
        raise ValueError(f"{least:.3g} repetitions are too many; at most {MAX_REPETITIONS} can be asked for")
    return least, None if most is None else min(most, MAX_REPETITIONS)


def lengths(language: Language) -> tuple[int, int | None]:
    """How many characters a text of the language has at least and at most; ``None`` is no limit."""
    if isinstance(language, Characters):
        return 1, 1
    if isinstance(language, Repeat):
        least, most = lengths(language.part)
        if most is None or (language.most is None and most > 0):
            return least * language.least, None
        return least * language.least, most * (language.most or 0)
    parts = [lengths(part) for part in (language.parts if isinstance(language, Sequence) else language.options)]
    lows, highs = [low for low, _ in parts], [high for _, high in parts]
    together: tuple[Callable[[Any], int], Callable[[Any], int]] = (
        (sum, sum) if isinstance(language, Sequence) else (min, max)
    )
    return together[0](lows), None if None in highs else together[1](highs)


def written(language: Language, rule: Rule, tight: bool = False) -> str:
    """The language in a grammar; ``tight`` where something stands beside it. ``rule`` gives a name to what it says."""
    if isinstance(language, Characters):
        return "char" if language == ANY else encoded(language.ranges, rule)
    if isinstance(language, Repeat):
        body = written(language.part, rule, tight=True)
        body = f"({body})" if isinstance(language.part, Repeat) and not body.isalnum() else body
        body += _repetition(language.least, language.most)
        return rule(body) if (language.most or 0) - language.least > _SHORT else body
    if isinstance(language, Choice):
        body = " | ".join(written(option, rule) for option in language.options)
        return body if not tight else f"({body})" if len(body) <= _LONG else rule(body)
    parts: list[str] = []
    for part in language.parts:
        piece = written(part, rule, tight=True)
        # Texts that follow each other are one.
        if parts and piece[0] == '"' == parts[-1][0] and piece[-1] == '"' == parts[-1][-1]:
            parts[-1] = parts[-1][:-1] + piece[1:]
        elif piece != '""':
            parts.append(piece)
    if len(parts) == 1 or not tight:
        return " ".join(parts) or '""'
    return f"({' '.join(parts)})"


def _repetition(least: int, most: int | None) -> str:
    signs = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    bounds = f"{least}" if least == most else f"{least},{'' if most is None else most}"
    return signs.get((least, most), f"{{{bounds}}}")


def encoded(ranges: Ranges, rule: Rule) -> str:
    """A grammar for one character out of ``ranges`` as JSON writes it."""
    plain: list[tuple[int, int]] = []
    escapes = []
    for first, last in ranges:
        for code in range(first, min(last, 0x5C) + 1):
            if code < 0x20 or code in _JSON_ESCAPES:
                escape = _JSON_ESCAPES.get(code, f"u{code:04x}")
                escapes.append(quoted(f"\\{escape}"))
        plain += _cut(first, last)
    if not escapes and len(plain) == 1 and plain[0][0] == plain[0][1]:
        return quoted(chr(plain[0][0]))
    parts = ["[" + "".join(_range(first, last) for first, last in plain) + "]"] if plain else []
    body = " | ".join([*parts, *dict.fromkeys(escapes)])
    # Whatever the grammar's reader has once is cheaper.
    return body if len(body) <= _SHORT or (len(escapes) == 1 and not plain) else rule(body)


def _cut(first: int, last: int) -> list[tuple[int, int]]:
    """A range without what JSON must escape."""
    pieces: list[tuple[int, int]] = []
    start = max(first, 0x20)
    for code in (0x22, 0x5C):
        if start <= code <= last:
            if start < code:
                pieces.append((start, code - 1))
            start = code + 1
    return [*pieces, (start, last)] if start <= last else pieces


def _range(first: int, last: int) -> str:
    return _character(first) if first == last else f"{_character(first)}-{_character(last)}"


def _character(code: int) -> str:
    return chr(code) if code < 128 and chr(code).isalnum() else f"\\U{code:08X}"


def quoted(text: str) -> str:
    """``text`` as a literal of a grammar."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02X}" for c in escaped) + '"'
