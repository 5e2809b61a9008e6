"""A function's parameters as a JSON Schema, and JSON arguments as what its annotations ask for."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from gpt4all.tools.docstrings import read_docstring

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Types(Protocol):
    """Annotations of parameters as schemas, and values of JSON as theirs."""

    def schemas(self, annotations: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """The schema of each parameter, and the definitions that these refer to."""

    def convert(self, annotation: Any, value: Any) -> Any:
        """A value that the schema accepts as the annotation has it, or a ``ValueError``."""


@dataclass(frozen=True)
class Signature:
    """What a function takes.

    Attributes:
        description: what its docstring says of it.
        schema: of its arguments as a JSON object.
    """

    function: Callable[..., Any]
    description: str
    schema: dict[str, Any]
    parameters: dict[str, inspect.Parameter]
    annotations: dict[str, Any]
    types: Types

    def call_with(self, arguments: dict[str, Any]) -> functools.partial[Any]:
        """The call with arguments that the schema accepts, made into what the annotations say.

        Raises:
            ValueError: a check that is in no schema, such as a validator of pydantic's, refuses one.
        """
        positional, named = [], {}
        for name, parameter in self.parameters.items():
            if name in arguments:
                try:
                    value = self.types.convert(self.annotations[name], arguments[name])
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{name}: {error}") from error
            elif (found := _pydantic_default(parameter.default)) is not None:
                value = found.get_default(call_default_factory=True)
            else:
                continue
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                named[name] = value
        return functools.partial(self.function, *positional, **named)


def read_signature(function: Callable[..., Any]) -> Signature:
    """What a function takes, from its annotations and docstring.

    Raises:
        ValueError, TypeError: there is an annotation that is no JSON, or cannot be found out.
    """
    described, plain = _described(function)
    description, texts = read_docstring(described)
    try:
        hints = typing.get_type_hints(plain, include_extras=True)
    except NameError as error:
        raise ValueError(f"its annotations cannot be found out: {error}") from None
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in _VARIADIC
    }
    annotations = {name: _annotation(hints.get(name, Any), parameter) for name, parameter in parameters.items()}
    types, schemas, definitions = _schemas(annotations)
    properties, required = {}, []
    for name, parameter in parameters.items():
        schema = schemas[name]
        schema.pop("title", None)
        if name in texts and "description" not in schema:
            schema["description"] = texts[name]
        field = _pydantic_default(parameter.default)
        if parameter.default is inspect.Parameter.empty or (field is not None and field.is_required()):
            required.append(name)
        elif field is None and _is_json(parameter.default):
            schema.setdefault("default", parameter.default)
        properties[name] = schema
    whole: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    whole["additionalProperties"] = False
    if definitions:
        whole["$defs"] = definitions
    return Signature(function, description, whole, parameters, annotations, types)


def _described(function: Any) -> tuple[str | None, Any]:
    """The docstring, and the function whose annotations count."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return inspect.getdoc(function), inspect.unwrap(function)
    call = type(function).__call__
    own = inspect.getdoc(call) if inspect.isfunction(call) else None
    return own or inspect.getdoc(type(function)), call


def _annotation(hint: Any, parameter: inspect.Parameter) -> Any:
    field = _pydantic_default(parameter.default)
    return hint if field is None else Annotated[hint, field]


def _pydantic_default(default: Any) -> Any:
    """Pydantic's ``Field(...)`` in the place of a default, as its ``validate_call`` takes it; else ``None``."""
    return default if type(default).__name__ == "FieldInfo" and hasattr(default, "is_required") else None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _schemas(annotations: dict[str, Any]) -> tuple[Types, dict[str, dict[str, Any]], dict[str, Any]]:
    """Who reads the annotations, and what they are."""
    from gpt4all.tools.standard_types import StandardTypes

    standard = StandardTypes()
    try:
        from gpt4all.tools.pydantic_types import PydanticTypes

        types: Types = PydanticTypes()
    except ImportError:
        return standard, *standard.schemas(annotations)
    try:
        return types, *types.schemas(annotations)
    except TypeError:
        # It does not take typing's TypedDict before Python 3.12.
        with contextlib.suppress(TypeError):
            return standard, *standard.schemas(annotations)
        raise
