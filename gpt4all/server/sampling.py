"""The fields that say how to generate, the same for all endpoints that do."""

from __future__ import annotations

from typing import Any

from gpt4all.checks import INT32_MAX
from gpt4all.options import MAX_TOP_LOGPROBS
from gpt4all.server.failures import bad
from gpt4all.server.fields import Fields, check_text

#: Without these fields. OpenAI's own are for models of another size; 2.8's are for its sessions.
DEFAULTS = {"temp": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.0}
MAX_STOPS = 16


def sampling_arguments(fields: Fields) -> dict[str, Any]:
    """Keyword arguments of ``generate``; whatever a client leaves out has its default of ``DEFAULTS``."""
    given = {
        "temp": fields.number("temperature", 0, 2),
        "top_k": fields.integer("top_k", -1, INT32_MAX),
        "top_p": fields.number("top_p", 0, 1),
        "min_p": fields.number("min_p", 0, 1),
        "repeat_penalty": fields.number("repeat_penalty", 0.01, 100),
        "repeat_last_n": fields.integer("repeat_last_n", -1, INT32_MAX),
        "presence_penalty": fields.number("presence_penalty", -2, 2),
        "frequency_penalty": fields.number("frequency_penalty", -2, 2),
        "seed": _seed(fields),
        "stop": _stops(fields),
        "logit_bias": _biases(fields),
        "grammar": fields.text("grammar"),
    }
    arguments: dict[str, Any] = {**DEFAULTS, **{name: value for name, value in given.items() if value is not None}}
    return {**arguments, "context_shift": False, "legacy_stops": False}


def max_tokens(fields: Fields, *names: str, default: int = INT32_MAX) -> int:
    """The first of ``names`` that is given."""
    for name in names:
        value = fields.integer(name, 0 if name == "max_tokens" else 1, INT32_MAX)
        if value is not None:
            return value
    return default


def schema_of(fields: Fields, name: str) -> dict[str, Any] | None:
    """The JSON Schema that ``response_format``, or ``text.format``, asks for."""
    wanted = fields.nested(name)
    if wanted is None:
        return None
    kind = wanted.choice("type", "text", "json_object", "json_schema")
    if kind is None:
        wanted.required("type")
    if kind == "text":
        return None
    described = wanted if wanted.raw("schema") is not None else wanted.nested("json_schema")
    if kind == "json_object" and described is not wanted:
        return {"type": "object"}
    if described is None:
        wanted.required("json_schema")
        raise AssertionError
    schema = described.required("schema")
    if not isinstance(schema, dict):
        raise bad(described.name("schema"), "must be an object")
    return schema


def check_json_options(arguments: dict[str, Any], name: str) -> None:
    """Refuses what cannot go together with a schema."""
    if arguments.get("json_schema") is None:
        return
    for other in ("stop", "grammar"):
        if arguments.get(other):
            raise bad(other, f"cannot be combined with {name}")


def top_logprobs(fields: Fields) -> int | None:
    """Alternatives for each token, ``None`` where no log-probabilities are wanted: for chat completions."""
    count = fields.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    if not fields.flag("logprobs"):
        if count:
            raise bad("top_logprobs", "needs logprobs to be true")
        return None
    return count or 0


def _seed(fields: Fields) -> int | None:
    seed = fields.integer("seed", -(2**63), 2**63 - 1)
    # The engine's are of 32 bits.
    return None if seed is None else seed % 2**32


def _stops(fields: Fields) -> list[str] | None:
    stops = fields.raw("stop")
    if stops is None:
        return None
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise bad("stop", f"must be a string or an array of at most {MAX_STOPS}")
    for text in stops:
        if not check_text("stop", text):
            raise bad("stop", "holds an empty string, which would end every answer at once")
    return stops


def _biases(fields: Fields) -> dict[int, float] | None:
    biases = fields.nested("logit_bias")
    if biases is None:
        return None
    checked = {}
    for token in fields.raw("logit_bias"):
        if not (token.isascii() and token.isdigit() and int(token[:10]) <= INT32_MAX and len(token) <= 10):
            raise bad("logit_bias", f"has {token[:20]!r}, which is no token id")
        checked[int(token)] = biases.number(token, -100, 100) or 0.0
    return checked
