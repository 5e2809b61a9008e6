"""Errors in OpenAI's shape."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from gpt4all import errors

logger = logging.getLogger("gpt4all.server")

#: Arguments of the package as requests call them, for messages that begin with one; a prompt has several names.
_FIELDS = {
    "temp": "temperature",
    "json_schema": "response_format",
    "template_args": "chat_template_kwargs",
    "args_json": "chat_template_kwargs",
    "dimensionality": "dimensions",
    **{name: name for name in ("grammar", "logit_bias", "stop", "tools", "tool_choice", "prefix", "messages", "input")},
}
_PROMPT_FIELDS = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/responses": "input",
    "/v1/embeddings": "input",
    "/tokenize": "content",
}
#: What the package's messages advise, and what whoever runs a server does.
_HERE = (
    ("a context of n_ctx=", "the context of "),
    ("load the model with a larger n_ctx", "start the server with a larger --n-ctx"),
    ("allow_download is False", "the server fetches nothing"),
)


#: Where in a field something is: ``[1]['a key'].name``.
_WITHIN = re.compile(r"""(?:\[(?:\d+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]|\.\w+)*""", re.DOTALL)


class ApiError(Exception):
    """An answer other than 200.

    Attributes:
        status: of HTTP.
        param: the field of the request that is to blame.
        retry_after: seconds after which another try may succeed.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def body(self) -> dict[str, Any]:
        """The object that OpenAI's clients look for."""
        kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def bad(param: str, problem: str) -> ApiError:
    """A 400 that names the field."""
    return ApiError(400, f"{param} {problem}", param=param, code="invalid_value")


def as_api_error(error: BaseException, path: str = "") -> ApiError:
    """What a request for ``path`` is told; what nobody foresaw is logged, and tells nothing of itself."""
    if isinstance(error, ApiError):
        return error
    text = str(error)
    for theirs, ours in _HERE:
        text = text.replace(theirs, ours)
    prompt = _PROMPT_FIELDS.get(path, "messages")
    if isinstance(error, errors.ContextWindowExceededError):
        return ApiError(400, text, param=prompt, code="context_length_exceeded")
    if isinstance(error, errors.InsufficientMemoryError):
        return ApiError(503, text, code="insufficient_memory", retry_after=10)
    if isinstance(error, errors.CancellationError):
        return ApiError(503, "the model was unloaded meanwhile; try again", code="cancelled", retry_after=1)
    if isinstance(error, (errors.ModelLoadError, errors.BackendLoadError, errors.DeviceError, FileNotFoundError)):
        return ApiError(503, text, code="model_not_usable")
    if isinstance(error, (ValueError, TypeError)):
        name, rest = re.fullmatch(r"(\w*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        field = {**_FIELDS, "ids": prompt, "prompt": prompt, "text": prompt}.get(name)
        if field is None:
            return ApiError(400, text, code="invalid_value")
        within = _WITHIN.match(rest)[0] if field in ("messages", "input") else ""  # type: ignore[index]
        return ApiError(400, f"{field}{rest}", param=f"{field}{within}", code="invalid_value")
    logger.error("a request failed", exc_info=error)
    if isinstance(error, errors.GPT4AllError):
        return ApiError(500, text, code="engine_error")
    return ApiError(500, "the server failed; its log says why", code="internal_error")


# json.dumps would make one for each chunk of a stream.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def as_text(value: object) -> str:
    """JSON as it goes over the wire."""
    return _encoder.encode(value)
