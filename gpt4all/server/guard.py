"""Who may ask: the ``Host`` and ``Origin`` of a request, and its key. An ASGI application around another."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt4all.server.failures import ApiError
from gpt4all.server.settings import Settings

_CORS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}
_NEEDS_KEY = ("/v1/", "/tokenize", "/metrics")
#: Where clients ask that were given the address without /v1.
_SHORT = {f"/{name}" for name in ("chat/completions", "completions", "embeddings", "models", "responses")}


class Guard:
    """Answers those who may not ask by itself.

    A page of another site can have a browser send requests here: by a name of its own that it points to this machine
    (DNS rebinding), which ``Host`` tells, or from where it is, which ``Origin`` tells.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._keys = [key.encode() for key in settings.api_keys]
        self._names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in _SHORT or scope["path"].startswith("/models/"):
            scope = {**scope, "path": f"/v1{scope['path']}"}
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        cors = origin is not None and origin in self._settings.allowed_origins

        async def send_with_origin(message: Message) -> None:
            if cors and message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["Access-Control-Allow-Origin"] = origin or ""
                answer["Vary"] = "Origin"
            await send(message)

        problem = self._host_problem(headers) or self._origin_problem(headers)
        if problem is None and cors and scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_CORS)(scope, receive, send_with_origin)
            return
        problem = problem or self._key_problem(scope["path"], headers)
        if problem is None:
            await self._app(scope, receive, send_with_origin)
            return
        response = JSONResponse(problem.body(), problem.status, headers=problem.headers)
        await response(scope, receive, send_with_origin)

    def _host_problem(self, headers: Headers) -> ApiError | None:
        host = _hostname(f"//{headers.get('host', '')}")
        # An address in numbers is none that a foreign page could have pointed here.
        if host is None or host in self._names or _is_address(host):
            return None
        return ApiError(
            403, f"the host {host[:100]!r} is not served here; --allowed-host adds one", code="host_not_allowed"
        )

    def _origin_problem(self, headers: Headers) -> ApiError | None:
        origin = headers.get("origin")
        if origin is None or origin in self._settings.allowed_origins:
            return None
        host = headers.get("host", "")
        if origin in (f"http://{host}", f"https://{host}"):
            return None
        return ApiError(
            403,
            f"pages of {origin[:100]} may not ask this server; --allowed-origin adds them",
            code="origin_not_allowed",
        )

    def _key_problem(self, path: str, headers: Headers) -> ApiError | None:
        if not self._keys or not path.startswith(_NEEDS_KEY):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        # All of them, so that the time tells nothing.
        matches = [hmac.compare_digest(given.strip().encode(), key) for key in self._keys]
        if kind.lower() == "bearer" and any(matches):
            return None
        problem = "is not one of this server's" if given else "is missing; send it as Authorization: Bearer KEY"
        return ApiError(401, f"the API key {problem}", code="invalid_api_key")


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listens_on_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


SECURITY_HEADERS: dict[str, Any] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
