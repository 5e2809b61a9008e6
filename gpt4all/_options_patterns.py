"""Regular expressions of JSON Schema's ``pattern`` as languages.

What Python's and JavaScript's regular expressions have in common is read, but for what looks back (``\\1``), or ahead
from anywhere but the beginning. Where the two differ, on which letters are ``\\w`` say, the language has what both
take; what they read in two ways altogether is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from gpt4all._options_regular import (
    ANY,
    Characters,
    Language,
    Ranges,
    Repeat,
    characters,
    choice,
    complement,
    counted,
    sequence,
    text,
)

_MAX_NESTING = 50


@dataclass(frozen=True)
class Set:
    """Characters that all readers find in a class or category, and those that any of them does."""

    agreed: Ranges
    claimed: Ranges
    is_category: bool = True

    def negated(self) -> Set:
        return Set(complement(self.claimed), complement(self.agreed))


#: What lies between letters that are the same for all, of Latin, Greek, Cyrillic, Chinese, Japanese and Korean.
_DISPUTED: Ranges = (
    *((0x80, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x250, 0x36F), (0x530, 0x3040), (0x3097, 0x30A0), (0x30FB, 0x4DFF)),
    *((0x9FFD, 0xABFF), (0xD7A4, 0x10FFFF)),
)
_SPACES = ((0x09, 0x0D), (0x20, 0x20))
_MORE_SPACES: Ranges = (
    *((0x1C, 0x1F), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F)),
    *((0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_CATEGORIES = {
    "d": Set(((0x30, 0x39),), ((0x30, 0x39), *_DISPUTED)),
    "w": Set(_WORD, (*_WORD, (0x80, 0x10FFFF))),
    "s": Set(_SPACES, (*_SPACES, *_MORE_SPACES)),
}
_LINE_ENDS = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_OCTAL = "01234567"
_QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(frozen=True)
class Pattern:
    """The strings in which a pattern is found: those of ``found`` and ``ahead`` that are not of ``not_ahead``."""

    found: Language
    ahead: tuple[Language, ...] = ()
    not_ahead: tuple[Language, ...] = ()


def read_pattern(pattern: str) -> Pattern:
    """
    Raises:
        ValueError: the pattern is wrong, or has what no grammar can do.
    """
    return _Reader(pattern).read()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def read(self) -> Pattern:
        ahead: dict[str, list[Language]] = {"(?=": [], "(?!": []}
        looks = self._pattern.startswith(tuple(f"^{sign}" for sign in ahead)) and self._take("^")
        while looks and self._pattern[self._at : self._at + 3] in ahead:
            found = ahead[self._pattern[self._at : self._at + 3]]
            self._at += 3
            found.append(choice(*self._search(from_start=True)))
            if not self._take(")"):
                self._fail("a group is not closed")
        options = self._search(from_start=looks)
        if self._at < len(self._pattern):
            self._fail(f"{self._pattern[self._at]!r} can not stand here")
        if looks and len(options) > 1:
            self._fail("what looks ahead can not stand in one of several alternatives")
        return Pattern(choice(*options), tuple(ahead["(?="]), tuple(ahead["(?!"]))

    def _search(self, from_start: bool) -> list[Language]:
        """Alternatives that are found anywhere, or where one is."""
        options = []
        while True:
            start = [] if self._take("^") or from_start else [Repeat(ANY)]
            body = self._sequence(0)
            end = [] if self._take("$") else [Repeat(ANY)]
            options.append(sequence(*start, body, *end))
            if not self._take("|"):
                return options

    def _fail(self, why: str) -> NoReturn:
        raise ValueError(f"pattern {self._pattern!r}, at {self._at}: {why}")

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _next(self) -> str:
        character = self._peek()
        if not character:
            self._fail("the pattern ends too early")
        self._at += 1
        return character

    def _sequence(self, depth: int) -> Language:
        parts = []
        while self._peek() and self._peek() not in "|)$^":
            parts.append(self._quantified(self._atom(depth)))
        return sequence(*parts)

    def _atom(self, depth: int) -> Language:
        character = self._next()
        if character == "(":
            return self._group(depth + 1)
        if character == "[":
            return self._class()
        if character == ".":
            return characters(complement(_LINE_ENDS))
        if character in "*+?{":
            self._at -= 1
            self._fail("there is nothing to repeat")
        if character == "\\":
            return self._one_of(self._escape().agreed)
        return text(character)

    def _group(self, depth: int) -> Language:
        if depth > _MAX_NESTING:
            self._fail(f"groups are nested more than {_MAX_NESTING} deep")
        if self._take("?"):
            named = self._take("P<") or (self._take("<") and self._peek() not in ("=", "!"))
            if named:
                while self._next() != ">":
                    pass
            elif not self._take(":"):
                self._fail("of groups with ? only (?:…) and named ones can be done")
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        if not self._take(")"):
            self._fail("a group is not closed" if not self._peek() else "an anchor can only stand at either end")
        return choice(*options)

    def _quantified(self, atom: Language) -> Language:
        if self._take("{"):
            least = self._number()
            most: int | None = least
            if self._take(","):
                most = None if self._peek() == "}" else self._number()
            if not self._take("}"):
                self._fail("} is expected")
            if most is not None and most < least:
                self._fail("at most is less than at least")
        elif self._peek() and self._peek() in _QUANTIFIERS:
            least, most = _QUANTIFIERS[self._next()]
        else:
            return atom
        # A lazy quantifier finds the same strings; a possessive one does not.
        if not self._take("?") and self._peek() in ("+", "*", "{"):
            self._fail("a quantifier can not be repeated")
        return counted(atom, least, most)

    def _number(self) -> int:
        start = self._at
        while self._peek().isascii() and self._peek().isdigit():
            self._at += 1
        if not 0 < self._at - start <= 9:
            self._fail("a number is expected")
        return int(self._pattern[start : self._at])

    def _class(self) -> Characters:
        negated = self._take("^")
        if self._peek() == "]":
            self._fail("a class that begins with ] is read in two ways; write \\]")
        agreed: list[tuple[int, int]] = []
        claimed: list[tuple[int, int]] = []
        while not self._take("]"):
            first = self._member()
            agreed += first.agreed
            claimed += first.claimed
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._member()
                between = (first.agreed[0][0], last.agreed[0][0])
                if first.is_category or last.is_category or between[1] < between[0]:
                    self._fail("this range makes no sense")
                agreed.append(between)
                claimed.append(between)
        return self._one_of(complement(claimed) if negated else agreed)

    def _one_of(self, ranges: Iterable[tuple[int, int]]) -> Characters:
        found = characters(ranges)
        if not found.ranges:
            self._fail("a class that no character is in")
        return found

    def _member(self) -> Set:
        character = self._next()
        return self._escape(in_class=True) if character == "\\" else _just(ord(character))

    def _escape(self, in_class: bool = False) -> Set:
        """What a backslash and what follows it stand for."""
        letter = self._next()
        if letter.lower() in _CATEGORIES:
            category = _CATEGORIES[letter.lower()]
            return category.negated() if letter.isupper() else category
        if letter in "xu":
            code = self._hexadecimal(2 if letter == "x" else 4)
        elif letter in _CONTROLS:
            code = ord(_CONTROLS[letter])
        elif letter.isdigit():
            code = self._octal(in_class)
        elif letter == "b" and in_class:
            code = 0x08
        elif letter.isalnum():
            self._fail(f"\\{letter} can not be done")
        else:
            code = ord(letter)
        return _just(code)

    def _octal(self, in_class: bool) -> int:
        """A character by its octal number, where it is not a group that is looked back at."""
        start = self._at = self._at - 1
        while self._at < start + 3 and self._peek() and self._peek() in _OCTAL:
            self._at += 1
        digits = self._pattern[start : self._at]
        reference = not in_class and digits[:1] != "0" and len(digits) < 3
        if not digits or reference or int(digits, 8) > 0o377:
            self._fail(f"\\{digits or self._peek()} can not be done")
        return int(digits, 8)

    def _hexadecimal(self, size: int) -> int:
        digits = self._pattern[self._at : self._at + size]
        if len(digits) < size or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            self._fail(f"{size} hexadecimal digits are expected")
        self._at += size
        return int(digits, 16)


def _just(code: int) -> Set:
    return Set(((code, code),), ((code, code),), is_category=False)
