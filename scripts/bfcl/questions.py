"""The leaderboard's questions, from the package ``bfcl-eval``, and their functions in OpenAI's form."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testmodels.registry import Wheel
from testmodels.wheels import fetch

PACKAGE = Wheel("bfcl-eval", "2026.3.23", "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a", 1_925_664)

#: The files that bring functions with their questions.
_FILES = re.compile(r"bfcl_eval/data/BFCL_v\d+_(?:live_)?(?:simple|multiple|parallel|irrelevance|relevance)\w*\.json")
#: Those of conversations of several turns, where a question names what it may use; a function a line.
_DOCUMENTED = re.compile(r"bfcl_eval/data/multi_turn_func_doc/\w+\.json")
#: Types of other languages, as the leaderboard itself translates them.
_TYPES = {
    "dict": "object",
    "HashMap": "object",
    "Hashtable": "object",
    "float": "number",
    "double": "number",
    "Double": "number",
    "long": "integer",
    "Long": "integer",
    "short": "integer",
    "byte": "integer",
    "Integer": "integer",
    "tuple": "array",
    "Array": "array",
    "ArrayList": "array",
    "Queue": "array",
    "Set": "array",
    "Stack": "array",
    "Bigint": "integer",
    "String": "string",
    "char": "string",
    "any": "string",
    "Boolean": "boolean",
    "bool": "boolean",
}


@dataclass(frozen=True)
class Question:
    """What a model is asked, and the functions that it may call."""

    name: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]


def fetch_package(directory: Path) -> Path:
    """The package's wheel, from the index if it is not in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    return fetch([PACKAGE], directory, print)[0]


def read(wheel: Path) -> Iterator[Question]:
    """All questions with functions of their own."""
    with zipfile.ZipFile(wheel) as archive:
        for name in filter(_FILES.fullmatch, archive.namelist()):
            for line in archive.read(name).decode().splitlines():
                entry = json.loads(line)
                tools = [_tool(function) for function in entry["function"]]
                yield Question(entry["id"], entry["question"][0], tools)


def read_documented(wheel: Path) -> Iterator[dict[str, Any]]:
    """The functions that stand apart from questions."""
    with zipfile.ZipFile(wheel) as archive:
        for name in filter(_DOCUMENTED.fullmatch, archive.namelist()):
            yield from (_tool(json.loads(line)) for line in archive.read(name).decode().splitlines())


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    """In OpenAI's form; names as its interface has them."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", function["name"])[:64]
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": function.get("description", ""),
            "parameters": _schema(function["parameters"]),
        },
    }


def _schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    if isinstance(found.get("type"), str):
        found["type"] = _TYPES.get(found["type"], found["type"])
    if isinstance(found.get("properties"), dict):
        found["properties"] = {name: _schema(inner) for name, inner in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in found:
            found[key] = _schema(found[key])
    # Remarks of the leaderboard's, not of the schema.
    for key in ("optional", "required") if not isinstance(found.get("required", []), list) else ("optional",):
        found.pop(key, None)
    return found
