"""The interface in OpenAPI's terms."""

from __future__ import annotations

from typing import Any

from gpt4all._version import __version__
from gpt4all.checks import INT32_MAX
from gpt4all.options import MAX_TOP_LOGPROBS
from gpt4all.server.sampling import DEFAULTS, MAX_STOPS
from gpt4all.server.settings import Settings

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}


def _maybe(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """``null`` is the same as leaving a field out."""
    return {"anyOf": [schema, {"type": "null"}], **more}


def _number(low: float, high: float, default: object = None) -> dict[str, Any]:
    more = {} if default is None else {"default": default}
    return _maybe({"type": "number", "minimum": low, "maximum": high}, **more)


def _integer(low: int, high: int, **more: Any) -> dict[str, Any]:
    return _maybe({"type": "integer", "minimum": low, "maximum": high}, **more)


def _strings(most: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": most}


_MODEL = _maybe(_TEXT, description="by default the first that can do it")
_SAMPLING: dict[str, Any] = {
    "temperature": _number(0, 2, DEFAULTS["temp"]),
    "top_p": _number(0, 1, DEFAULTS["top_p"]),
    "top_k": _integer(-1, INT32_MAX, default=DEFAULTS["top_k"]),
    "min_p": _number(0, 1, DEFAULTS["min_p"]),
    "repeat_penalty": _number(0.01, 100, DEFAULTS["repeat_penalty"]),
    "repeat_last_n": _integer(-1, INT32_MAX),
    "presence_penalty": _number(-2, 2, 0),
    "frequency_penalty": _number(-2, 2, 0),
    "seed": _integer(-(2**63), 2**63 - 1),
    "stop": _maybe({"anyOf": [{"type": "string", "minLength": 1}, _strings(MAX_STOPS)]}),
    "logit_bias": _maybe(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,9}$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        }
    ),
    "grammar": _maybe(_TEXT, description="GBNF"),
}
_FORMAT = _maybe(
    {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": ["text", "json_object", "json_schema"]}},
    }
)
_STREAM: dict[str, Any] = {
    "stream": _maybe({"type": "boolean"}),
    "stream_options": _maybe({"type": "object", "properties": {"include_usage": _maybe({"type": "boolean"})}}),
}
_FUNCTION: dict[str, Any] = {
    "name": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"},
    "description": _maybe(_TEXT),
    "parameters": _maybe(_OBJECT),
}
_TOOL: dict[str, Any] = {
    "type": "object",
    "required": ["type", "function"],
    "properties": {
        "type": {"const": "function"},
        "function": {"type": "object", "required": ["name"], "properties": _FUNCTION},
    },
}
_RESPONSE_TOOL: dict[str, Any] = {
    "type": "object",
    "required": ["type", "name"],
    "properties": {"type": {"const": "function"}, **_FUNCTION},
}
_MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {
            "anyOf": [
                _TEXT,
                {"type": "null"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "text"],
                        "properties": {"type": {"const": "text"}, "text": _TEXT},
                    },
                },
            ]
        },
    },
}


