"""Tools that a model may call: functions, pydantic models and OpenAI's dicts as schemas, grammars and checks."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gpt4all.checks import check_text
from gpt4all.grammars.json_schema import accepts, schema_grammar
from gpt4all.grammars.keywords import ANNOTATIONS
from gpt4all.tools.signatures import Signature, read_signature

#: OpenAI's rule, and the dots of names such as ``math.factorial``.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: What an object's schema may say so that each of its properties stands alone.
_PLAIN_OBJECT = frozenset({"type", "properties", "required", "additionalProperties", "$defs", "definitions", "$schema"})


@dataclass(frozen=True)
class Tool:
    """A tool that can be offered.

    Attributes:
        parameters: the JSON Schema of its arguments, an object.
        grammar: of the arguments' JSON.
        properties: each property's own grammar, or ``"text"`` for any string; ``None`` where they do not stand alone.
        signature: what its calls become; ``None`` for a tool without a function.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool | None
    grammar: str
    properties: dict[str, str] | None
    signature: Signature | None

    def definition(self) -> dict[str, Any]:
        """As the model is shown it, and with the grammars."""
        function: dict[str, Any] = {"name": self.name, "description": self.description, "parameters": self.parameters}
        if self.strict is not None:
            function["strict"] = self.strict
        found: dict[str, Any] = {"type": "function", "function": function, "grammar": self.grammar}
        if self.properties is not None:
            found["properties"] = self.properties
        return found

    def check(self, arguments: object) -> dict[str, Any]:
        """The arguments if the schema accepts them.

        Raises:
            ValueError: it does not.
        """
        if not isinstance(arguments, dict):
            raise ValueError(f"the arguments are no JSON object: {str(arguments)[:100]}")
        if accepts(self.parameters, arguments) is False:
            raise ValueError(f"the arguments do not match the tool's schema: {json.dumps(arguments)[:200]}")
        return arguments


