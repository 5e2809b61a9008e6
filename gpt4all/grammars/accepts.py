"""Whether a JSON Schema accepts a value that is known: yes, no, or ``None`` where that is not certain."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gpt4all.grammars.disjoint import identity
from gpt4all.grammars.document import Document, Node
from gpt4all.grammars.keywords import (
    UNSUPPORTED,
    Fuel,
    SchemaError,
    counts,
    decimal,
    is_a,
    mapping,
    names,
    types,
    values,
)
from gpt4all.grammars.strings import Finder

_MAX_NESTING = 40


class Judge:
    def __init__(self, document: Document, fuel: Fuel) -> None:
        self._document = document
        self._fuel = fuel
        self._finder = Finder(fuel)
        self._nesting = 0
        self._lists: dict[tuple[Node, str], frozenset[str]] = {}

    def accepts(self, node: Node, value: Any) -> bool | None:
        self._fuel.spend()
        if isinstance(node.schema, bool):
            return node.schema
        if not isinstance(node.schema, dict):
            raise SchemaError(f"a schema is an object, not {node.schema!r}"[:200])
        if self._nesting >= _MAX_NESTING:
            return None
        self._nesting += 1
        try:
            return _all(
                check(node, value)
                for check in (self._in_place, self._by_kind, self._objects, self._arrays, self._strings, self._numbers)
            )
        finally:
            self._nesting -= 1

    def _in_place(self, node: Node, value: Any) -> bool | None:
        """What goes for values of all kinds."""
        schema = node.schema
        found: list[bool | None] = [None] if UNSUPPORTED & schema.keys() else []
        declared = types(schema)
        if declared is not None:
            found.append(any(is_a(value, name) for name in declared))
        for keyword in ("const", "enum", "excluded"):
            if keyword in schema:
                found.append((identity(value) in self._listed(node, keyword)) != (keyword == "excluded"))
        return _all(found)

    def _listed(self, node: Node, keyword: str) -> frozenset[str]:
        if (node, keyword) not in self._lists:
            listed = node.schema[keyword] if keyword == "excluded" else values({keyword: node.schema[keyword]}) or []
            self._fuel.spend(1 + len(listed) // 10)
            self._lists[node, keyword] = frozenset(map(identity, listed))
        return self._lists[node, keyword]

    def _by_kind(self, node: Node, value: Any) -> bool | None:
        """What other schemas say in the same place."""
        schema, inner = node.schema, self._document.children
        found: list[bool | None] = []
        if "$ref" in schema:
            try:
                found.append(self.accepts(self._document.resolve(node, schema["$ref"]), value))
            except SchemaError:
                raise
            except ValueError:
                found.append(None)
        if "allOf" in schema:
            found.append(_all(self.accepts(each, value) for each in inner(node, "allOf")))
        if "anyOf" in schema:
            found.append(_negated(_all(_negated(self.accepts(each, value)) for each in inner(node, "anyOf"))))
        if "oneOf" in schema:
            verdicts = [self.accepts(each, value) for each in inner(node, "oneOf")]
            sure = verdicts.count(True)
            found.append(False if sure > 1 else None if None in verdicts else sure == 1)
        if "not" in schema:
            found.append(_negated(self.accepts(self._document.child(node, "not"), value)))
        if "if" in schema:
            holds = self.accepts(self._document.child(node, "if"), value)
            then, otherwise = (
                self.accepts(self._document.child(node, word), value) if word in schema else True
                for word in ("then", "else")
            )
            found.append(then if holds else otherwise if holds is False else True if then and otherwise else None)
        return _all(found)

    def _objects(self, node: Node, value: Any) -> bool | None:
        if not isinstance(value, dict):
            return True
        least, most = counts(node.schema, "minProperties", "maxProperties")
        found: list[bool | None] = [least <= len(value) and (most is None or len(value) <= most)]
        found += (name in value for name in names(node.schema, "required"))
        for keyword in ("dependencies", "dependentRequired", "dependentSchemas"):
            for name, wanted in mapping(node.schema, keyword).items():
                if name in value and isinstance(wanted, list):
                    found.append(all(each in value for each in wanted))
                elif name in value:
                    found.append(self.accepts(self._document.child(node, keyword, name), value))
        for name, member in value.items():
            inner = self.members(node, name)
            found.append(None if inner is None else _all(self.accepts(each, member) for each in inner))
            if "propertyNames" in node.schema:
                found.append(self.accepts(self._document.child(node, "propertyNames"), name))
        return _all(found)

    def members(self, node: Node, name: str) -> list[Node] | None:
        """What a schema says of one property, ``None`` where that is not certain."""
        schema, child = node.schema, self._document.child
        found = [child(node, "properties", name)] if name in mapping(schema, "properties") else []
        for pattern in mapping(schema, "patternProperties"):
            matched = self._finder.found(pattern, name)
            if matched is None:
                return None
            found += [child(node, "patternProperties", pattern)] if matched else []
        if not found and "additionalProperties" in schema:
            return [child(node, "additionalProperties")]
        return found

    def _arrays(self, node: Node, value: Any) -> bool | None:
        if not isinstance(value, list):
            return True
        schema = node.schema
        least, most = counts(schema, "minItems", "maxItems")
        found: list[bool | None] = [least <= len(value) and (most is None or len(value) <= most)]
        for index, item in enumerate(value):
            inner = self.item(node, index)
            found.append(True if inner is None else self.accepts(inner, item))
        if "contains" in schema:
            child = self._document.child(node, "contains")
            found.append(_negated(_all(_negated(self.accepts(child, item)) for item in value)))
        if schema.get("uniqueItems", False) is not False:
            found.append(len(set(map(identity, value))) == len(value))
        return _all(found)

    def item(self, node: Node, index: int) -> Node | None:
        """What a schema says of the item at an index, from 0."""
        schema = node.schema
        prefix, rest = (
            ("items", "additionalItems") if isinstance(schema.get("items"), list) else ("prefixItems", "items")
        )
        if not isinstance(schema.get(prefix, []), list):
            raise SchemaError("prefixItems must be a list of schemas")
        if index < len(schema.get(prefix, [])):
            return self._document.child(node, prefix, index)
        return self._document.child(node, rest) if rest in schema else None

    def _strings(self, node: Node, value: Any) -> bool | None:
        if not isinstance(value, str):
            return True
        schema = node.schema
        least, most = counts(schema, "minLength", "maxLength")
        found: list[bool | None] = [least <= len(value) and (most is None or len(value) <= most)]
        if "pattern" in schema:
            if not isinstance(schema["pattern"], str):
                raise SchemaError("pattern must be a string")
            found.append(self._finder.found(schema["pattern"], value))
        if "format" in schema:
            found.append(self._finder.fits(schema["format"], value) if isinstance(schema["format"], str) else None)
        return _all(found)

    def _numbers(self, node: Node, value: Any) -> bool | None:
        if not is_a(value, "number"):
            return True
        number = Fraction(Decimal(repr(value)))
        found: list[bool | None] = []
        for keyword, sign, is_open in (
            ("minimum", 1, False),
            ("exclusiveMinimum", 1, True),
            ("maximum", -1, False),
            ("exclusiveMaximum", -1, True),
        ):
            if isinstance(node.schema.get(keyword), bool):
                found.append(None)
            elif keyword in node.schema:
                beyond = (number - Fraction(decimal(node.schema, keyword))) * sign
                found.append(beyond > 0 or (beyond == 0 and not is_open))
        if "multipleOf" in node.schema:
            step = Fraction(decimal(node.schema, "multipleOf"))
            found.append(number % step == 0 if step else None)
        return _all(found)


def _all(found: Iterable[bool | None]) -> bool | None:
    """``False`` if one is, else ``None`` if one is."""
    certain = True
    for each in found:
        if each is False:
            return False
        certain = certain and each is not None
    return True if certain else None


def _negated(verdict: bool | None) -> bool | None:
    return None if verdict is None else not verdict
