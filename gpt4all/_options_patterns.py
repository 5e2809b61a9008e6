"""Regular expressions of JSON Schema's ``pattern`` as grammars of what stands between a JSON string's quotes.

What Python's and JavaScript's regular expressions have in common is read, except for what looks around (``\\b``,
``(?=…)``) or back (``\\1``). Where the two differ, on which letters are ``\\w`` say, the grammar gives what both take.
"""

from __future__ import annotations

from typing import NoReturn

Ranges = list[tuple[int, int]]

#: Repetitions that are multiplied out. A larger upper bound is lowered to it: what is generated then is still valid.
MAX_REPETITIONS = 10_000
_MAX_NESTING = 50

_LAST = 0x10FFFF
_DIGITS: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE: Ranges = [(0x09, 0x0D), (0x20, 0x20)]
_LINE_ENDS: Ranges = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)]
_PRINTABLE = (0x20, 0x7E)
_CATEGORIES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_JSON_ESCAPES = {0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r", 0x22: '"', 0x5C: "\\"}


def pattern_grammar(pattern: str, any_character: str) -> str:
    """The grammar of strings in which ``pattern`` is found; ``any_character`` is the rule of any one character.

    Raises:
        ValueError: the pattern is wrong, or has what no grammar can do.
    """
    return _Reader(pattern, any_character).read()


def bounded(least: int, most: int | None) -> str:
    """The repetition ``{least,most}`` in a grammar."""
    if least > MAX_REPETITIONS:
        raise ValueError(f"{least} repetitions are too many; at most {MAX_REPETITIONS} can be asked for")
    return f"{{{least},{'' if most is None else min(most, MAX_REPETITIONS)}}}"


class _Reader:
    def __init__(self, pattern: str, any_character: str) -> None:
        self._pattern = pattern
        self._any_character = any_character
        self._at = 0

    def read(self) -> str:
        parts = []
        while True:
            start = "" if self._take("^") else f"{self._any_character}* "
            body = self._sequence(0)
            end = "" if self._take("$") else f" {self._any_character}*"
            parts.append(f"({start}{body}{end})" if start or body or end else '""')
            if not self._take("|"):
                break
        if self._at < len(self._pattern):
            self._fail(f"{self._pattern[self._at]!r} can not stand here")
        return " | ".join(parts)

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

    def _sequence(self, depth: int) -> str:
        parts = []
        while self._peek() and self._peek() not in "|)$^":
            parts.append(self._atom(depth) + self._quantifier())
        return " ".join(parts)

    def _alternatives(self, depth: int) -> str:
        parts = [self._sequence(depth)]
        while self._take("|"):
            parts.append(self._sequence(depth))
        return " | ".join(part or '""' for part in parts)

    def _atom(self, depth: int) -> str:
        character = self._next()
        if character == "(":
            return self._group(depth + 1)
        if character == "[":
            return self._class()
        if character == ".":
            return encoded(complement(_LINE_ENDS))
        if character in "*+?{":
            self._at -= 1
            self._fail("there is nothing to repeat")
        if character == "\\":
            category, ranges = self._escape()
            return encoded(ranges if not category.isupper() else _within_ascii(ranges))
        return encoded([(ord(character), ord(character))])

    def _group(self, depth: int) -> str:
        if depth > _MAX_NESTING:
            self._fail(f"groups are nested more than {_MAX_NESTING} deep")
        if self._take("?"):
            named = self._take("P<") or (self._take("<") and self._peek() not in ("=", "!"))
            if named:
                while self._next() != ">":
                    pass
            elif not self._take(":"):
                self._fail("of groups with ? only (?:…) and named ones can be done")
        body = self._alternatives(depth)
        if not self._take(")"):
            self._fail("a group is not closed" if not self._peek() else "an anchor can only stand at either end")
        return f"({body})"

    def _quantifier(self) -> str:
        if self._take("{"):
            least = self._number()
            most: int | None = least
            if self._take(","):
                most = None if self._peek() == "}" else self._number()
            if not self._take("}"):
                self._fail("} is expected")
            if most is not None and most < least:
                self._fail("at most is less than at least")
            quantifier = bounded(least, most)
        else:
            quantifier = self._next() if self._peek() and self._peek() in "*+?" else ""
        # A lazy quantifier finds the same strings; a possessive one does not.
        if quantifier and not self._take("?") and self._peek() in ("+", "*", "{"):
            self._fail("a quantifier can not be repeated")
        return quantifier

    def _number(self) -> int:
        start = self._at
        while self._peek().isascii() and self._peek().isdigit():
            self._at += 1
        if not 0 < self._at - start <= 9:
            self._fail("a number is expected")
        return int(self._pattern[start : self._at])

    def _class(self) -> str:
        negated = self._take("^")
        ranges: Ranges = []
        ascii_only = False
        while not self._take("]"):
            category, first = self._member()
            ranges += first
            ascii_only = ascii_only or bool(category)
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                end_category, last = self._member()
                if category or end_category or last[0][0] < first[0][0]:
                    self._fail("this range makes no sense")
                ranges.append((first[0][0], last[0][0]))
        result = complement(ranges) if negated else ranges
        # Letters of other scripts are \\w here and not there, so where one is excluded, all are.
        result = _within_ascii(result) if ascii_only and negated else result
        if not result:
            self._fail("a class that no character is in")
        return encoded(result)

    def _member(self) -> tuple[str, Ranges]:
        character = self._next()
        if character != "\\":
            return "", [(ord(character), ord(character))]
        category, ranges = self._escape(in_class=True)
        return category, _within_ascii(ranges) if category.isupper() else ranges

    def _escape(self, in_class: bool = False) -> tuple[str, Ranges]:
        """What follows a backslash: the letter of a category, or none, and its characters."""
        letter = self._next()
        if letter.lower() in _CATEGORIES:
            ranges = _CATEGORIES[letter.lower()]
            return letter, complement(ranges) if letter.isupper() else ranges
        if letter in "xu":
            code = self._hexadecimal(2 if letter == "x" else 4)
        elif letter in _CONTROLS:
            code = ord(_CONTROLS[letter])
        elif letter == "b" and in_class:
            code = 0x08
        elif letter.isalnum():
            self._fail(f"\\{letter} can not be done")
        else:
            code = ord(letter)
        return "", [(code, code)]

    def _hexadecimal(self, size: int) -> int:
        digits = self._pattern[self._at : self._at + size]
        if len(digits) < size or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            self._fail(f"{size} hexadecimal digits are expected")
        self._at += size
        return int(digits, 16)


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    result, following = [], 0
    for first, last in sorted(ranges):
        if first > following:
            result.append((following, first - 1))
        following = max(following, last + 1)
    return [*result, (following, _LAST)] if following <= _LAST else result


def _within_ascii(ranges: Ranges) -> Ranges:
    low, high = _PRINTABLE
    return [(max(first, low), min(last, high)) for first, last in ranges if first <= high and last >= low]


def encoded(ranges: Ranges) -> str:
    """A grammar for one character out of ``ranges`` as JSON writes it."""
    plain: Ranges = []
    escapes = []
    for first, last in ranges:
        for code in range(first, min(last, 0x5C) + 1):
            if code < 0x20 or code in _JSON_ESCAPES:
                escape = _JSON_ESCAPES.get(code, f"u{code:04x}")
                escapes.append(quoted(f"\\{escape}"))
        plain += _cut(first, last)
    parts = ["[" + "".join(_range(first, last) for first, last in plain) + "]"] if plain else []
    parts += dict.fromkeys(escapes)
    return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"


def _cut(first: int, last: int) -> Ranges:
    """A range without what JSON must escape."""
    pieces: Ranges = []
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
