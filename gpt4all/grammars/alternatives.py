"""The ways to fill a place in a JSON Schema: schemas that hold at once are put side by side, alternatives apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gpt4all.grammars.disjoint import ALL_TYPES, Traits, all_apart, identity
from gpt4all.grammars.document import Document, Node, absent, present
from gpt4all.grammars.keywords import (
    BRANCHING,
    PLAIN,
    UNSUPPORTED,
    CannotError,
    Fuel,
    NothingError,
    SchemaError,
    mapping,
    names,
    types,
    values,
)
from gpt4all.grammars.narrowings import Narrowings

_MAX_WAYS = 2_000
#: Values of a property by which alternatives are ruled out.
_MAX_TAGS = 100
#: Alternatives of oneOf that each has to be told from by all that they say.
_MAX_NEGATED = 3
#: Combinations of what depends on what; beyond, one way is taken.
_MAX_DEPENDENCIES = 16

#: The keyword that says the opposite, of which values, and how far its number moves.
_OPPOSITES = {
    "minimum": ("number", "exclusiveMaximum", 0),
    "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0),
    "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1),
    "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1),
    "maxItems": ("array", "minItems", 1),
    "minProperties": ("object", "maxProperties", -1),
    "maxProperties": ("object", "minProperties", 1),
}


_OBJECT = Node({"type": "object"}, "an object")


class _TooManyError(CannotError):
    pass


class Way(NamedTuple):
    """Schemas without alternatives, all of which hold, and the place of the last choice that led to them."""

    nodes: tuple[Node, ...]
    pointer: str


class _Limits(NamedTuple):
    """What shows at once that no value fits."""

    types: frozenset[str]
    required: frozenset[str]
    #: The only values of properties where they are there, and the properties that have none.
    tags: dict[str, frozenset[str]]
    absent: frozenset[str]

    @classmethod
    def of(cls, schema: Any) -> _Limits:
        if not isinstance(schema, dict):
            raise SchemaError(f"a schema is an object, not {schema!r}"[:200])
        declared = types(schema)
        tags = {
            name: tag for name, inner in mapping(schema, "properties").items() if (tag := _constants(inner)) is not None
        }
        return cls(
            ALL_TYPES if declared is None else frozenset("number" if name == "integer" else name for name in declared),
            frozenset(names(schema, "required")),
            tags,
            frozenset(name for name, tag in tags.items() if not tag),
        )

    def with_those(self, other: _Limits) -> _Limits:
        tags, absent = self.tags, self.absent
        if other.tags:
            both = {name: tag & tags.get(name, tag) for name, tag in other.tags.items()}
            tags = tags | both
            absent |= {name for name, tag in both.items() if not tag}
        required = self.required | other.required if other.required else self.required
        return _Limits(self.types & other.types, required, tags, absent)

    def contradictory(self) -> bool:
        return not self.types or (self.types == {"object"} and not self.required.isdisjoint(self.absent))


_FREE = _Limits(ALL_TYPES, frozenset(), {}, frozenset())


class _Branch(NamedTuple):
    node: Node
    keyword: str
    key: str  # of one entry, where a keyword has several
    above: tuple[Node, ...]


class Alternatives:
    def __init__(self, document: Document, traits: Traits, narrowings: Narrowings, fuel: Fuel) -> None:
        self._document = document
        self._traits = traits
        self._narrowings = narrowings
        self._fuel = fuel
        self._limits: dict[Node, _Limits] = {}

    def ways(self, nodes: tuple[Node, ...]) -> list[Way]:
        """The ways to fill a place that is held to all of the nodes.

        Raises:
            NothingError: there is none.
            CannotError: there are too many, or none that can be done.
        """
        found: list[Way] = []
        mark = len(self._narrowings)
        self._grow({}, _FREE, [(node, ()) for node in nodes], [], nodes[0].pointer if nodes else "", found)
        if found:
            return found
        narrowed = self._narrowings.since(mark)
        if narrowed:
            raise CannotError("none of the alternatives can be done: " + ": ".join(narrowed[0]))
        raise NothingError("nothing matches the schema")

    def _grow(
        self,
        held: dict[Node, None],
        limits: _Limits,
        pending: list[tuple[Node, tuple[Node, ...]]],
        branches: list[_Branch],
        pointer: str,
        found: list[Way],
    ) -> None:
        """Takes in what holds beside ``held``, and goes on with each way of the first of ``branches``."""
        self._fuel.spend(1 + len(held))
        while pending:
            node, above = pending.pop(0)
            if node.schema is False:
                return
            if node.schema is True:
                continue
            if node in above:
                raise CannotError("the schema refers to itself and never ends")
            if node in held:
                continue
            held[node] = None
            if node not in self._limits:
                self._limits[node] = _Limits.of(node.schema)
            limits = limits.with_those(self._limits[node])
            if limits.contradictory():
                return
            inner, more = self._taken_in(node, (*above, node))
            pending += inner
            branches += more
        if not branches:
            if len(found) >= _MAX_WAYS:
                raise _TooManyError(f"there are more than {_MAX_WAYS} ways to combine the alternatives")
            plain = tuple(node for node in held if PLAIN & node.schema.keys())
            found.append(Way(plain, pointer))
            return
        branch, *rest = branches
        for way in self._ways_of(branch):
            place = way[0].pointer if way and branch.keyword in ("anyOf", "oneOf") else pointer
            mark = len(self._narrowings)
            try:
                self._grow(dict(held), limits, [(node, branch.above) for node in way], list(rest), place, found)
            except _TooManyError:
                raise
            except CannotError as error:
                self._narrowings.forget(mark)
                self._narrowings.add(place, f"the alternative is left out: {error}")

    def _taken_in(
        self, node: Node, above: tuple[Node, ...]
    ) -> tuple[list[tuple[Node, tuple[Node, ...]]], list[_Branch]]:
        schema = node.schema
        unsupported = sorted(UNSUPPORTED & schema.keys())
        if unsupported:
            raise CannotError(f"the keyword {unsupported[0]!r} cannot be done")
        inner = [self._document.resolve(node, schema["$ref"])] if "$ref" in schema else []
        if "allOf" in schema:
            inner += self._document.children(node, "allOf")
        branches = []
        for keyword in BRANCHING:
            if keyword not in schema:
                continue
            keys = mapping(schema, keyword) if keyword.startswith("depend") else [""]
            branches += [_Branch(node, keyword, key, above) for key in keys]
        return [(each, above) for each in inner], branches

    def _ways_of(self, branch: _Branch) -> list[list[Node]]:
        node, keyword = branch.node, branch.keyword
        if keyword == "anyOf":
            return [[each] for each in self._document.children(node, keyword)]
        if keyword == "oneOf":
            return self._one_of(node)
        if keyword == "not":
            return self._without(self._document.child(node, "not"))
        if keyword == "if":
            return self._conditional(node)
        return self._dependent(branch)

    def _one_of(self, node: Node) -> list[list[Node]]:
        """The alternatives, each with what keeps the others from matching too."""
        children = self._document.children(node, "oneOf")
        common = set.intersection(*(set(self._traits.declared(each)) for each in children))
        for name in [_tag(node.schema), *sorted(common)]:
            if name and all_apart(self._traits.tags(each, name) for each in children):
                # A tag that has a default is always written.
                return [[each, present(name)] for each in children]
        ways = []
        for child in children:
            way = [child]
            for other in children:
                if other is not child and not self._traits.apart(child, other):
                    way += self._told_from(child, other)
            if sum("not" in each.schema for each in way[1:]) > _MAX_NEGATED:
                self._narrowings.add(child.pointer, "the alternative is left out: too many others may match as well")
                continue
            ways.append(way)
        return ways

    def _told_from(self, child: Node, other: Node) -> list[Node]:
        """What keeps a value of ``child`` from matching ``other``."""
        traits = self._traits
        for name in sorted(traits.declared(child)):
            ours, theirs = traits.tags(child, name), traits.tags(other, name)
            if theirs is not None and (not theirs if ours is None else ours and not ours & theirs):
                return [present(name)]
        missing = sorted(traits.required(other) - traits.required(child))
        if missing:
            # Best one that the alternative would not have anyway.
            name = min(missing, key=lambda name: name in traits.declared(child))
            if name in traits.declared(child):
                self._narrowings.add(
                    child.pointer, f"the property {name!r} is left out, with which another would match"
                )
            return [absent(name)] if traits.types(other) == {"object"} else [absent(name), _OBJECT]
        return [Node({"not": other}, f"not {other.pointer}")]

    def _conditional(self, node: Node) -> list[list[Node]]:
        """Where ``if`` holds ``then`` does, and else ``else``."""
        child = self._document.child
        condition = child(node, "if")
        then, otherwise = ([child(node, word)] if word in node.schema else [] for word in ("then", "else"))
        if not then and not otherwise:
            return [[]]
        ways = [[condition, *then]]
        try:
            ways += [[*way, *otherwise] for way in self._without(condition)]
        except CannotError as error:
            # What satisfies both need not be asked about the condition.
            ways.append([*then, *otherwise])
            self._narrowings.add(node.pointer, f"if is not told from else: {error}")
        return ways

    def _dependent(self, branch: _Branch) -> list[list[Node]]:
        """Either a property is not there, or what depends on it holds."""
        node, keyword, name = branch.node, branch.keyword, branch.key
        wanted = node.schema[keyword][name]
        if isinstance(wanted, str):
            wanted = [wanted]
        if isinstance(wanted, list):
            if not all(isinstance(each, str) for each in wanted):
                raise SchemaError(f"{keyword} must be lists of names or schemas")
            with_it = [present(name, *wanted)]
        else:
            with_it = [self._document.child(node, keyword, name), present(name)]
        if len(node.schema[keyword]) > _MAX_DEPENDENCIES.bit_length() - 1:
            required = name in self._traits.required(node)
            if not required:
                self._narrowings.add(node.pointer, f"the property {name!r}, on which others depend, is left out")
            return [with_it if required else [absent(name)]]
        return [[absent(name)], with_it]

    def _without(self, node: Node) -> list[list[Node]]:
        """The ways not to match a schema, as far as they can be said."""
        self._fuel.spend()
        schema = node.schema
        if isinstance(schema, bool):
            return [] if schema else [[]]
        if not isinstance(schema, dict):
            raise SchemaError(f"a schema is an object, not {schema!r}"[:200])
        ways: list[list[Node]] = []
        missing = [keyword for keyword in schema if keyword in UNSUPPORTED]
        for keyword in schema:
            try:
                ways += self._opposite(node, keyword)
            except CannotError:
                missing.append(keyword)
        if missing and not ways:
            raise CannotError(f"the keyword 'not' cannot be done with {missing[0]!r} inside")
        if missing:
            self._narrowings.add(node.pointer, f"what does not match it is known only in part: {missing[0]!r}")
        return ways

    def _opposite(self, node: Node, keyword: str) -> Iterator[list[Node]]:
        """The ways in which one keyword is not satisfied."""
        schema, document = node.schema, self._document

        def made(schema: dict[str, Any], key: object = "") -> list[Node]:
            return [Node(schema, f"not {node.pointer}/{keyword} {key}")]

        if keyword == "type":
            declared = types(schema) or frozenset()
            # Numbers that are no integers cannot be told.
            there = {*declared, *(["number"] if "integer" in declared else [])}
            if ALL_TYPES - there:
                yield made({"type": sorted(ALL_TYPES - there)})
            if "integer" in declared and "number" not in declared:
                raise CannotError("not of integers")
        elif keyword in ("enum", "const"):
            yield made({"excluded": values({keyword: schema[keyword]})})
        elif keyword in _OPPOSITES:
            kind, opposite, move = _OPPOSITES[keyword]
            limit = schema[keyword]
            if isinstance(limit, bool) or not isinstance(limit, (int, float)):
                raise CannotError(f"not of {keyword}")
            if limit + move >= 0 or not move:
                yield made({"type": kind, opposite: limit + move if move else limit})
        elif keyword == "required":
            for name in names(schema, keyword):
                yield made({"type": "object", "properties": {name: False}}, name)
        elif keyword == "properties":
            for name in mapping(schema, keyword):
                inner = Node({"not": document.child(node, keyword, name)}, f"not {node.pointer}/properties/{name}")
                yield made({"type": "object", "properties": {name: inner}, "required": [name]}, name)
        elif keyword == "not":
            yield [document.child(node, "not")]
        elif keyword == "$ref":
            yield [self._not(document.resolve(node, schema[keyword]))]
        elif keyword == "allOf":
            for each in document.children(node, keyword):
                yield [self._not(each)]
        elif keyword in ("anyOf", "oneOf"):
            yield [self._not(each) for each in document.children(node, keyword)]
        elif keyword in PLAIN or keyword in BRANCHING:
            raise CannotError(f"not of {keyword}")

    def _not(self, node: Node) -> Node:
        return Node({"not": node}, f"not {node.pointer}")


def _tag(schema: dict[str, Any]) -> str | None:
    """The property that tells the alternatives apart, in OpenAPI's words, which pydantic uses."""
    discriminator = schema.get("discriminator")
    name = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
    return name if isinstance(name, str) else None


def _constants(schema: Any) -> frozenset[str] | None:
    """The only values that a schema lists itself."""
    if schema is False:
        return frozenset()
    listed = values(schema) if isinstance(schema, dict) else None
    return None if listed is None or len(listed) > _MAX_TAGS else frozenset(map(identity, listed))
