"""An independent reader of GBNF for tests: draws texts at random from a grammar, and says which texts it has.

It knows what the package writes and no more, and shares nothing with the engine's reader.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cached_property

_TOKEN = re.compile(
    r'\s*(?:(?P<literal>"(?:[^"\\]|\\.)*")|(?P<set>\[(?:[^\]\\]|\\.)*\])|(?P<count>\{\d+(?:,\d*)?\})'
    r"|(?P<name>[A-Za-z0-9-]+)|(?P<sign>[()|*+?]))"
)
_CHARACTER = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\(.)|(.)", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_MOST_REPETITIONS = 3
_ENDLESS = 10**6
#: Rules within each other, from which on an end is looked for.
_DEEP = 40


@dataclass(eq=False)
class Text:
    text: str

    @cached_property
    def less(self) -> Text:
        return Text(self.text[1:])


@dataclass(eq=False)
class Set:
    ranges: list[tuple[int, int]]
    negated: bool

    def has(self, character: str) -> bool:
        return any(first <= ord(character) <= last for first, last in self.ranges) != self.negated


@dataclass(eq=False)
class Rule:
    name: str


@dataclass(eq=False)
class Group:
    alternatives: list[Alternative]


@dataclass(eq=False)
class Repeat:
    item: Node
    low: int
    high: int | None

    @cached_property
    def less(self) -> Repeat:
        """What is left to do after one of them."""
        if self.low == 0 and self.high is None:
            return self
        return Repeat(self.item, max(0, self.low - 1), None if self.high is None else self.high - 1)


Node = Text | Set | Rule | Group | Repeat
#: What follows each other, and the rules named in it.
Alternative = tuple[list[Node], set[str]]


@dataclass
class Sampler:
    """Draws one text; the deeper it is, the more it looks for an end."""

    rules: dict[str, list[Alternative]]
    heights: dict[str, int]
    random: random.Random

    def draw(self, node: Node) -> str:
        text = []
        pending = [(node, 0)]
        while pending:
            node, depth = pending.pop()
            if isinstance(node, Text):
                text.append(node.text)
            elif isinstance(node, Set):
                text.append(self._pick(node))
            elif isinstance(node, Repeat):
                pending += [(node.item, depth)] * self._times(node, depth)
            else:
                alternatives = self.rules[node.name] if isinstance(node, Rule) else node.alternatives
                if depth > _DEEP:
                    sequence, _ = min(alternatives, key=lambda pair: _height(pair[1], self.heights))
                else:
                    sequence, _ = self.random.choice(alternatives)
                pending += [(part, depth + isinstance(node, Rule)) for part in reversed(sequence)]
        return "".join(text)

    def _times(self, node: Repeat, depth: int) -> int:
        # Mostly few, and now and then as many as may be.
        extra = 0 if depth > _DEEP else _MOST_REPETITIONS
        limit = node.low + extra if node.high is None else node.high
        if node.high is not None and (extra == 0 or self.random.random() < 0.8):
            limit = min(node.high, node.low + extra)
        return self.random.randint(node.low, limit)

    def _pick(self, node: Set) -> str:
        while True:
            if node.negated:
                code = self.random.choice((self.random.randint(0, 0x7F), self.random.randint(0, 0x10FFFF)))
            else:
                first, last = self.random.choice(node.ranges)
                code = self.random.choice((first, last, self.random.randint(first, last)))
            if not 0xD800 <= code <= 0xDFFF and node.has(chr(code)):
                return chr(code)


@dataclass(eq=False)
class Stack:
    """What is still to come."""

    node: Node
    rest: Stack | None


class Texts:
    """The texts of a grammar."""

    def __init__(self, grammar: str) -> None:
        self._rules: dict[str, list[Alternative]] = {}
        for line in grammar.splitlines():
            name, _, body = line.partition(" ::= ")
            self._rules[name] = _Reader(body).alternatives()
        self._stacks: dict[tuple[int, int], Stack] = {}

    @cached_property
    def _heights(self) -> dict[str, int]:
        heights: dict[str, int] = {}
        # Those that never end get higher each time.
        for _ in self._rules:
            before = dict(heights)
            for name, alternatives in self._rules.items():
                heights[name] = 1 + min(_height(names, heights) for _, names in alternatives)
            if heights == before:
                break
        return heights

    def draw(self, seed: int) -> str:
        """One at random."""
        return Sampler(self._rules, self._heights, random.Random(seed)).draw(Rule("root"))

    def has(self, text: str) -> bool:
        """Whether ``text`` is one of them."""
        stacks = self._expanded({self._stack(Rule("root"), None)})
        for character in text:
            following: set[Stack | None] = set()
            for stack in stacks:
                if stack is None:
                    continue
                if isinstance(stack.node, Text):
                    if stack.node.text[0] == character:
                        following.add(self._stack(stack.node.less, stack.rest))
                elif isinstance(stack.node, Set) and stack.node.has(character):
                    following.add(stack.rest)
            stacks = self._expanded(following)
        return None in stacks

    def _stack(self, node: Node, rest: Stack | None) -> Stack:
        """The same object for the same nodes, so that sets of them stay small."""
        return self._stacks.setdefault((id(node), id(rest)), Stack(node, rest))

    def _expanded(self, pending: set[Stack | None]) -> set[Stack | None]:
        """With characters on top, or nothing."""
        known = set(pending)
        todo = list(pending)
        for stack in todo:
            if stack is None:
                continue
            for following in self._expansions(stack):
                if following not in known:
                    known.add(following)
                    todo.append(following)
        return {s for s in known if s is None or isinstance(s.node, Set) or (isinstance(s.node, Text) and s.node.text)}

    def _expansions(self, stack: Stack) -> list[Stack | None]:
        node, rest = stack.node, stack.rest
        if isinstance(node, Text) and not node.text:
            return [rest]
        if isinstance(node, Repeat):
            found = [rest] if node.low == 0 else []
            return found if node.high == 0 else [*found, self._stack(node.item, self._stack(node.less, rest))]
        if isinstance(node, (Text, Set)):
            return []
        found = []
        for sequence, _ in self._rules[node.name] if isinstance(node, Rule) else node.alternatives:
            onwards = rest
            for part in reversed(sequence):
                onwards = self._stack(part, onwards)
            found.append(onwards)
        return found


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
            return Text("".join(_characters(text[1:-1])))
        if kind == "set":
            return _set(text[1:-1])
        if kind == "name":
            return Rule(text)
        assert (kind, text) == ("sign", "("), f"{text!r} begins nothing"
        inner = self.alternatives()
        assert self._peek() == ("sign", ")")
        self._at += 1
        return Group(inner)

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
        return Repeat(item, low, high)


def _set(body: str) -> Set:
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
    return Set(ranges, negated)


def _characters(body: str) -> list[str]:
    return [_character(match) for match in _CHARACTER.finditer(body)]


def _character(match: re.Match[str]) -> str:
    for group in (1, 2, 3):
        if match[group]:
            return chr(int(match[group], 16))
    return _NAMED.get(match[4], match[4]) if match[4] else match[5]
