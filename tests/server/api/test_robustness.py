"""Clients that misbehave, too many of them, and the end of the server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from gpt4all.server import http
from gpt4all.server.completions import completions
from gpt4all.server.failures import as_api_error
from gpt4all.server.fields import check_finite
from gpt4all.server.metrics import Metrics
from gpt4all.server.pool import ModelPool
from gpt4all.server.settings import Settings
from tests.support.http.served import LONG, Running, begin, in_progress, running, until

pytestmark = pytest.mark.model


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_answer(server: Running, stream: bool) -> None:
    before = server.metrics()["gpt4all_completion_tokens_total"]
    connection = begin(server, stream=stream)
    if stream:
        assert connection.recv(1)
    else:
        until(lambda: in_progress(server) == 1)
    connection.close()
    until(lambda: in_progress(server) == 0)
    assert server.metrics()["gpt4all_completion_tokens_total"] - before < 900


def test_a_half_closed_connection_counts_as_left(server: Running) -> None:
    connection = begin(server, stream=True)
    assert connection.recv(1)
    connection.shutdown(socket.SHUT_WR)
    until(lambda: in_progress(server) == 0)
    connection.close()


def test_a_reader_that_sleeps_holds_nobody_up(server: Running) -> None:
    with begin(server, stream=True, max_tokens=800):
        # Nothing is read here, and others are served meanwhile.
        answer = server.post("/v1/completions", {"model": server.chat, "prompt": "1, 2, 3,", "max_tokens": 2})
        assert answer.status_code == 200


def test_many_connections(server: Running) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
    try:
        with ThreadPoolExecutor(16) as threads:
            bodies = [{"model": server.chat, "prompt": f"{number},", "max_tokens": 2} for number in range(48)]
            codes = list(threads.map(lambda body: server.post("/v1/completions", body).status_code, bodies))
        assert codes == [200] * 48
    finally:
        for connection in idle:
            connection.close()


def test_large_bodies_and_headers_are_refused(server: Running) -> None:
    large = httpx.post(
        f"{server.url}/v1/completions",
        content=iter([b"x" * (1 << 20)] * 20),
        headers={"Content-Type": "application/json"},
    )
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {100 << 20}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (80 << 10))
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_BODY_SECONDS", 0.01)

    async def run() -> Response:
        settings = Settings()
        service = http.Service(ModelPool({}, settings), settings, Metrics(), asyncio.Event())
        messages = [{"type": "http.request", "body": b"{", "more_body": True}]

        async def receive() -> Message:
            return messages.pop() if messages else await asyncio.Future()

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": headers}
        return await http.handler(service, completions)(Request(scope, receive))

    answer = asyncio.run(run())
    assert answer.status_code == 408
    assert b'"code":"timeout"' in answer.body


def test_a_silent_stream_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_KEEP_ALIVE", 0.01)

    async def run() -> list[str]:
        sent: list[str] = []
        waited = asyncio.Event()

        async def rest() -> AsyncGenerator[str, None]:
            await waited.wait()
            yield "second"

        async def send(message: Message) -> None:
            sent.append(message.get("body", b"").decode())
            if sent.count(": waiting\n\n") == 2:
                waited.set()

        async def receive() -> Message:
            return await asyncio.Future()

        stream = http.EventStream("first", rest(), "/v1/completions", asyncio.Event(), 60)
        await stream({"type": "http"}, receive, send)
        return sent[1:]

    assert asyncio.run(run()) == ["first", ": waiting\n\n", ": waiting\n\n", "second", ""]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"a": NaN}', b"\xff", b'{"a": 1e999}'])
def test_bodies_that_are_no_objects(server: Running, body: bytes) -> None:
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("NaN", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("1e999", "a number is too large"),
    ],
)
def test_numbers_that_json_has_not(number: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}"):
        json.loads(f'{{"a": {number}}}', parse_float=check_finite, parse_constant=check_finite)


def test_a_key_with_a_space_is_named_whole() -> None:
    for where in ("messages[1]['a key']", "messages[0]['it\\'s]'][2]", 'messages[0]["it\'s a"]', "messages[3]"):
        for end in (" is wrong", ", the last message, is wrong", "'s key is wrong"):
            assert as_api_error(ValueError(where + end)).param == where


def test_half_a_surrogate_pair_is_refused(server: Running) -> None:
    body = json.dumps({"model": server.chat, "messages": [{"role": "user", "content": "\ud800"}]})
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages[0]['content']")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:4891"}, 200),
        ({"Host": "192.168.1.7:80"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "https://localhost:1", "Host": "localhost:2"}, 403),
        ({"Origin": "http://localhost:7", "Host": "localhost:7"}, 200),
    ],
)
def test_hosts_and_origins(server: Running, headers: dict[str, str], status: int) -> None:
    answer = httpx.get(f"{server.url}/v1/models", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_a_form_of_a_foreign_page_is_refused(server: Running) -> None:
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_who_does_not_read_is_cut_off() -> None:
    left = []

    async def events() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "data: x\n\n"
        finally:
            left.append("place")

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def main() -> None:
        rest = events()
        first = await anext(rest)
        await http.EventStream(first, rest, "/v1/completions", asyncio.Event(), 0.01)({}, receive, send)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert left == ["place"]


def test_keys_origins_and_a_full_queue() -> None:
    options = ("--api-key", "sesame", "--allowed-origin", "https://app.example", "--parallel", "1", "--queue", "1")
    with running(*options, "--n-ctx", "1024", models=("smollm2",)) as server:
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        assert httpx.get(f"{server.url}/models").status_code == 401
        assert httpx.get(f"{server.url}/models/{server.chat}").status_code == 401
        refused = httpx.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer simsalabim"})
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert refused.headers["www-authenticate"] == "Bearer"
        assert [model.id for model in server.client("sesame").models.list()] == [server.chat]
        one = httpx.get(f"{server.url}/models/{server.chat}", headers={"Authorization": "Bearer sesame"})
        assert one.json()["id"] == server.chat
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert httpx.get(f"{server.url}/").status_code == 200

        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        preflight = httpx.options(f"{server.url}/v1/chat/completions", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"

        key = {"Authorization": "Bearer sesame"}
        body = {"model": server.chat, **LONG, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, headers=key, timeout=60) as first:
            lines = first.iter_lines()
            next(lines)
            second = threading.Thread(
                target=server.client("sesame").completions.create,
                kwargs={"model": server.chat, "prompt": "1,", "max_tokens": 1},
            )
            second.start()
            busy = f'gpt4all_answers_in_progress{{model="{server.chat}"}} 2'
            until(lambda: busy in httpx.get(f"{server.url}/metrics", headers=key).text)
            third = server.post("/v1/completions", {**body, "stream": False}, headers=key)
            assert (third.status_code, third.json()["error"]["code"]) == (429, "queue_full")
            assert int(third.headers["retry-after"]) >= 1
        second.join()


def test_models_take_turns_within_a_limit_of_memory() -> None:
    with running("--n-ctx", "256", "--parallel", "1", "--max-memory", "0.13") as server:
        for model in (server.chat, server.embed, server.chat):
            path = "/v1/embeddings" if model == server.embed else "/v1/completions"
            body = {"model": model, "input": "x", "prompt": "x", "max_tokens": 1}
            assert server.post(path, body).status_code == 200
            loaded = {
                name: server.metrics()[f'gpt4all_model_loaded{{model="{name}"}}']
                for name in (server.chat, server.embed)
            }
            assert loaded == {server.chat: float(model == server.chat), server.embed: float(model == server.embed)}
    with running("--max-memory", "0.05", models=("smollm2",)) as server:
        refused = server.post("/v1/completions", {"model": server.chat, "prompt": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "insufficient_memory")
