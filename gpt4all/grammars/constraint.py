"""The grammar that an answer keeps to, from the options ``grammar`` and ``json_schema``."""

from __future__ import annotations

from dataclasses import dataclass

from gpt4all.checks import check_text


@dataclass(frozen=True)
class Constraint:
    """A grammar that the answer keeps to, and the argument that it came from."""

    argument: str
    grammar: str


def constraint_of(grammar: object, json_schema: object) -> Constraint | None:
    if grammar is not None and json_schema is not None:
        raise ValueError("grammar and json_schema exclude each other")
    if grammar is not None:
        return Constraint("grammar", check_text("grammar", grammar))
    if json_schema is None:
        return None
    # Only those who want it wait for it to be imported.
    from gpt4all.grammars.json_schema import schema_grammar

    return Constraint("json_schema", schema_grammar(_schema_of(json_schema)))


def _schema_of(json_schema: object) -> object:
    if isinstance(json_schema, dict):
        return json_schema
    # A pydantic model, told by what it can do: pydantic may not be installed.
    if isinstance(json_schema, type) and callable(getattr(json_schema, "model_json_schema", None)):
        from gpt4all.grammars.pydantic_models import described

        try:
            return described(json_schema)
        except Exception as error:
            # What has no schema is pydantic's own kind of error.
            raise ValueError(f"json_schema: {json_schema.__name__} has no JSON Schema: {error}") from error
    kind = type(json_schema)
    if isinstance(json_schema, str):
        advice = "json.loads() makes a dict of it"
    elif hasattr(json_schema, "model_json_schema"):
        advice = f"give the class {kind.__name__} itself"
    else:
        advice = "pydantic.TypeAdapter(...).json_schema() makes a dict of other types"
    raise TypeError(f"json_schema must be a dict, a pydantic model class or None, not {kind.__name__}; {advice}")
