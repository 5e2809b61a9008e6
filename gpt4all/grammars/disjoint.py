"""What a schema's values can be told by; in doubt more is possible than is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from gpt4all.grammars.document import Document, Node
from gpt4all.grammars.keywords import TYPES, Fuel, SchemaError, mapping, names, types, values

T = TypeVar("T")
#: ``integer`` counts as ``number``.
ALL_TYPES = frozenset(TYPES) - {"integer"}


class Traits:
    """Answers about schemas, remembered."""

    def __init__(self, document: Document, fuel: Fuel) -> None:
        self._document = document
        self._fuel = fuel
        self._known: dict[tuple[Any, ...], Any] = {}

    def types(self, node: Node) -> frozenset[str]:
        """The types a value may have."""

        def of(schema: dict[str, Any]) -> frozenset[str]:
            found = ALL_TYPES
            declared, constants = types(schema), values(schema)
            if declared is not None:
                found &= {"number" if name == "integer" else name for name in declared}
            if constants is not None:
                found &= {type_of(value) for value in constants}
            return self._joined(node, self.types, found, frozenset.__and__, frozenset.__or__)

        return frozenset() if node.schema is False else self._once(("types", node), of, ALL_TYPES)

    def constants(self, node: Node) -> frozenset[str] | None:
        """The only values, written so that equal ones are the same."""

        def of(schema: dict[str, Any]) -> frozenset[str] | None:
            found = values(schema)
            own = None if found is None else frozenset(map(identity, found))
            return self._joined(node, self.constants, own, _both, _either)

        return frozenset() if node.schema is False else self._once(("constants", node), of, None)

    def required(self, node: Node) -> frozenset[str]:
        """Properties that an object always has."""

        def of(schema: dict[str, Any]) -> frozenset[str]:
            own = frozenset(names(schema, "required"))
            return self._joined(node, self.required, own, frozenset.__or__, frozenset.__and__)

        return self._once(("required", node), of, frozenset())

    def declared(self, node: Node) -> frozenset[str]:
        """Properties that are named somewhere."""

        def of(schema: dict[str, Any]) -> frozenset[str]:
            own = frozenset(mapping(schema, "properties"))
            return self._joined(node, self.declared, own, frozenset.__or__, frozenset.__or__)

        return self._once(("declared", node), of, frozenset())

    def tags(self, node: Node, name: str) -> frozenset[str] | None:
        """The only values of a property where an object has it."""

        def of(schema: dict[str, Any]) -> frozenset[str] | None:
            own = None
            if name in mapping(schema, "properties"):
                own = self.constants(self._document.child(node, "properties", name))
            elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
                own = frozenset()
            return self._joined(node, lambda inner: self.tags(inner, name), own, _both, _either)

        return frozenset() if node.schema is False else self._once(("tags", node, name), of, None)

    def apart(self, one: Node, other: Node) -> bool:
        """Whether no value matches both, by their types, their constants, or those of a property."""
        self._fuel.spend()
        shared = self.types(one) & self.types(other)
        if not shared or _told(self.constants(one), self.constants(other)):
            return True
        return shared == {"object"} and any(
            _told(self.tags(one, name), self.tags(other, name)) or self.tags(left, name) == frozenset()
            for left, right in ((one, other), (other, one))
            for name in self.required(right)
        )

    def _once(self, key: tuple[Any, ...], of: Callable[[dict[str, Any]], T], unknown: T) -> T:
        schema = key[1].schema
        if not isinstance(schema, dict):
            return unknown
        if key not in self._known:
            self._fuel.spend()
            # A schema that comes back to itself says nothing more the second time.
            self._known[key] = unknown
            self._known[key] = of(schema)
        known: T = self._known[key]
        return known

    def _joined(
        self,
        node: Node,
        of: Callable[[Node], T],
        own: T,
        both: Callable[[T, T], T],
        either: Callable[[T, T], T],
    ) -> T:
        """What a node says of itself with what it refers to and what its alternatives say."""
        inner: list[Node] = []
        if "$ref" in node.schema:
            try:
                inner.append(self._document.resolve(node, node.schema["$ref"]))
            except SchemaError:
                raise
            except ValueError:
                pass
        if "allOf" in node.schema:
            inner += self._document.children(node, "allOf")
        for each in inner:
            own = both(own, of(each))
        for keyword in ("anyOf", "oneOf"):
            if keyword in node.schema:
                found = [of(each) for each in self._document.children(node, keyword)]
                together = found[0]
                for each_found in found[1:]:
                    together = either(together, each_found)
                own = both(own, together)
        return own


def all_apart(tags: Iterable[frozenset[str] | None]) -> bool:
    """Whether each has values, and no two have one in common."""
    seen: set[str] = set()
    for found in tags:
        if not found or found & seen:
            return False
        seen |= found
    return True


def _told(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is not None and other is not None and not one & other


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return other if one is None else one if other is None else one & other


def _either(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return None if one is None or other is None else one | other


def identity(value: Any) -> str:
    """A JSON value, written so that equal ones are the same: 1 is 1.0, and no ``true``."""
    return json.dumps(_with_integers(value), sort_keys=True)


def _with_integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_integers(each) for key, each in value.items()}
    return value


def type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
