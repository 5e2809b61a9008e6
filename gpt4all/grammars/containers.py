"""Objects and arrays of a JSON Schema as rules of a grammar."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple, Protocol

from gpt4all.grammars.accepts import Judge
from gpt4all.grammars.disjoint import Traits
from gpt4all.grammars.document import Document, Node
from gpt4all.grammars.keywords import CannotError, Fuel, NothingError, SchemaError, mapping, names, narrowest
from gpt4all.grammars.narrowings import Narrowings
from gpt4all.grammars.regular import bounded
from gpt4all.grammars.rules import Rules, literal
from gpt4all.grammars.strings import string_rule

#: Distinct values that may stand in any order; more keep the schema's.
_MAX_SHUFFLED = 6
#: Rules of one object or array that counts what it has.
_MAX_COUNTED = 20_000
#: Members beyond those with a name, where there is a limit to all.
_MAX_OTHERS = 50
#: What a schema of names may say where they must also be others, or match a pattern.
_PLAIN_STRING = frozenset({"type", "format", "maxLength", "minLength", "pattern"})


class Converter(Protocol):
    """What turns a place in the schema, all that holds there, into the name of a rule."""

    document: Document
    judge: Judge
    traits: Traits
    rules: Rules
    narrowings: Narrowings
    fuel: Fuel

    def visit(self, nodes: Sequence[Node]) -> str: ...

    def attempt(self, nodes: Sequence[Node], pointer: str, what: str) -> str | None:
        """The same; ``None`` where nothing fits, or it cannot be done, which is noted."""

    def listed(self, nodes: Sequence[Node]) -> list[Any] | None:
        """The only values, where they are few enough to be known."""


class Member(NamedTuple):
    """One of the things that may stand in a row."""

    rule: str
    optional: bool


def object_rule(converter: Converter, nodes: Sequence[Node]) -> str:
    return _Object(converter, nodes).body()


class _Object:
    def __init__(self, converter: Converter, nodes: Sequence[Node]) -> None:
        self._converter = converter
        self._nodes = nodes
        self._declared: dict[str, str] = {}  # with the place of each
        self._required: set[str] = set()
        for node in nodes:
            for name in mapping(node.schema, "properties"):
                place = converter.document.child(node, "properties", name).pointer
                self._declared.setdefault(name, place)
        for node in nodes:
            for name in names(node.schema, "required"):
                self._required.add(name)
                self._declared.setdefault(name, f"{node.pointer}/additionalProperties")

    def body(self) -> str:
        least, most = narrowest([node.schema for node in self._nodes], "minProperties", "maxProperties")
        members = self._members()
        other = None
        if most is None or most > 0:
            other = self._others(wanted=not self._declared or least > len(members))
        if least > len(members) + (other is not None):
            raise CannotError(f"minProperties of {least} cannot be done: a name of no property may come twice")
        if other is not None and not members:
            return items_row(self._converter.rules, "{}", [], other, least, most)
        return row(self._converter.rules, "{}", members, other, least, most)

    def _members(self) -> list[Member]:
        converter = self._converter
        found = []
        for name, place in self._declared.items():
            optional = name not in self._required
            inner = self._inner(name)
            if inner is None:
                what = f"the property {name!r}: whether patternProperties or propertyNames are about it is not known"
                if not optional:
                    raise CannotError(what)
                converter.narrowings.add(place, what)
                continue
            value = converter.attempt(inner, place, "the property") if optional else self._needed(name, inner)
            if value is not None:
                found.append(Member(converter.rules.rule(f'{literal(name)} ":" ws {value}'), optional))
        return found

    def _needed(self, name: str, inner: Sequence[Node]) -> str:
        try:
            return self._converter.visit(inner)
        except NothingError:
            raise NothingError(f"the property {name!r} is required, and nothing matches it") from None

    def _inner(self, name: str) -> list[Node] | None:
        """All that holds for a property; ``None`` where that is not certain."""
        found: list[Node] = []
        for node in self._nodes:
            inner = self._converter.judge.members(node, name)
            if inner is None:
                return None
            found += inner
            if "propertyNames" in node.schema:
                verdict = self._converter.judge.accepts(self._converter.document.child(node, "propertyNames"), name)
                if verdict is None:
                    return None
                if not verdict:
                    return [Node(False, "false")]
        return found

    def _others(self, wanted: bool) -> str | None:
        """The rule of a property without a name of its own, where such are ``wanted`` or the schema describes them."""
        converter, child = self._converter, self._converter.document.child
        patterns = [node for node in self._nodes if mapping(node.schema, "patternProperties")]
        rest = [node for node in self._nodes if "additionalProperties" in node.schema]
        if not (
            wanted or patterns or any(node.schema["additionalProperties"] not in (True, False, {}) for node in rest)
        ):
            return None
        # Whichever of several patterns a name matches, all of their schemas hold.
        inner = [child(node, "patternProperties", key) for node in patterns for key in node.schema["patternProperties"]]
        inner += (child(node, "additionalProperties") for node in rest if node not in patterns or len(patterns) > 1)
        mark = len(converter.narrowings)
        try:
            # First what may stand there: where nothing may, the name does not matter.
            value = converter.visit(inner)
            key = self._key(patterns)
        except NothingError:
            return None
        except CannotError as error:
            if not self._declared:
                raise
            converter.narrowings.forget(mark)
            converter.narrowings.add(self._nodes[0].pointer, f"properties of other names are left out: {error}")
            return None
        return converter.rules.rule(f'{key} ":" ws {value}')

    def _key(self, patterns: Sequence[Node]) -> str:
        """The rule of names that no declared property has."""
        converter, rules = self._converter, self._converter.rules
        keys = [key for node in patterns for key in node.schema["patternProperties"]]
        note = partial(converter.narrowings.add, self._nodes[0].pointer)
        limits = [
            converter.document.child(node, "propertyNames")
            for node in self._nodes
            if node.schema.get("propertyNames", True) is not True
        ]
        if not all("string" in converter.traits.types(limit) for limit in limits):
            raise NothingError("no name is accepted")
        names = list(self._declared)
        if not limits:
            return string_rule([], rules, converter.fuel, note, names, keys)
        limits.append(Node({"type": "string"}, "a string"))
        if not self._declared and not keys:
            return converter.visit(limits)
        if all(isinstance(limit.schema, dict) and limit.schema.keys() <= _PLAIN_STRING for limit in limits):
            return string_rule([limit.schema for limit in limits], rules, converter.fuel, note, names, keys)
        known = None if keys else converter.listed(limits)
        if known is None:
            raise CannotError(f"'propertyNames' beside {'patternProperties' if keys else 'properties'}")
        left = [name for name in known if name not in self._declared]
        if not left:
            raise NothingError("all names are those of properties")
        return rules.rule(" | ".join(map(literal, left)))


def array_rule(converter: Converter, nodes: Sequence[Node]) -> str:
    return _Array(converter, nodes).body()


class _Array:
    def __init__(self, converter: Converter, nodes: Sequence[Node]) -> None:
        self._converter = converter
        self._nodes = nodes
        self._least, self._most = narrowest([node.schema for node in nodes], "minItems", "maxItems")
        self._contained = [converter.document.child(node, "contains") for node in nodes if "contains" in node.schema]
        self._length = max((self._prefix(node) for node in nodes), default=0)
        if len(self._contained) > 1:
            raise CannotError("several of contains")
        if self._contained:
            self._least = max(self._least, 1)
            self._length = max(self._length, 1)
            converter.narrowings.add(self._contained[0].pointer, "it is the first item")

    def _prefix(self, node: Node) -> int:
        found = (
            node.schema["items"] if isinstance(node.schema.get("items"), list) else node.schema.get("prefixItems", [])
        )
        if not isinstance(found, list):
            raise SchemaError("prefixItems must be a list of schemas")
        return len(found)

    def _item(self, index: int) -> list[Node]:
        found = [item for node in self._nodes if (item := self._converter.judge.item(node, index)) is not None]
        return found + (self._contained if index == 0 else [])

    def body(self) -> str:
        if any(node.schema.get("uniqueItems", False) is not False for node in self._nodes):
            unique = self._unique()
            if unique is not None:
                return unique
        least, most = self._least, self._most
        first: list[str] = []
        more = True
        try:
            while more and len(first) < self._length and (most is None or len(first) < most):
                first.append(self._converter.visit(self._item(len(first))))
            rest = self._converter.visit(self._item(self._length)) if most is None or most > len(first) else ""
        except NothingError:
            # No item may stand here.
            rest, most = "", len(first) if most is None else min(most, len(first))
        if most is not None and least > most:
            raise NothingError("no array is long enough and short enough")
        return items_row(self._converter.rules, "[]", first, rest, least, most)

    def _unique(self) -> str | None:
        """An array of distinct items; ``None`` where there can be only one."""
        least, most, converter = self._least, self._most, self._converter
        if most is not None and most <= 1:
            return None
        known = None if self._length else converter.listed(self._item(0))
        if known is None:
            if least > 1:
                raise CannotError("uniqueItems cannot be done for items that are not listed")
            converter.narrowings.add(self._nodes[0].pointer, "uniqueItems: there is at most one item")
            self._most = 1
            return None
        if least > len(known):
            raise NothingError("there are not enough different items")
        rules = [converter.rules.rule(literal(value)) for value in known]
        if len(rules) > _MAX_SHUFFLED:
            converter.narrowings.add(self._nodes[0].pointer, "uniqueItems: the items are in the schema's order")
            return row(converter.rules, "[]", [Member(rule, True) for rule in rules], None, least, most)
        return self._shuffled(rules)

    def _shuffled(self, rules: list[str]) -> str:
        """The items in any order, each at most once: a rule for each set of those that are left."""
        least, most = self._least, len(rules) if self._most is None else min(self._most, len(rules))

        @cache
        def after(left: tuple[str, ...]) -> str:
            written = len(rules) - len(left)
            comma = '"," ws ' if written else ""
            ways = []
            if written < most:
                ways = [f"{comma}{rule} {after(tuple(r for r in left if r != rule))}" for rule in left]
            if written >= least:
                ways.append("ws" if written else '""')
            return self._converter.rules.rule(" | ".join(ways))

        return f'"[" ws {after(tuple(rules))} "]"'


def row(rules: Rules, brackets: str, members: Sequence[Member], other: str | None, least: int, most: int | None) -> str:
    """Members in order between brackets, then any number of ``other``, from ``least`` to ``most`` in all.

    Of ``other`` only one counts towards ``least``.
    """
    if most is not None and most >= len(members):
        most = None if other is None else min(most, len(members) + _MAX_OTHERS)
    # Only as far as it matters.
    limit = max(least, 1) if most is None else most
    if limit > 1 and (limit + 1) * (len(members) + 1) > _MAX_COUNTED:
        raise CannotError("there are too many members to count")

    def closing(written: int) -> str | None:
        end = ("ws" if written else '""') if written >= least else None
        if other is None or (most is not None and written >= most):
            return end
        # One of them stands apart from those that are repeated where it has no comma before it, or must be there.
        left = None if most is None else most - written - (written == 0 or end is None)
        again = "" if left == 0 else f'("," ws {other})' + ("*" if left is None else f"{{0,{left}}}")
        if written:
            return f"{again} ws" if end else f'"," ws {other} {again} ws' if written + 1 >= least else None
        if least > 1:
            return None
        return f"({other} {again} ws)?" if end else f"{other} {again} ws"

    # What may follow, by how much is written.
    following = [closing(written) for written in range(limit + 1)]
    for member in reversed(members):
        before: list[str | None] = []
        for written in range(limit + 1):
            after = following[min(written + 1, limit)] if most is None or written < most else None
            comma = '"," ws ' if written else ""
            ways = [] if after is None else [f"{comma}{member.rule} {after}"]
            skipped = following[written] if member.optional else None
            ways += [] if skipped is None else [skipped]
            before.append(rules.rule(" | ".join(ways)) if ways else None)
        following = before
    if following[0] is None:
        raise NothingError("no object or array has enough members and not too many")
    return f'"{brackets[0]}" ws {following[0]} "{brackets[1]}"'


def items_row(rules: Rules, brackets: str, first: list[str], rest: str, least: int, most: int | None) -> str:
    """Items between brackets: each of ``first``, then ``rest`` over and over, from ``least`` to ``most`` in all."""
    opening, closing = brackets[0], brackets[1]
    if rest and not first:
        first = [rest]
    more = ""
    if rest and (most is None or most > len(first)):
        count = bounded(max(0, least - len(first)), None if most is None else most - len(first))
        more = f'("," ws {rest}){count}'
    for index in reversed(range(len(first))):
        item = f'"," ws {first[index]}' if index else first[index]
        more = f"{item} {more}".rstrip()
        if index >= least:
            more = f"({more})?" if index else f"({more} ws)?"
        more = rules.rule(more)
    if not more:
        return f'"{opening}" ws "{closing}"'
    return f'"{opening}" ws {more} "{closing}"' if least == 0 else f'"{opening}" ws {more} ws "{closing}"'
