"""JSON Schema as a grammar: every text of the grammar is JSON that the schema accepts.

The reverse need not hold. Where a schema allows more than a grammar can say, the grammar says less: no additional
properties beside declared ones, the properties in the schema's order, numbers as far as doubles reach. What would break
the promise, a keyword that cannot be done or two that would have to hold at once, is an error.

llama.cpp has such a converter too, which prefers to go on: it passes over keywords it does not know, and its patterns
let unescaped quotes into strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, NoReturn, TypeVar

from gpt4all.grammars.accepts import Judge
from gpt4all.grammars.alternatives import Alternatives
from gpt4all.grammars.containers import array_rule, object_rule
from gpt4all.grammars.disjoint import Traits, identity
from gpt4all.grammars.document import Document, Node
from gpt4all.grammars.keywords import (
    ANNOTATIONS,
    KEYWORDS,
    TABLE,
    CannotError,
    Fuel,
    NothingError,
    SchemaError,
    is_a,
    types,
    values,
)
from gpt4all.grammars.narrowings import Narrowings, warn_once
from gpt4all.grammars.numbers import number_rule
from gpt4all.grammars.rules import Rules, literal
from gpt4all.grammars.strings import string_rule

T = TypeVar("T")

_MAX_SCHEMA_BYTES = 1 << 20
_MAX_NESTING = 60
#: Steps of work that one schema may make.
_MAX_WORK = 300_000
#: Times that the work begins anew without a part that turned out impossible while it was in use.
_MAX_RESTARTS = 100


def schema_grammar(schema: object, name: str = "json_schema", *, quiet: bool = False) -> str:
    """The grammar of JSON texts that ``schema`` accepts; what it leaves out is said in a ``UserWarning``.

    Args:
        schema: as ``json.loads`` gives it.
        name: what errors and warnings call it.
        quiet: leaves the warning to who warns of a schema around this one.

    Raises:
        ValueError: the schema is wrong, accepts nothing, or has what cannot be done; the message says where.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    if len(text) > _MAX_SCHEMA_BYTES:
        raise ValueError(f"{name} is larger than {_MAX_SCHEMA_BYTES} bytes")
    try:
        grammar, narrowings = _grammar(text)
    except RecursionError:
        raise ValueError(f"{name}: it is nested too deeply") from None
    except ValueError as error:
        # As of the public kind, and without the many calls within each other that it came through.
        raise ValueError(f"{name}: " + str(error).removeprefix("json_schema: ")) from None
    if quiet:
        return grammar
    narrowings.warn(text, name)
    if isinstance(schema, dict) and schema and schema.keys().isdisjoint({*TABLE, *ANNOTATIONS}):
        # As the standard has it, but nobody asks for that in so many words.
        words = ", ".join(map(repr, schema))
        warn_once(
            text,
            f"{name}: {words[:100]}: no keyword of JSON Schema is among them, so any JSON may come; properties "
            'belong into {"type": "object", "properties": {...}}',
        )
    return grammar


def accepts(schema: object, value: object) -> bool | None:
    """Whether ``schema`` accepts a value of JSON; ``None`` where that is not certain."""
    document = Document(schema)
    return Judge(document, Fuel(_MAX_WORK)).accepts(document.root, value)


# Programs ask many times for the same form, and for the same tools; an e-mail address takes as long as some tokens.
@lru_cache(maxsize=256)
def _grammar(text: str) -> tuple[str, Narrowings]:
    fuel, impossible = Fuel(_MAX_WORK), dict[Key, Failure]()
    for _ in range(_MAX_RESTARTS):
        converter = _Converter(Document(json.loads(text)), fuel, impossible)
        try:
            return converter.grammar(), converter.narrowings
        except _RestartError:
            continue
    raise ValueError("too many parts that refer to themselves cannot be done")


Key = tuple[str, frozenset[Node]]
Failure = tuple[type[ValueError], str]


class _RestartError(Exception):
    """A part that refers to itself cannot be done, and rules that need it exist already."""


class _Done(NamedTuple):
    rule: str
    narrowings: tuple[tuple[str, str], ...]


