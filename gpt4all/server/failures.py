"""Errors in OpenAI's shape."""

from __future__ import annotations

import json
import logging
from typing import Any

from gpt4all import errors

logger = logging.getLogger("gpt4all.server")

#: Arguments of ``generate`` as requests call them, for messages that begin with one.
_FIELDS = {
    "temp": "temperature",
    "json_schema": "response_format",
    "grammar": "grammar",
    "logit_bias": "logit_bias",
    "stop": "stop",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "messages": "messages",
    "prompt": "messages",
    "text": "input",
    "dimensionality": "dimensions",
    "prefix": "prefix",
}


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


def as_api_error(error: BaseException) -> ApiError:
    """What a request is told; what nobody foresaw is logged, and tells nothing of itself."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, errors.ContextWindowExceededError):
        return ApiError(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, errors.InsufficientMemoryError):
        return ApiError(503, str(error), code="insufficient_memory", retry_after=10)
    if isinstance(error, errors.CancellationError):
        return ApiError(503, "the model was unloaded meanwhile; try again", code="cancelled", retry_after=1)
    if isinstance(error, (errors.ModelLoadError, errors.BackendLoadError, errors.DeviceError)):
        return ApiError(503, str(error), code="model_not_usable")
    if isinstance(error, FileNotFoundError):
        return ApiError(503, str(error), code="model_not_usable")
    if isinstance(error, (ValueError, TypeError)):
        name = str(error).partition(" ")[0].rstrip(":,")
        param = name if name.startswith(("messages[", "input[")) else _FIELDS.get(name.partition("[")[0])
        return ApiError(400, str(error), param=param, code="invalid_value")
    logger.error("a request failed", exc_info=error)
    if isinstance(error, errors.GPT4AllError):
        return ApiError(500, str(error), code="engine_error")
    return ApiError(500, "the server failed; its log says why", code="internal_error")


def as_text(value: object) -> str:
    """JSON as it goes over the wire."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
