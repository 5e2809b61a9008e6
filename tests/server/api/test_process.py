"""The server as a process: what it does not start with, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import testmodels
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gpt4all.server.listening import ListenError, _bound, _Connection, _Server
from tests.support.http.served import LONG, Running, begin, in_progress, running, until

pytestmark = pytest.mark.model


def rest_after_sigterm(server: Running, **more: int) -> list[str]:
    """What a stream still has when the server is told to end after its first line."""
    body = {"model": server.chat, **LONG, **more, "stream": True}
    with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        return [line for line in lines if line]


def test_sigterm_finishes_what_runs_and_takes_no_more() -> None:
    with running("--n-ctx", "1024", "--grace", "600", models=("smollm2",)) as server:
        rest = rest_after_sigterm(server, max_tokens=100)
        assert rest[-1] == "data: [DONE]"
        assert '"finish_reason":"length"' in rest[-2]
        assert server.process.wait(timeout=60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")


def said(server: Running) -> str:
    """What it wrote since it listens, once it has ended."""
    assert server.process.stderr is not None
    return server.process.stderr.read()


def quiet(server: Running) -> bool:
    """Whether it only spoke of its model."""
    return [line.split()[2] for line in said(server).splitlines()] == ["loading", "unloading"]


def refuses(server: Running) -> bool:
    try:
        httpx.get(f"{server.url}/health")
    except httpx.TransportError as error:  # another one came just before
        return isinstance(error, httpx.ConnectError)
    return False


def test_answers_are_cut_short_when_the_grace_is_over() -> None:
    with running("--n-ctx", "1024", "--grace", "0", models=("smollm2",)) as server:
        waiting = begin(server)
        until(lambda: in_progress(server) == 1)
        rest = rest_after_sigterm(server)
        assert rest[-1].startswith('data: {"error":{"message":"the server shuts down"')
        whole = waiting.makefile("rb").read()
        assert whole.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 10" in whole
        assert b'"code":"shutting_down"' in whole
        waiting.close()
        assert server.process.wait(timeout=60) == 5
        assert quiet(server)


def test_a_second_ctrl_c_ends_at_once() -> None:
    with running("--n-ctx", "1024", "--grace", "600", models=("smollm2",)) as server:
        body = {"model": server.chat, **LONG, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGINT)
            until(lambda: refuses(server))
            server.process.send_signal(signal.SIGINT)
            rest = [line for line in lines if line]
        assert '"code":"shutting_down"' in rest[-1]
        assert server.process.wait(timeout=60) == 130
        assert quiet(server)


def test_ctrl_c_without_work_ends_at_once() -> None:
    with running("--grace", "600", models=("smollm2",)) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=60) == 0
        assert said(server) == ""


def test_who_does_not_read_is_not_waited_for() -> None:
    with (
        running("--n-ctx", "1024", "--grace", "0", models=("tiny-llama",)) as server,
        begin(server, stream=True, n=8) as sleeping,
    ):
        assert sleeping.recv(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) in (0, 5)
        assert "Traceback" not in said(server)


def test_an_address_that_is_off_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ::1 of localhost in most containers."""
    found = [socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0] for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    (listening,) = _bound("localhost", 0)
    with listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    del found[1]
    with pytest.raises(ListenError, match="cannot listen on port 0 of --host localhost"):
        _bound("localhost", 0)


def test_all_addresses_of_a_host_have_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0] for host in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    first, second = _bound("localhost", 0)
    with first, second:
        assert first.getsockname()[1] == second.getsockname()[1] != 0
        assert [first.getsockname()[0], second.getsockname()[0]] == ["127.0.0.1", "127.0.0.2"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = b"" if scope["path"] == "/unread" else await Request(scope, receive).body()
    await PlainTextResponse(body)(scope, receive, send)


def test_headers_that_do_not_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte after byte, each soon after the one before; a body may take longer, unless nobody reads it."""
    monkeypatch.setattr("gpt4all.server.listening._HEADERS", 0.5)

    async def drip(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async def read_to_the_end(reader: asyncio.StreamReader) -> bytes | None:
        """``None`` where what the server had not read made the system drop what it had said."""
        try:
            return await reader.read()
        except ConnectionResetError:
            return None

    async def run() -> bytes:
        server = uvicorn.Server(uvicorn.Config(app, http=_Connection, lifespan="off", log_level="critical"))
        (bound,) = _bound("127.0.0.1", 0)
        with bound:
            serving = asyncio.create_task(server.serve([bound]))
            while not server.started:
                await asyncio.sleep(0)
            slow, dripping = await asyncio.open_connection(*bound.getsockname())
            dripping.write(b"GET / HTTP/1.1\r\nX: ")
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\na")
            _, refused = unread = await asyncio.open_connection(*bound.getsockname())
            refused.write(b"GET /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
            drops = [asyncio.create_task(drip(each)) for each in (dripping, refused)]
            assert not await read_to_the_end(slow)
            answered = await read_to_the_end(unread[0])
            assert answered is None or answered.endswith(b"\r\n\r\n")
            writer.write(b"b")
            answer = await reader.read()
            for drop in drops:
                drop.cancel()
            for each in (writer, dripping, refused):
                each.close()
            server.should_exit = True
            await serving
            return answer

    assert asyncio.run(run()).endswith(b"\r\n\r\nab")


def test_ctrl_c_twice_before_anything_runs() -> None:
    server = _Server(uvicorn.Config("none"), asyncio.Event(), 0)
    for _ in range(2):
        server.handle_exit(signal.SIGINT, None)
    assert server.should_exit
    assert not server.interrupted


def test_only_loopback_without_a_key() -> None:
    with pytest.raises(AssertionError, match="needs a key"), running("--host", "0.0.0.0", models=("smollm2",)):
        pass


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "99999"),
        ("--port", "-3"),
        ("--grace", "inf"),
        ("--max-memory", "-1"),
        ("--max-memory", "1e308"),
        ("--max-body", "1e308"),
        ("--parallel", "0"),
        ("--parallel", "100000"),
    ],
)
def test_numbers_that_make_no_sense(option: str, value: str) -> None:
    with pytest.raises(AssertionError) as raised, running(option, value, models=("smollm2",)):
        pass
    assert str(raised.value).startswith(f"gpt4all: error: {option} must be")
    assert "Traceback" not in str(raised.value)


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--device", "tpu", "no device"),
        ("--kv-type", "f64", "must be one of"),
        ("--n-ctx", "3", "must be at least 8"),
        ("--host", "192.0.2.1", "192.0.2.1"),
        ("--host", "nowhere.invalid", "is no address of this machine"),
        ("--host", "a..b", "is no address of this machine"),
        ("--model-path", "/no/such/folder", "is not an existing directory"),
    ],
)
def test_what_could_not_be_served_is_found_at_the_start(option: str, value: str, problem: str) -> None:
    with (
        pytest.raises(AssertionError) as raised,
        running(option, value, "--api-key", "k", models=("tiny-llama",)),
    ):
        pass
    assert problem in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert "gpt4all: error: " in str(raised.value)


def test_no_models(tmp_path: Path) -> None:
    nothing = running("--model-path", str(tmp_path), models=())
    with pytest.raises(AssertionError, match="there are no models here; name one"), nothing:
        pass


def test_a_port_that_is_taken(server: Running) -> None:
    command = [sys.executable, "-m", "gpt4all", "serve", str(testmodels.ensure("smollm2")), "--port", str(server.port)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert f"gpt4all: error: port {server.port} of 127.0.0.1 is in use already" in done.stderr
    assert "Traceback" not in done.stderr
