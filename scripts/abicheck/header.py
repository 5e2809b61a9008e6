"""Reads the declarations of ``gpt4all_backend.h``.

No general C parser: it knows the forms that this one header uses, and refuses a line that it does not know, so that
nothing is passed over in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Function", "Header", "HeaderError", "Parameter", "parse_header"]

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DEFINE = re.compile(r"#define (GPT4ALL_\w+) (-?\d+)$")
_FUNCTION_TYPE = re.compile(r"typedef (?P<result>.+?)\(\*(?P<name>\w+)\)\((?P<parameters>.*)\)", re.DOTALL)
_FUNCTION = re.compile(r"GPT4ALL_API (?P<result>.+?)(?P<name>\w+)\((?P<parameters>.*)\)", re.DOTALL)
_STRUCT = re.compile(r"typedef struct (?P<name>\w+) \{(?P<fields>.*)\} (?P=name)", re.DOTALL)
_OPAQUE = re.compile(r"typedef struct (\w+) \1")
_ALIAS = re.compile(r"typedef (\w+) (\w+)")
_ENUM = re.compile(r"enum \{(.*)\}", re.DOTALL)
_DECLARATOR = re.compile(r"(?P<type>.*?[\s*])(?P<name>\w+)", re.DOTALL)
_EXTERN_C = re.compile(r'extern "C" \{')


class HeaderError(ValueError):
    """The header holds a form that this reader does not know."""


@dataclass(frozen=True)
class Parameter:
    """A parameter or field; ``type`` is spelled with single spaces and stars at the end: ``const char *``."""

    type: str
    name: str


@dataclass(frozen=True)
class Function:
    """A function, or the type of a callback."""

    result: str
    parameters: tuple[Parameter, ...]


@dataclass
class Header:
    """Everything the header declares, by name and in its order."""

    constants: dict[str, int] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    opaque: list[str] = field(default_factory=list)
    structs: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)
    callbacks: dict[str, Function] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)


def parse_header(path: Path) -> Header:
    """Read the header at ``path``."""
    header = Header()
    source = _COMMENT.sub(" ", path.read_text(encoding="utf-8"))
    code = []
    for line in source.splitlines():
        if not line.startswith("#"):
            code.append(line)
        elif match := _DEFINE.match(line.rstrip()):
            header.constants[match[1]] = int(match[2])
    for statement in _statements(_EXTERN_C.sub("", "\n".join(code))):
        _add(header, statement)
    return header


def _statements(code: str) -> list[str]:
    """Cuts at the semicolons outside braces."""
    statements, depth, current = [], 0, ""
    for character in code:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == ";" and depth == 0:
            statements.append(" ".join(current.split()))
            current = ""
        else:
            current += character
        # The brace that closes extern "C" has no partner left.
        if depth < 0:
            depth, current = 0, ""
    if current.strip():
        raise HeaderError(f"the header ends in the middle of: {current.strip()}")
    return statements


def _add(header: Header, statement: str) -> None:
    if match := _ENUM.fullmatch(statement):
        header.constants.update(_enumerators(match[1]))
    elif match := _FUNCTION_TYPE.fullmatch(statement):
        header.callbacks[match["name"]] = _function(match)
    elif match := _FUNCTION.fullmatch(statement):
        header.functions[match["name"]] = _function(match)
    elif match := _STRUCT.fullmatch(statement):
        fields = [part.strip() for part in match["fields"].split(";")]
        header.structs[match["name"]] = tuple(_parameter(part) for part in fields if part)
    elif match := _OPAQUE.fullmatch(statement):
        header.opaque.append(match[1])
    elif match := _ALIAS.fullmatch(statement):
        header.aliases[match[2]] = match[1]
    else:
        raise HeaderError(f"the header has a declaration this check cannot read: {statement}")


def _enumerators(text: str) -> dict[str, int]:
    values = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition(" = ")
        if not equals:
            raise HeaderError(f"the enumerator {name} has no value of its own")
        values[name] = int(value, 0)
    return values


def _function(match: re.Match[str]) -> Function:
    text = match["parameters"].strip()
    parts = [] if text == "void" else text.split(",")
    return Function(_spelling(match["result"]), tuple(map(_parameter, parts)))


def _parameter(text: str) -> Parameter:
    match = _DECLARATOR.fullmatch(text.strip())
    if match is None or "[" in text or ":" in text:
        raise HeaderError(f"this check cannot read the declaration: {text.strip()}")
    return Parameter(_spelling(match["type"]), match["name"])


def _spelling(text: str) -> str:
    words, stars = " ".join(text.replace("*", " ").split()), text.count("*")
    return f"{words} {'*' * stars}" if stars else words
