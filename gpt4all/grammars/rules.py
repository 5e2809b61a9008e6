"""A grammar in the making: rules by name, the same one only once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from gpt4all.grammars.keywords import SchemaError
from gpt4all.grammars.ranges import INTEGER, NUMBER
from gpt4all.grammars.regular import quoted

#: What the engine reads.
_MAX_BYTES = 1 << 20

#: The rules that any schema may use. White space is bounded, as a model could go on with it for ever.
_BASE = {
    "ws": '| " " | "\\n" [ \\t]{0,20}',
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" unit)',
    # No surrogates, of which two make one character.
    "unit": "([0-9A-CE-Fa-ce-f] [0-9A-Fa-f] | [dD] [0-7]) [0-9A-Fa-f]{2}",
    "string": r'"\"" char* "\""',
    "number": NUMBER,
    "integer": INTEGER,
    "boolean": '"true" | "false"',
    "null": '"null"',
    "object": '"{" ws (string ":" ws value ("," ws string ":" ws value)* ws)? "}"',
    "array": '"[" ws (value ("," ws value)* ws)? "]"',
    "value": "object | array | string | number | boolean | null",
}


class Rules:
    def __init__(self) -> None:
        self._bodies: dict[str, str] = dict(_BASE)
        self._names: dict[str, str] = {}  # by what the rule says
        self._groups: dict[object, str] = {}  # the first rule of each, by what they are together
        self._size = 0

    def rule(self, body: str) -> str:
        """The name of a rule that says ``body``."""
        if body in self._bodies:
            return body
        if body not in self._names:
            self._names[body] = self.reserve()
            self.define(self._names[body], body)
        return self._names[body]

    def reserve(self) -> str:
        """A name whose rule comes later."""
        name = f"r{len(self._bodies) - len(_BASE)}"
        self._bodies[name] = ""
        return name

    def group(self, key: object, size: int, bodies: Callable[[list[str]], Iterable[str]]) -> str:
        """The first of ``size`` rules that name each other and are ``key`` together; ``bodies`` are given the names."""
        if key not in self._groups:
            names = [self.reserve() for _ in range(size)]
            self._groups[key] = names[0]
            for name, body in zip(names, bodies(names), strict=True):
                self.define(name, body)
        return self._groups[key]

    def define(self, name: str, body: str) -> None:
        self._size += len(body.encode())
        if self._size > _MAX_BYTES:
            raise SchemaError(f"as a grammar the schema has more than {_MAX_BYTES} bytes")
        self._bodies[name] = body

    def text(self) -> str:
        return "".join(f"{name} ::= {body}\n" for name, body in self._bodies.items())


def literal(value: Any) -> str:
    """A JSON value in a grammar."""
    text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate cannot be written but as an escape.
    plain = text.isascii() or all(not "\ud800" <= c <= "\udfff" for c in text)
    return quoted(text if plain else json.dumps(value))