class _Converter:
    def __init__(self, document: Document, fuel: Fuel, impossible: dict[Key, Failure]) -> None:
        self.document = document
        self.judge = Judge(document, fuel)
        self.traits = Traits(document, fuel)
        self.rules = Rules()
        self.narrowings = Narrowings()
        self.fuel = fuel
        self._alternatives = Alternatives(document, self.traits, self.narrowings, fuel)
        self._impossible = impossible
        self._done: dict[Key, _Done] = {}
        self._open: dict[Key, str | None] = {}  # what is being done, and its name where it is in use already

    def grammar(self) -> str:
        self.rules.define("root", self.visit([self.document.root]))
        return self.rules.text()

    def visit(self, nodes: Sequence[Node]) -> str:
        """The name of the rule for a value that all of ``nodes`` accept."""
        key = frozenset(nodes)
        return self._once(("any", key), nodes, lambda: self._any(tuple(nodes)))

    def attempt(self, nodes: Sequence[Node], pointer: str, what: str, leaf: bool = False) -> str | None:
        """The same; ``None`` where nothing fits, which loses nothing, or where it cannot be done, which is noted."""
        mark = len(self.narrowings)
        try:
            return self._leaf(nodes) if leaf else self.visit(nodes)
        except NothingError:
            self.narrowings.forget(mark)
        except CannotError as error:
            self.narrowings.forget(mark)
            where, _, why = str(error).removeprefix("json_schema: ").partition(": ")
            self.narrowings.add(pointer, f"{what} is left out: {why if where == pointer else f'{where}: {why}'}")
        return None

    def listed(self, nodes: Sequence[Node]) -> list[Any] | None:
        """The only values that all of ``nodes`` accept, where they are listed."""
        found: dict[str, Any] = {}
        for way in self._alternatives.ways(tuple(nodes)):
            listed = self._values(way.nodes)
            if listed is None:
                return None
            found |= {identity(value): value for value in listed}
        return list(found.values())

    def _once(self, key: Key, nodes: Sequence[Node], make: Callable[[], str]) -> str:
        """The rule of a place, made when it is first asked for; a place may be part of itself."""
        if key in self._impossible:
            kind, message = self._impossible[key]
            raise kind(message)
        if key in self._done:
            self.narrowings.extend(self._done[key].narrowings)
            return self._done[key].rule
        if key in self._open:
            name = self._open[key] = self._open[key] or self.rules.reserve()
            return name
        self._fuel_at(nodes)
        self._open[key] = None
        mark = len(self.narrowings)
        try:
            body = self._located(nodes, make)
        except ValueError as error:
            self._impossible[key] = type(error), str(error)
            if self._open[key] is not None and not isinstance(error, SchemaError):
                raise _RestartError from None
            raise
        finally:
            in_use = self._open.pop(key)
        if in_use is not None:
            self.rules.define(in_use, body)
        rule = in_use or self.rules.rule(body)
        self._done[key] = _Done(rule, tuple(self.narrowings.since(mark)))
        return rule

    def _fuel_at(self, nodes: Sequence[Node]) -> None:
        self._located(nodes, self.fuel.spend)
        if len(self._open) >= 2 * _MAX_NESTING:
            self._located(nodes, _too_deep)

    def _located(self, nodes: Sequence[Node], make: Callable[[], T]) -> T:
        """What ``make`` gives; its error with the place, where it has none yet."""
        try:
            return make()
        except (SchemaError, CannotError, NothingError) as error:
            self._fail(nodes, error)
        except ValueError as error:
            self._fail(nodes, CannotError(str(error)))

    def _fail(self, nodes: Sequence[Node], error: ValueError) -> NoReturn:
        if str(error).startswith("json_schema: "):
            raise error
        kind = next(kind for kind in (SchemaError, NothingError, CannotError) if isinstance(error, kind))
        raise kind(f"json_schema: {nodes[0].pointer if nodes else '#'}: {error}") from None

    def _any(self, nodes: tuple[Node, ...]) -> str:
        ways = self._alternatives.ways(nodes)
        if len(ways) == 1:
            return self._leaf(ways[0].nodes)
        mark = len(self.narrowings)
        rules = [self.attempt(way.nodes, way.pointer, "the alternative", leaf=True) for way in ways]
        found = list(dict.fromkeys(rule for rule in rules if rule is not None))
        if not found:
            left_out = self.narrowings.since(mark)
            if not left_out:
                raise NothingError("nothing matches the schema")
            raise CannotError("none of the alternatives can be done: " + ": ".join(left_out[0]))
        return " | ".join(found)

    def _leaf(self, nodes: Sequence[Node]) -> str:
        """The rule for what has no alternatives any more."""
        key = frozenset(nodes)
        return self._once(("leaf", key), nodes, lambda: self._body(nodes)) if nodes else "value"

    def _body(self, nodes: Sequence[Node]) -> str:
        listed = self._values(nodes)
        if listed is not None:
            return " | ".join(dict.fromkeys(map(literal, listed)))
        names = self._types(nodes)
        if names is None:
            return "value"
        if len(names) == 1:
            return self._of_type(names[0], nodes)
        found, errors = [], []
        for name in names:
            try:
                found.append(self.rules.rule(self._located(nodes, partial(self._of_type, name, nodes))))
            except (CannotError, NothingError) as error:
                errors.append(error)
                if isinstance(error, CannotError):
                    self.narrowings.add(nodes[0].pointer, f"the type {name} is left out: {error}")
        if not found:
            raise errors[0]
        return " | ".join(found)

    def _of_type(self, name: str, nodes: Sequence[Node]) -> str:
        excluded = [value for value in _excluded(nodes) if is_a(value, name)]
        if name in ("boolean", "null") and excluded:
            left = [value for value in (True, False, None) if is_a(value, name) and value not in excluded]
            if not left:
                raise NothingError("all its values are excluded")
            return " | ".join(map(literal, left))
        if excluded and name != "string":
            raise CannotError(f"not some values of type {name} cannot be done")
        if name == "object":
            return object_rule(self, nodes)
        if name == "array":
            return array_rule(self, nodes)
        if name == "string":
            return self._string(nodes)
        if name in ("number", "integer"):
            return number_rule([node.schema for node in nodes], name, self.rules, self.fuel)
        # What is left, boolean and null, has a rule of its own.
        return name

    def _types(self, nodes: Sequence[Node]) -> list[str] | None:
        """The types to generate: those declared, or those that other keywords are about; ``None`` for any value."""
        found: list[str] | None = None
        for node in nodes:
            declared = types(node.schema)
            if declared is None:
                continue
            if found is None:
                listed = node.schema["type"]
                found = list(dict.fromkeys(listed if isinstance(listed, list) else [listed]))
            else:
                wider = declared | ({"integer"} if "number" in declared else set())
                narrower = [name for name in found if name in wider]
                whole_numbers = "number" in found and "integer" in declared and "number" not in declared
                found = narrower + (["integer"] if whole_numbers and "integer" not in narrower else [])
        if found is not None:
            if not found:
                raise NothingError("no type fits")
            return found
        for name, keywords in KEYWORDS.items():
            if any(keywords & node.schema.keys() for node in nodes):
                return [name]
        return ["object", "array", "string", "number", "boolean", "null"] if _excluded(nodes) else None

    def _values(self, nodes: Sequence[Node]) -> list[Any] | None:
        """The only values that are accepted, where they are listed."""
        candidates = next((found for node in nodes if (found := values(node.schema)) is not None), None)
        if candidates is None:
            kinds = self._types(nodes) if any("type" in node.schema for node in nodes) else None
            if kinds is None or not set(kinds) <= {"boolean", "null"}:
                return None
            candidates = [value for value in (True, False, None) if any(is_a(value, kind) for kind in kinds)]
        verdicts = [(value, self._verdict(nodes, value)) for value in candidates]
        unknown = [value for value, verdict in verdicts if verdict is None]
        found = [value for value, verdict in verdicts if verdict]
        if unknown:
            what = f"{json.dumps(unknown[0])[:50]} cannot be checked against what stands beside enum or const"
            if not found:
                raise CannotError(what)
            self.narrowings.add(nodes[0].pointer, f"{len(unknown)} values are left out: {what}")
        if not found:
            raise NothingError("none of the values is accepted by what stands beside them, as the declared type")
        return found

    def _verdict(self, nodes: Sequence[Node], value: Any) -> bool | None:
        verdicts = [self.judge.accepts(node, value) for node in nodes]
        return False if False in verdicts else None if None in verdicts else True

    # Types

    def _string(self, nodes: Sequence[Node]) -> str:
        excluded = [value for value in _excluded(nodes) if isinstance(value, str)]
        note = partial(self.narrowings.add, nodes[0].pointer)
        return string_rule([node.schema for node in nodes], self.rules, self.fuel, note, excluded)


def _excluded(nodes: Sequence[Node]) -> list[Any]:
    return [value for node in nodes for value in node.schema.get("excluded", [])]


def _too_deep() -> None:
    raise CannotError(f"the schema is nested more than {_MAX_NESTING} deep")