def _body(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _bodies(settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
    many = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
    many["maxItems"] = settings.max_inputs
    n = _integer(1, settings.max_n, default=1)
    return {
        "/v1/chat/completions": (
            "Answer a conversation",
            _body(
                ["messages"],
                {
                    "model": _MODEL,
                    "messages": {"type": "array", "items": _MESSAGE, "minItems": 1},
                    "n": n,
                    "max_completion_tokens": _integer(1, INT32_MAX),
                    "max_tokens": _integer(0, INT32_MAX, deprecated=True),
                    "logprobs": _maybe({"type": "boolean"}),
                    "top_logprobs": _integer(0, MAX_TOP_LOGPROBS),
                    "response_format": _FORMAT,
                    "tools": _maybe({"type": "array", "items": _TOOL, "maxItems": 128}),
                    "tool_choice": _maybe({"anyOf": [{"enum": ["none", "auto", "required"]}, _OBJECT]}),
                    "parallel_tool_calls": _maybe({"type": "boolean"}),
                    "reasoning_effort": _maybe({"enum": ["none", "minimal", "low", "medium", "high", "xhigh"]}),
                    "chat_template_kwargs": _maybe(_OBJECT),
                    **_STREAM,
                    **_SAMPLING,
                },
            ),
        ),
        "/v1/completions": (
            "Continue texts",
            _body(
                ["prompt"],
                {
                    "model": _MODEL,
                    "prompt": {"anyOf": [_TEXT, many]},
                    "n": n,
                    "max_tokens": _integer(0, INT32_MAX, default=16),
                    "logprobs": _integer(0, 5),
                    "echo": _maybe({"type": "boolean"}),
                    "response_format": _FORMAT,
                    **_STREAM,
                    **_SAMPLING,
                },
            ),
        ),
        "/v1/embeddings": (
            "Turn texts into vectors",
            _body(
                ["input"],
                {
                    "model": _MODEL,
                    "input": {"anyOf": [{"type": "string", "minLength": 1}, many]},
                    "dimensions": _integer(1, 1 << 20),
                    "encoding_format": _maybe({"enum": ["float", "base64"]}),
                    "prefix": _maybe(_TEXT, description="what the model is told the texts are"),
                },
            ),
        ),
        "/v1/responses": (
            "Answer a conversation, of which nothing is stored",
            _body(
                ["input"],
                {
                    "model": _MODEL,
                    "input": {"anyOf": [_TEXT, {"type": "array", "items": _MESSAGE, "minItems": 1}]},
                    "instructions": _maybe(_TEXT),
                    "max_output_tokens": _integer(1, INT32_MAX),
                    "text": _maybe({"type": "object", "properties": {"format": _FORMAT}}),
                    "tools": _maybe({"type": "array", "items": _RESPONSE_TOOL, "maxItems": 128}),
                    "tool_choice": _maybe({"anyOf": [{"enum": ["none", "auto", "required"]}, _OBJECT]}),
                    "parallel_tool_calls": _maybe({"type": "boolean"}),
                    "include": _maybe({"type": "array", "items": {"enum": ["message.output_text.logprobs"]}}),
                    "top_logprobs": _integer(0, MAX_TOP_LOGPROBS),
                    "stream": _maybe({"type": "boolean"}),
                    **_SAMPLING,
                },
            ),
        ),
        "/tokenize": (
            "Count a text's tokens",
            _body(["content"], {"model": _MODEL, "content": _TEXT}),
        ),
    }


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": _maybe(_TEXT),
                "code": _maybe(_TEXT),
            },
        }
    },
}


def _response(text: str, kind: str = "application/json", schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema or _OBJECT}}}


def description(settings: Settings) -> dict[str, Any]:
    """The document at ``/openapi.json``."""
    failed = {
        code: _response(text, schema=_ERROR)
        for code, text in {
            "400": "a field is wrong, or cannot be honoured",
            "401": "no key, or a wrong one",
            "403": "a host or an origin that is not served",
            "404": "no such model",
            "405": "another method is needed",
            "408": "the body did not come",
            "413": "the body is too large",
            "415": "the body is not JSON",
            "429": "too many wait already",
            "500": "the engine failed",
            "503": "the model cannot be loaded",
            "504": "the answer took too long",
        }.items()
    }
    paths: dict[str, Any] = {}
    for path, (summary, body) in _bodies(settings).items():
        done = _response("done")
        if "stream" in body["properties"]:
            done["content"]["text/event-stream"] = {}
        paths[path] = {
            "post": {
                "summary": summary,
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": {"200": done, **failed},
            }
        }
    for path, summary, kind in (
        ("/v1/models", "List the models", "application/json"),
        ("/health", "Whether the server runs", "application/json"),
        ("/metrics", "Counters for Prometheus", "text/plain"),
    ):
        schema = _TEXT if kind == "text/plain" else _OBJECT
        paths[path] = {"get": {"summary": summary, "responses": {"200": _response("done", kind, schema), **failed}}}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "gpt4all", "version": __version__},
        "paths": paths,
    }
    if settings.api_keys:
        document["components"] = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
        document["security"] = [{"key": []}]
    return document
