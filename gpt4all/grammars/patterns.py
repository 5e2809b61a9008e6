"""Regular expressions of JSON Schema's ``pattern`` as languages.

What Python's and JavaScript's regular expressions have in common is read, but for what looks back (``\\1``), or ahead
from anywhere but the beginning. Where the two differ, on which letters are ``\\w`` say, the language has what both
take; what they read in two ways altogether is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NoReturn

from gpt4all.grammars.regular import (
    ANY,
    EMPTY,
    Characters,
    Language,
    Ranges,
    Repeat,
    Sequence,
    characters,
    choice,
    complement,
    counted,
    lengths,
    sequence,
    text,
)

_MAX_NESTING = 50
#: Repetitions of what has ^ or $ inside, and how many such there may be: each multiplies what is inside.
_MAX_ANCHORED = 4


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
    """The strings in which a regular expression is found.

    Raises:
        ValueError: the pattern is wrong, or has what no grammar can do.
    """
    return _Reader(pattern).read()


@dataclass(frozen=True)
class _Part:
    """What a part of a pattern matches anywhere, where a text starts, where it ends, and as all of it, if anything.

    Where neither ^ nor $ is inside, the first says it all.
    """

    anywhere: Language | None = None
    start: Language | None = None
    end: Language | None = None
    whole: Language | None = None

    def then(self, other: _Part) -> _Part:
        before, after = self._may_be_empty(self.start), other._may_be_empty(other.end)
        # In an empty text, its start is its end.
        empty = all(part._may_be_empty(part.start, part.end, part.whole) for part in (self, other))
        return _Part(
            _after(self.anywhere, other.anywhere),
            _any(_after(self.start, other.anywhere), other.start if before else None),
            _any(_after(self.anywhere, other.end), self.end if after else None),
            _any(
                _after(self.start, other.end),
                self.whole if after else None,
                other.whole if before else None,
                EMPTY if empty else None,
            ),
        )

    def _may_be_empty(self, *anchored: Language | None) -> bool:
        return any(found is not None and lengths(found)[0] == 0 for found in (self.anywhere, *anchored))

    def is_plain(self) -> bool:
        return self.anywhere is not None and self == _Part(self.anywhere)

    def repeated(self, least: int, most: int | None) -> _Part:
        if self.anywhere is not None and self.is_plain():
            return _Part(counted(self.anywhere, least, most))
        if least > _MAX_ANCHORED:
            raise ValueError(f"what has an anchor inside can not be asked for more than {_MAX_ANCHORED} times")
        found = _Part(EMPTY)
        for _ in range(least):
            found = found.then(self)
        if most == least:
            return found
        # Of those that may follow, only the first and the last can be at an end.
        further = [_Part(EMPTY), self]
        if most is None or most - least > 1:
            between = None if most is None else most - least - 2
            middle = EMPTY if self.anywhere is None else counted(self.anywhere, 0, between)
            further.append(self.then(_Part(middle)).then(self))
        return found.then(_one_of(further))


def _one_of(parts: list[_Part]) -> _Part:
    return _Part(*(_any(*(getattr(part, each.name) for part in parts)) for each in fields(_Part)))


def _any(*found: Language | None) -> Language | None:
    some = [each for each in dict.fromkeys(found) if each is not None]
    return choice(*some) if some else None


def _after(*found: Language | None) -> Language | None:
    parts: list[Language] = []
    for each in found:
        if each is None:
            return None
        parts += each.parts if isinstance(each, Sequence) else (each,)
    return sequence(*parts)


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._anchored = 0

    def read(self) -> Pattern:
        ahead: dict[str, list[Language]] = {"(?=": [], "(?!": []}
        looks = self._pattern.startswith(tuple(f"^{sign}" for sign in ahead)) and self._take("^")
        while looks and self._pattern[self._at : self._at + 3] in ahead:
            found = ahead[self._pattern[self._at : self._at + 3]]
            self._at += 3
            found.append(self._searched(self._alternatives(1), from_start=True))
            if not self._take(")"):
                self._fail("a group is not closed")
        options = self._alternatives(0)
        if self._at < len(self._pattern):
            self._fail(f"{self._pattern[self._at]!r} can not stand here")
        if looks and len(options) > 1:
            self._fail("what looks ahead can not stand in one of several alternatives")
        return Pattern(self._searched(options, from_start=looks), tuple(ahead["(?="]), tuple(ahead["(?!"]))

    def _searched(self, options: list[_Part], from_start: bool) -> Language:
        """The texts in which one of ``options`` is found, or found where they start."""
        rest, before = Repeat(ANY), EMPTY if from_start else Repeat(ANY)
        found = [
            text
            for part in options
            for text in (
                _after(before, part.anywhere, rest),
                _after(part.start, rest),
                _after(before, part.end),
                part.whole,
            )
            if text is not None
        ]
        if not found:
            self._fail("it is never found")
        return choice(*found)

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

    def _alternatives(self, depth: int) -> list[_Part]:
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        return options

    def _sequence(self, depth: int) -> _Part:
        found, plain = _Part(EMPTY), list[Language]()
        while self._peek() and self._peek() not in "|)":
            part = self._quantified(self._atom(depth))
            if part.anywhere is not None and part.is_plain():
                plain.append(part.anywhere)
            else:
                found, plain = found.then(_Part(sequence(*plain))).then(part), []
        return found.then(_Part(sequence(*plain)))

    def _atom(self, depth: int) -> _Part:
        if self._take("^"):
            return _Part(start=EMPTY)
        if self._take("$"):
            return _Part(end=EMPTY)
        if self._take("("):
            return self._group(depth + 1)
        return _Part(self._one())

    def _one(self) -> Language:
        """One character."""
        character = self._next()
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

    def _group(self, depth: int) -> _Part:
        if depth > _MAX_NESTING:
            self._fail(f"groups are nested more than {_MAX_NESTING} deep")
        if self._take("?"):
            named = self._take("P<") or (self._take("<") and self._peek() not in ("=", "!"))
            if named:
                while self._next() != ">":
                    pass
            elif not self._take(":"):
                self._fail("of groups with ? only (?:…) and named ones can be done")
        options = self._alternatives(depth)
        if not self._take(")"):
            self._fail("a group is not closed")
        return _one_of(options)

    def _quantified(self, atom: _Part) -> _Part:
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
        if not atom.is_plain():
            self._anchored += 1
            if self._anchored > _MAX_ANCHORED:
                self._fail("there are too many repetitions with an anchor inside")
        return atom.repeated(least, most)

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
