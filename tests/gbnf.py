"""An independent reader of GBNF for tests: draws texts at random from a grammar.

It knows what the package writes and no more, and shares nothing with the engine's reader.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

Node = Callable[["Sampler"], str]
#: What follows each other, and the rules named in it.
Alternative = tuple[list[Node], set[str]]

_TOKEN = re.compile(
    r'\s*(?:(?P<literal>"(?:[^"\\]|\\.)*")|(?P<set>\[(?:[^\]\\]|\\.)*\])|(?P<count>\{\d+(?:,\d*)?\})'
    r"|(?P<name>[A-Za-z0-9-]+)|(?P<sign>[()|*+?]))"
)
_CHARACTER = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\(.)|(.)", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_MOST_REPETITIONS = 3
_ENDLESS = 10**6


@dataclass
class Sampler:
    """Draws one text; the deeper it is, the more it looks for an end."""

    rules: dict[str, list[Alternative]]
    heights: dict[str, int]
    random: random.Random
    depth: int = 0

    def rule(self, name: str) -> str:
        self.depth += 1
        try:
            return self.alternative(self.rules[name])
        finally:
            self.depth -= 1

    def alternative(self, alternatives: list[Alternative]) -> str:
        if self.depth > 40:
            sequence, _ = min(alternatives, key=lambda pair: _height(pair[1], self.heights))
        else:
            sequence, _ = self.random.choice(alternatives)
        return "".join(node(self) for node in sequence)


class Texts:
    """The texts of a grammar."""

    def __init__(self, grammar: str) -> None:
        self._rules: dict[str, list[Alternative]] = {}
        for line in grammar.splitlines():
            name, _, body = line.partition(" ::= ")
            self._rules[name] = _Reader(body).alternatives()
        self._heights: dict[str, int] = {}
        for _ in self._rules:
            for name, alternatives in self._rules.items():
                self._heights[name] = 1 + min(_height(names, self._heights) for _, names in alternatives)

    def draw(self, seed: int) -> str:
        """One at random."""
        return Sampler(self._rules, self._heights, random.Random(seed)).rule("root")


def _height(names: set[str], heights: dict[str, int]) -> int:
    """How many rules deep the shortest way to an end is."""
    return max((heights.get(name, _ENDLESS) for name in names), default=0)


class _Reader:
    def __init__(self, body: str) -> None:
        self._tokens = []
        at = 0
        while body[at:].strip():
            match = _TOKEN.match(body, at)
            assert match is not None, f"cannot read {body[at:]!r}"
            assert match.lastgroup is not None
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._at = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def alternatives(self) -> list[Alternative]:
        found = []
        while True:
            sequence: list[Node] = []
            start = self._at
            while self._peek() not in (("sign", "|"), ("sign", ")"), ("end", "")):
                sequence.append(self._repeated(self._item()))
            found.append((sequence, {text for kind, text in self._tokens[start : self._at] if kind == "name"}))
            if self._peek() != ("sign", "|"):
                return found
            self._at += 1

    def _item(self) -> Node:
        kind, text = self._peek()
        self._at += 1
        if kind == "literal":
            value = "".join(_characters(text[1:-1]))
            return lambda sampler: value
        if kind == "set":
            return _set(text[1:-1])
        if kind == "name":
            return lambda sampler: sampler.rule(text)
        assert (kind, text) == ("sign", "("), f"{text!r} begins nothing"
        inner = self.alternatives()
        assert self._peek() == ("sign", ")")
        self._at += 1
        return lambda sampler: sampler.alternative(inner)

    def _repeated(self, item: Node) -> Node:
        kind, text = self._peek()
        if kind == "count":
            least, comma, most = text[1:-1].partition(",")
            low, high = int(least), int(most) if most else None if comma else int(least)
        elif kind == "sign" and text in "*+?":
            low, high = (1 if text == "+" else 0), (1 if text == "?" else None)
        else:
            return item
        self._at += 1

        def repeat(sampler: Sampler) -> str:
            # Mostly short, and now and then as long as may be.
            extra = 0 if sampler.depth > 40 else _MOST_REPETITIONS
            limit = low + extra if high is None else high
            if high is not None and (extra == 0 or sampler.random.random() < 0.8):
                limit = min(high, low + extra)
            return "".join(item(sampler) for _ in range(sampler.random.randint(low, limit)))

        return repeat


def _set(body: str) -> Node:
    negated = body.startswith("^")
    characters = list(_CHARACTER.finditer(body[1:] if negated else body))
    ranges = []
    at = 0
    while at < len(characters):
        first = last = _character(characters[at])
        # A dash that is escaped or stands last is one of the characters.
        if at + 2 < len(characters) and characters[at + 1][0] == "-":
            last = _character(characters[at + 2])
            at += 2
        ranges.append((ord(first), ord(last)))
        at += 1

    def pick(sampler: Sampler) -> str:
        if not negated:
            while True:
                first, last = sampler.random.choice(ranges)
                code = sampler.random.choice((first, last, sampler.random.randint(first, last)))
                if not 0xD800 <= code <= 0xDFFF:
                    return chr(code)
        while True:
            code = sampler.random.choice((sampler.random.randint(0, 0x7F), sampler.random.randint(0, 0x10FFFF)))
            if not any(first <= code <= last for first, last in ranges) and not 0xD800 <= code <= 0xDFFF:
                return chr(code)

    return pick


def _characters(body: str) -> list[str]:
    return [_character(match) for match in _CHARACTER.finditer(body)]


def _character(match: re.Match[str]) -> str:
    for group in (1, 2, 3):
        if match[group]:
            return chr(int(match[group], 16))
    return _NAMED.get(match[4], match[4]) if match[4] else match[5]