class Toolbox:
    """The tools of a call, by name."""

    def __init__(self, tools: list[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __bool__(self) -> bool:
        return bool(self._tools)

    def get(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def names(self) -> list[str]:
        return list(self._tools)


def read_tools(tools: object) -> Toolbox:
    """All that is wrong with tools is found here.

    Raises:
        ValueError, TypeError: one is no tool, or its schema cannot be a grammar; the message says which.
    """
    if tools is None:
        return Toolbox([])
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of functions, pydantic models or dicts, not {type(tools).__name__}")
    found: list[Tool] = []
    for index, tool in enumerate(tools):
        made = _read_tool(tool, f"tools[{index}]")
        if made.name in [other.name for other in found]:
            raise ValueError(f"tools[{index}] has the name {made.name!r}, as one before it has")
        found.append(made)
    return Toolbox(found)


def check_choice(choice: object, toolbox: Toolbox) -> str | dict[str, str]:
    """``"auto"``, ``"none"`` or ``"required"``, or a dict with the name of the one tool to call."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        if choice.get("type") != "function" or not isinstance(function, Mapping) or "name" not in function:
            raise ValueError('tool_choice as a dict must be {"type": "function", "function": {"name": ...}}')
        name = check_text("tool_choice's name", function["name"])
    else:
        name = check_text("tool_choice", choice)
        if name in ("auto", "none"):
            return name
        if name == "required":
            if not toolbox:
                raise ValueError("tool_choice is 'required', but there are no tools")
            return name
    if toolbox.get(name) is None:
        known = ", ".join(toolbox.names()) or "there are none"
        raise ValueError(f"tool_choice {name!r} is neither 'auto', 'none', 'required' nor the name of a tool ({known})")
    return {"name": name}


def _read_tool(tool: object, where: str) -> Tool:
    if isinstance(tool, Mapping):
        return _of_dict(tool, where)
    if isinstance(tool, type) and callable(getattr(tool, "model_json_schema", None)):
        from gpt4all.grammars.pydantic_models import described

        try:
            schema = described(tool)
        except Exception as error:
            # What has no schema is pydantic's own kind of error.
            raise ValueError(f"{where}: {tool.__name__} has no JSON Schema: {error}") from error
        # What a class without a docstring inherits is not about it.
        own = tool.__doc__ if "__doc__" in vars(tool) else None
        return _tool(where, tool.__name__, inspect.cleandoc(own or ""), schema, None, None)
    if not callable(tool):
        kind = type(tool).__name__
        raise TypeError(f"{where} must be a function, a pydantic model class or a dict in OpenAI's form, not {kind}")
    name = _name_of(tool)
    try:
        signature = read_signature(tool)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where} ({name!r}): {error}") from None
    return _tool(where, name, signature.description, signature.schema, None, signature)


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _of_dict(tool: Mapping[str, Any], where: str) -> Tool:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise ValueError(
            f'{where} must be {{"type": "function", "function": {{"name": ..., "parameters": ...}}}}, as OpenAI has it'
        )
    if "name" not in function:
        raise ValueError(f"{where}['function'] has no 'name'")
    name = check_text(f"{where}['function']['name']", function["name"])
    description = check_text(f"{where}['function']['description']", function.get("description") or "")
    schema = function.get("parameters")
    if schema is not None and not isinstance(schema, Mapping):
        raise TypeError(f"{where} ({name!r}): parameters must be a dict, not {type(schema).__name__}")
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise TypeError(f"{where} ({name!r}): strict must be a bool, not {type(strict).__name__}")
    return _tool(where, name, description, dict(schema or {"properties": {}}), strict, None)


def _tool(
    where: str, name: str, description: str, schema: dict[str, Any], strict: bool | None, signature: Signature | None
) -> Tool:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{where} has the name {name!r}; a tool's name has 1 to 64 letters, digits, '_', '-' and '.', and a lambda "
            "none: write a function, or a dict in OpenAI's form"
        )
    schema = {"type": "object"} | schema
    if schema["type"] != "object":
        raise ValueError(f"{where} ({name!r}): parameters must be of type 'object', not {schema['type']!r}")
    label = f"{where} ({name!r}): parameters"
    grammar = schema_grammar(schema, label)
    return Tool(name, description, schema, strict, grammar, _property_grammars(schema), signature)


def _property_grammars(schema: dict[str, Any]) -> dict[str, str] | None:
    """The grammar of each property, where the object is no more than its properties."""
    if schema.keys() - ANNOTATIONS - _PLAIN_OBJECT or not isinstance(schema.get("additionalProperties", False), bool):
        return None
    found: dict[str, str] = {}
    definitions = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
    for name, inner in schema.get("properties", {}).items():
        if not isinstance(inner, dict):
            return None
        if inner.get("type") == "string" and not inner.keys() - ANNOTATIONS - {"type"}:
            found[name] = "text"
            continue
        if _may_be_string(inner, schema):
            return None
        try:
            found[name] = schema_grammar({**definitions, **inner}, quiet=True)
        except ValueError:
            # It is left out of the whole as well, or refers to what is elsewhere.
            return None
    return found


def _may_be_string(schema: Any, whole: dict[str, Any]) -> bool:
    """Whether a value may be one: ``False`` only where that is plain to see."""
    if not isinstance(schema, dict):
        return True
    if "$ref" in schema:
        begin, _, name = str(schema["$ref"]).rpartition("/")
        inner = whole.get(begin.removeprefix("#/"), {}).get(name)
        # One step is enough for what functions and pydantic make.
        return not isinstance(inner, dict) or "$ref" in inner or _may_be_string(inner, whole)
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(listed, list):
        return any(isinstance(value, str) for value in listed)
    declared = schema.get("type")
    if declared is not None:
        return declared == "string" or (isinstance(declared, list) and "string" in declared)
    ways = schema.get("anyOf", schema.get("oneOf"))
    return not isinstance(ways, list) or any(_may_be_string(way, whole) for way in ways)
