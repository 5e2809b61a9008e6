"""Annotations as pydantic understands them; importing this needs pydantic 2."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import TypeAdapter

from gpt4all.grammars.pydantic_models import schema_generator


class _Generator(schema_generator()):  # type: ignore[misc]
    def set_schema(self, schema: Any) -> Any:
        return _without_uniqueness(super().set_schema(schema))

    def frozenset_schema(self, schema: Any) -> Any:
        return _without_uniqueness(super().frozenset_schema(schema))


def _without_uniqueness(schema: dict[str, Any]) -> dict[str, Any]:
    # What comes twice is once in a set; a grammar could not forbid it.
    return {key: value for key, value in schema.items() if key != "uniqueItems"}


class PydanticTypes:
    """See ``gpt4all.tools.signatures.Types``."""

    def __init__(self) -> None:
        self._adapters: dict[int, tuple[Any, TypeAdapter[Any]]] = {}

    def schemas(self, annotations: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        inputs = []
        for name, annotation in annotations.items():
            try:
                inputs.append((name, "validation", self._adapter(annotation)))
            except pydantic.errors.PydanticUserError as error:
                raise TypeError(f"parameter {name!r}: {error.message}") from None
        try:
            found, whole = TypeAdapter.json_schemas(inputs, schema_generator=_Generator)  # type: ignore[arg-type]
        except pydantic.errors.PydanticUserError as error:
            raise TypeError(error.message) from None
        return {name: dict(schema) for (name, _), schema in found.items()}, whole.get("$defs", {})

    def convert(self, annotation: Any, value: Any) -> Any:
        return self._adapter(annotation).validate_python(value)

    def _adapter(self, annotation: Any) -> TypeAdapter[Any]:
        # By identity: not every annotation has a hash. The annotation is kept, so that no other takes its address.
        return self._adapters.setdefault(id(annotation), (annotation, TypeAdapter(annotation)))[1]
