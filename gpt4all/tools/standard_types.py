"""Annotations of the standard library as JSON Schemas, for where pydantic is not installed."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
import types
import typing
from typing import Annotated, Any, Literal, Union

_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_MAX_NESTING = 40


class StandardTypes:
    """See ``gpt4all.tools.signatures.Types``."""

    def schemas(self, annotations: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        writer = _Writer()
        found = {}
        for name, annotation in annotations.items():
            try:
                found[name] = writer.schema(annotation)
            except TypeError as error:
                raise TypeError(f"parameter {name!r}: {error}") from None
        return found, {name: schema for name, (_, schema) in writer.definitions.items()}

    def convert(self, annotation: Any, value: Any) -> Any:
        return _convert(annotation, value)


class _Writer:
    def __init__(self) -> None:
        #: By name: a class, and its schema.
        self.definitions: dict[str, tuple[type, dict[str, Any]]] = {}

    def schema(self, annotation: Any) -> dict[str, Any]:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            texts = [extra for extra in arguments[1:] if isinstance(extra, str)]
            return self.schema(arguments[0]) | ({"description": texts[0]} if texts else {})
        if annotation is Any or annotation is object:
            return {}
        if annotation is None or annotation in _PLAIN:
            return {"type": _PLAIN[type(None) if annotation is None else annotation]}
        if origin is Literal:
            return {"enum": [value.value if isinstance(value, enum.Enum) else value for value in arguments]}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.schema(each) for each in arguments]}
        if isinstance(annotation, type) and origin is None and _has_fields(annotation):
            return {"$ref": f"#/$defs/{self._defined(annotation)}"}
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return {"enum": [_json_value(member.value, annotation) for member in annotation]}
        return self._container(origin or annotation, arguments, annotation)

    def _container(self, kind: Any, arguments: tuple[Any, ...], annotation: Any) -> dict[str, Any]:
        if kind in _LISTS or kind in _SETS:
            each = self.schema(arguments[0]) if arguments else {}
            # What comes twice is once in a set; a grammar could not forbid it.
            return {"type": "array", "items": each}
        if kind is tuple:
            if len(arguments) == 2 and arguments[1] is ...:
                return {"type": "array", "items": self.schema(arguments[0])}
            if not arguments:
                return {"type": "array"}
            items = [] if arguments == ((),) else [self.schema(each) for each in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if kind in _DICTS:
            if arguments and arguments[0] is not str:
                raise TypeError(f"{annotation} cannot be made from JSON, whose keys are strings")
            return {"type": "object", "additionalProperties": self.schema(arguments[1]) if arguments else {}}
        name = getattr(annotation, "__name__", annotation)
        raise TypeError(
            f"{name} has no JSON Schema here; use str, int, float, bool, None, list, dict, tuple, set, Literal, Enum, "
            "TypedDict or a dataclass of those, or install pydantic, which knows more"
        )

    def _defined(self, cls: Any) -> str:
        name, number = str(cls.__name__), 1
        while self.definitions.get(name, (cls,))[0] is not cls:
            number += 1
            name = f"{cls.__name__}{number}"
        if name not in self.definitions:
            # First, for classes that refer to themselves.
            whole: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
            self.definitions[name] = cls, whole
            for field, annotation in _fields(cls).items():
                whole["properties"][field] = self.schema(annotation)
            whole["required"] = _required(cls)
        return name


def _convert(annotation: Any, value: Any, depth: int = 0) -> Any:
    """A value of JSON as its annotation says.

    Raises:
        ValueError: it is no such value. That tells the alternatives of a union apart.
    """
    if depth > _MAX_NESTING:
        raise ValueError("nested too deeply")
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _convert(arguments[0], value, depth)
    if annotation is Any or annotation is object:
        return value
    if annotation is None or annotation in _PLAIN:
        return _plain(type(None) if annotation is None else annotation, value)
    if origin is Literal:
        return next(each for each in arguments if _same(each.value if isinstance(each, enum.Enum) else each, value))
    if origin in (Union, types.UnionType):
        return _first_that_fits(arguments, value, depth)
    if isinstance(annotation, type) and origin is None and _has_fields(annotation):
        return _with_fields(annotation, value, depth)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        for member in annotation:
            if _same(_json_value(member.value, annotation), value):
                return member
        raise ValueError(f"{value!r} is no {annotation.__name__}")
    return _items(origin or annotation, arguments, value, depth)


def _plain(kind: type, value: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)  # 2.0 is an integer in JSON Schema
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _first_that_fits(alternatives: tuple[Any, ...], value: Any, depth: int) -> Any:
    # A value that is of an alternative's own type stays as it is: 2 for int | float, and for float | int.
    exact = [each for each in alternatives if each is type(value) or (each in (None, type(None)) and value is None)]
    for each in (*exact, *alternatives):
        try:
            return _convert(each, value, depth + 1)
        except (ValueError, StopIteration):
            continue
    raise ValueError(f"{value!r} fits none of the alternatives")


def _items(kind: Any, arguments: tuple[Any, ...], value: Any, depth: int) -> Any:
    if kind in _DICTS:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is no object")
        each = arguments[1] if arguments else Any
        return {key: _convert(each, item, depth + 1) for key, item in value.items()}
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list")
    if kind is tuple and arguments and arguments[-1] is not ...:
        kinds = () if arguments == ((),) else arguments
        if len(kinds) != len(value):
            raise ValueError(f"{value!r} has not {len(kinds)} items")
        return tuple(_convert(each, item, depth + 1) for each, item in zip(kinds, value, strict=True))
    items = [_convert(arguments[0] if arguments else Any, item, depth + 1) for item in value]
    if kind is tuple:
        return tuple(items)
    if kind in _SETS:
        return frozenset(items) if kind is frozenset else set(items)
    return items


def _with_fields(cls: Any, value: Any, depth: int) -> Any:
    fields = _fields(cls)
    if not isinstance(value, dict) or value.keys() - fields or set(_required(cls)) - value.keys():
        raise ValueError(f"{value!r} is no {cls.__name__}")
    return cls(**{name: _convert(fields[name], item, depth + 1) for name, item in value.items()})


def _has_fields(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or typing.is_typeddict(cls)


def _fields(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    if dataclasses.is_dataclass(cls):
        return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}
    return {name: _unmarked(hint) for name, hint in hints.items()}


def _unmarked(hint: Any) -> Any:
    """A field of a TypedDict without ``Required`` or ``NotRequired``, which are told elsewhere."""
    origin = getattr(typing.get_origin(hint), "__name__", None) or getattr(typing.get_origin(hint), "_name", None)
    return typing.get_args(hint)[0] if origin in ("Required", "NotRequired", "ReadOnly") else hint


def _required(cls: Any) -> list[str]:
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return [
            field.name
            for field in dataclasses.fields(cls)
            if field.init and field.default is missing and field.default_factory is missing
        ]
    return [name for name in typing.get_type_hints(cls) if name in cls.__required_keys__]


def _json_value(value: Any, cls: type) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise TypeError(f"{cls.__name__} has the value {value!r}, which is no JSON") from None
    return value


def _same(ours: Any, theirs: Any) -> bool:
    """Whether they are the same value of JSON, where 1 is not ``true``."""
    return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)
