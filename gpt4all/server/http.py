"""From HTTP to an endpoint and back: the body, events, errors, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gpt4all.server.failures import ApiError, as_api_error, as_text
from gpt4all.server.fields import Fields, check_finite
from gpt4all.server.metrics import Metrics
from gpt4all.server.pool import ModelPool
from gpt4all.server.settings import Settings

logger = logging.getLogger("gpt4all.server")

T = TypeVar("T")

#: Lines of an event stream, the blank one after each event included.
Events = AsyncGenerator[str, None]
#: Answers a request by an object, or by events.
Endpoint = Callable[["Service", Fields], Awaitable["dict[str, Any] | Events"]]
#: Seconds that a client may take to send its body.
_BODY_SECONDS = 60
#: Seconds of silence after which a comment shows that the connection is alive.
_KEEP_ALIVE = 10
#: Seconds for a stream to say why it ends too soon.
_LAST_WORDS = 2


class ClientLeftError(Exception):
    """Nobody is there to be answered."""


@dataclass(frozen=True)
class Service:
    """What endpoints work with.

    Attributes:
        ending: set when answers may take no more time, for the process is to end.
    """

    pool: ModelPool
    settings: Settings
    metrics: Metrics
    ending: asyncio.Event


def handler(service: Service, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for Starlette."""

    async def handle(request: Request) -> Response:
        service.metrics.in_flight += 1
        status = 499
        try:
            response = await _respond(service, endpoint, request)
            status = response.status_code
            return response
        except ClientLeftError:
            return Response(status_code=status)
        finally:
            service.metrics.in_flight -= 1
            service.metrics.requests[request.url.path, status] += 1

    return handle


async def _respond(service: Service, endpoint: Endpoint, request: Request) -> Response:
    try:
        body = await asyncio.wait_for(_body(request, service.settings.max_body), _BODY_SECONDS)
        fields = Fields(_parse(body))
        if service.settings.log_requests:
            logger.info("%s %s", request.url.path, body.decode("utf-8", "replace"))
        work = _first(endpoint(service, fields), request.url.path, service)
        return await while_connected(request.receive, work, service.ending)
    except (asyncio.TimeoutError, TimeoutError):
        return _error(ApiError(408, f"the body did not come within {_BODY_SECONDS} seconds", code="timeout"))
    except ClientLeftError:
        raise
    except Exception as error:
        return _error(as_api_error(error, request.url.path))


async def _first(answer: Awaitable[dict[str, Any] | Events], path: str, service: Service) -> Response:
    """The response; of a stream, with its first event: what fails before that is an error like any other."""
    result = await answer
    if isinstance(result, dict):
        return Response(as_text(result), media_type="application/json")
    try:
        first = await anext(result)
    except BaseException:
        await result.aclose()
        raise
    return EventStream(first, result, path, service.ending, service.settings.timeout + _LAST_WORDS)


class EventStream(Response):
    """Server-sent events, to their end or the client's; for so many seconds at most, as a client may not read."""

    def __init__(self, first: str, rest: Events, path: str, ending: asyncio.Event, seconds: float) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._path = path
        self._ending = ending
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._rest):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            with contextlib.suppress(ClientLeftError, OSError, asyncio.TimeoutError):
                try:
                    work = while_connected(receive, self._write(send), self._ending)
                    await asyncio.wait_for(work, self._seconds)
                except ApiError as error:
                    # Whoever does not read is not waited for.
                    await asyncio.wait_for(self._end(send, event(error.body())), _LAST_WORDS)

    async def _write(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        last_word = loop.time()

        async def write(text: str) -> None:
            nonlocal last_word
            last_word = loop.time()
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async def stay_alive() -> None:
            while True:
                await asyncio.sleep(last_word + _KEEP_ALIVE - loop.time())
                if loop.time() >= last_word + _KEEP_ALIVE:
                    await write(": waiting\n\n")

        beat = asyncio.create_task(stay_alive())
        try:
            await write(self._first)
            async for text in self._rest:
                await write(text)
        except Exception as error:
            await write(event(as_api_error(error, self._path).body()))
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        await self._end(send)

    async def _end(self, send: Send, last: str = "") -> None:
        await send({"type": "http.response.body", "body": last.encode(), "more_body": False})


def event(value: object, kind: str | None = None) -> str:
    """One event."""
    return (f"event: {kind}\n" if kind else "") + f"data: {as_text(value)}\n\n"


DONE = "data: [DONE]\n\n"


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T], ending: asyncio.Event) -> T:
    """Does ``work``, and stops it when the client leaves, or the process is to end.

    Raises:
        ClientLeftError: it has.
        ApiError: it is.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(receive))
    over = asyncio.create_task(ending.wait())
    try:
        await asyncio.wait({task, gone, over}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientLeftError
        raise ApiError(503, "the server shuts down", code="shutting_down", retry_after=10)
    finally:
        for one in (task, gone, over):
            one.cancel()
        await asyncio.gather(task, gone, over, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, limit: int) -> bytes:
    too_large = ApiError(413, f"the body is larger than {limit} bytes", code="body_too_large")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_large
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Other types a browser sends without asking first.
    if kind != "application/json":
        raise ApiError(415, "the body must be JSON, with Content-Type: application/json", code="unsupported_media_type")
    chunks, size = [], 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise too_large
        if not message.get("more_body"):
            return b"".join(chunks)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_float=check_finite, parse_constant=check_finite)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    return value


def _error(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, headers=error.headers)
