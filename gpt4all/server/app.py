"""The application: what is where."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from gpt4all.server.chat import chat_completions
from gpt4all.server.completions import completions
from gpt4all.server.embeddings import embeddings
from gpt4all.server.failures import ApiError, as_api_error, bad
from gpt4all.server.fields import Fields
from gpt4all.server.guard import SECURITY_HEADERS, Guard
from gpt4all.server.http import Endpoint, Events, Service, handler
from gpt4all.server.metrics import CONTENT_TYPE, Metrics
from gpt4all.server.openapi import description
from gpt4all.server.pool import ModelPool, Served
from gpt4all.server.responses import responses
from gpt4all.server.settings import Settings

_PAGE = Path(__file__).with_name("page")

_ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": chat_completions,
    "/v1/completions": completions,
    "/v1/embeddings": embeddings,
    "/v1/responses": responses,
}


def create_app(models: dict[str, Served], settings: Settings, ending: asyncio.Event) -> ASGIApp:
    """The ASGI application that serves ``models``, which it unloads in the end; ``ending`` cuts answers short."""
    service = Service(ModelPool(models, settings), settings, Metrics(), ending)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.pool.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await service.pool.close()

    endpoints = {**_ENDPOINTS, "/tokenize": _tokenize}
    routes: list[BaseRoute] = [
        Route(path, handler(service, endpoint), methods=["POST"]) for path, endpoint in endpoints.items()
    ]
    routes += _plain(service)
    page = _Page(directory=_PAGE, html=True)
    # Each by its name: what matches everything would answer for what is asked with another method.
    routes += [Route(path, page) for path in ("/", *(f"/{file.name}" for file in sorted(_PAGE.iterdir())))]
    errors: Any = {HTTPException: _http_error, ApiError: _unforeseen, Exception: _unforeseen}
    return Guard(Starlette(routes=routes, lifespan=lifespan, exception_handlers=errors), settings)


class _Page(StaticFiles):
    """The chat page, which loads nothing from elsewhere and is shown in no other page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(SECURITY_HEADERS)
        return response


def _plain(service: Service) -> list[BaseRoute]:
    async def models(_: Request) -> Response:
        found = [service.pool.describe(served) for served in service.pool.models.values()]
        return JSONResponse({"object": "list", "data": found})

    async def model(request: Request) -> Response:
        return JSONResponse(service.pool.describe(service.pool.find(request.path_params["name"])))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(service.metrics.text(service.pool), media_type=CONTENT_TYPE)

    async def openapi(_: Request) -> Response:
        return JSONResponse(description(service.settings))

    return [
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
    ]


async def _tokenize(service: Service, fields: Fields) -> dict[str, Any] | Events:
    served = service.pool.find(fields.raw("model"))
    text = fields.text("content")
    if text is None:
        text = fields.text("prompt")
    if text is None:
        raise bad("content", "is missing")
    async with service.pool.lease(served):
        model = served.generator
        tokens = await asyncio.to_thread(model.tokenize, text)
        return {"tokens": tokens, "count": len(tokens), "max_model_len": model.model.n_ctx}


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    found = ApiError(error.status_code, str(error.detail), code="not_found" if error.status_code == 404 else None)
    return JSONResponse(found.body(), found.status, headers=error.headers)


async def _unforeseen(_: Request, error: Exception) -> Response:
    found = as_api_error(error)
    return JSONResponse(found.body(), found.status, headers=found.headers)
