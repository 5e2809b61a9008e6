"""The JSON Schema of a pydantic class, with what pydantic checks but does not say in it."""

from __future__ import annotations

from typing import Any


def described(model: Any) -> Any:
    """``model.model_json_schema()``, in which addresses of the web have a format of their own, ``http-uri``."""
    try:
        from pydantic import BaseModel
    except ImportError:
        # A class of another kind with the same method.
        return model.model_json_schema()
    # A class that describes itself in its own way is asked as it expects.
    own = getattr(model.model_json_schema, "__func__", None) is not BaseModel.model_json_schema.__func__  # type: ignore[attr-defined]
    return model.model_json_schema() if own else model.model_json_schema(schema_generator=schema_generator())


def schema_generator() -> Any:
    """Pydantic's way to write schemas, and that format."""
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def url_schema(self, schema: Any) -> Any:
            found = super().url_schema(schema)
            schemes = schema.get("allowed_schemes")
            return {**found, "format": "http-uri"} if schemes and set(schemes) <= {"http", "https"} else found

    return Generator
