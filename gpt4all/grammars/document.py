"""A JSON Schema as a tree of places, and where its references lead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urljoin

from gpt4all.grammars.keywords import CannotError, SchemaError

#: Values that may look like schemas and are none.
_DATA = ("const", "default", "enum", "examples")
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07")


@dataclass(frozen=True)
class Node:
    """A schema at its place. Two are the same when their places are; a made-up one's place says what it is."""

    schema: Any = field(compare=False)
    pointer: str
    #: The closest schema around it that has an ``$id``, or the whole.
    scope: Node | None = field(compare=False, default=None, repr=False)


def absent(name: str) -> Node:
    """Objects without this property."""
    return Node({"properties": {name: False}}, f"without {json.dumps(name)}")


def present(*names: str) -> Node:
    """Objects with these properties."""
    return Node({"type": "object", "required": list(names)}, f"with {json.dumps(names)}")


class Document:
    def __init__(self, schema: Any) -> None:
        self.root = Node(schema, "#")
        declared = schema.get("$schema") if isinstance(schema, dict) else None
        draft = declared if isinstance(declared, str) else ""
        self._old = any(name in draft for name in _OLD_DRAFTS)
        self._id_keyword = "id" if "draft-03" in draft or "draft-04" in draft else "$id"
        self._index: dict[tuple[str, str], Node] | None = None

    def child(self, node: Node, *keys: str | int) -> Node:
        """What is inside a node, by the keys that lead there."""
        for key in keys:
            inner = node.schema[key]
            if isinstance(inner, Node):
                node = inner
                continue
            part = str(key).replace("~", "~0").replace("/", "~1")
            node = Node(inner, f"{node.pointer}/{part}", self._scope(node))
        return node

    def children(self, node: Node, keyword: str) -> list[Node]:
        """The schemas in a list of them."""
        found = node.schema[keyword]
        if not isinstance(found, list) or not found:
            raise SchemaError(f"{keyword} must be a list that is not empty")
        return [self.child(node, keyword, index) for index in range(len(found))]

    def resolve(self, node: Node, reference: Any) -> Node:
        """Where a ``$ref`` at a node leads."""
        if not isinstance(reference, str):
            raise SchemaError("$ref must be a string")
        address, _, fragment = reference.partition("#")
        scope = self._scope(node)
        try:
            if address:
                scope = self._known()[urljoin(self._address(scope), address), ""]
            if fragment and not fragment.startswith("/"):
                return self._known()[scope.pointer, fragment]
        except (KeyError, ValueError):
            raise CannotError(
                f"$ref {reference!r} leads out of the schema; only the schema itself is looked at"
            ) from None
        for part in fragment.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                scope = self.child(scope, int(key) if isinstance(scope.schema, list) else key)
            except (KeyError, IndexError, ValueError, TypeError):
                raise CannotError(f"$ref {reference!r} leads nowhere") from None
        return scope

    def _identifier(self, node: Node) -> str | None:
        """A node's ``$id``, which makes it the root of the references inside."""
        schema = node.schema
        found = schema.get(self._id_keyword) if isinstance(schema, dict) else None
        # Old drafts look at nothing beside a $ref.
        ignored = self._old and isinstance(schema, dict) and "$ref" in schema
        return found if isinstance(found, str) and not found.startswith("#") and not ignored else None

    def _scope(self, node: Node) -> Node:
        return node if self._identifier(node) is not None else node.scope or self.root

    def _address(self, scope: Node) -> str:
        own = self._identifier(scope) or ""
        return urljoin(self._address(scope.scope), own) if scope.scope else own

    def _known(self) -> dict[tuple[str, str], Node]:
        """Schemas by their address, and by the pointer of their root and their anchor."""
        if self._index is None:
            self._index = {}
            for node in self._all():
                if not isinstance(node.schema, dict):
                    continue
                if node is self.root or self._identifier(node) is not None:
                    self._index.setdefault((self._address(self._scope(node)).partition("#")[0], ""), node)
                for keyword in ("$anchor", "$dynamicAnchor", self._id_keyword):
                    anchor = node.schema.get(keyword)
                    if isinstance(anchor, str) and (keyword != self._id_keyword or anchor.startswith("#")):
                        self._index.setdefault((self._scope(node).pointer, anchor.removeprefix("#")), node)
        return self._index

    def _all(self) -> Iterator[Node]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            if isinstance(node.schema, dict):
                waiting += (self.child(node, key) for key in node.schema if key not in _DATA)
            elif isinstance(node.schema, list):
                waiting += (self.child(node, index) for index in range(len(node.schema)))
