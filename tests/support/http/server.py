"""A real HTTP server on the loopback interface that misbehaves on request."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlsplit

__all__ = ["HttpServer", "Received", "Reply", "Resource", "nobody_listening"]


@dataclass
class Resource:
    """A file the server has. Without validators a client cannot ask whether it has changed."""

    content: bytes
    etag: str | None = '"v1"'
    last_modified: str | None = None
    content_type: str = "application/octet-stream"


@dataclass
class Reply:
    """How to answer one request. The default is what a good server does."""

    status: int | None = None
    """This status with a short text instead of the file."""
    reason: str | None = None
    """The phrase behind the status; None for the usual one."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent in place of, or besides, the right ones."""
    body: bytes | None = None
    """Sent instead of the right body; the headers stay."""
    framing: Literal["length", "chunked", "close"] = "length"
    compress: bool = False
    ignore_range: bool = False
    close_after: int | None = None
    """Close the connection after so many bytes of the body."""
    reset_after: int | None = None
    """Reset it, so that bytes on the way may be lost too. -1: before the status line."""
    hold_after: int | None = None
    """After so many bytes of the body wait until the server's ``release`` is set. -1: before the status line."""
    trickle: float | None = None
    """Seconds between single bytes of the body."""
    trickle_head: float | None = None
    """Seconds between single bytes of an endless head."""
    interim: int = 0
    """So many answers ``100 Continue`` come first."""


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    path: str
    headers: Message
    client_port: int
    """Differs from connection to connection."""


class HttpServer:
    """Serves ``resources`` (path → Resource); a context manager.

    ``script`` (path → replies) is used up one reply a request, ``always`` (path → reply) answers after that.
    ``received`` lists all requests. With ``certificate`` (a PEM file with its key) it speaks TLS.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.resources: dict[str, Resource] = {}
        self.script: dict[str, list[Reply]] = {}
        self.always: dict[str, Reply] = {}
        self.received: list[Received] = []
        self.release = threading.Event()
        self.holding = threading.Event()
        outer = self

        class Handler(_Handler):
            server_state = outer

        self._httpd = _QuietServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._httpd.socket = context.wrap_socket(self._httpd.socket, server_side=True)
        self._scheme = "http" if certificate is None else "https"
        self._thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> HttpServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._httpd.shutdown()
        self._httpd.hang_up()
        self._httpd.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._httpd.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def add(self, path: str, content: bytes, *replies: Reply, etag: str | None = '"v1"') -> str:
        """Put a resource at ``path``, answered first as ``replies`` say; returns its address."""
        self.resources[path] = Resource(content, etag)
        self.script[path] = list(replies)
        return self.url(path)

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [request.path for request in self.received]

    def ranges(self, path: str) -> list[str | None]:
        """The ``Range`` header of each request for ``path``."""
        return [request.headers.get("Range") for request in self.received if request.path == path]

    def next_reply(self, path: str) -> Reply:
        replies = self.script.get(path)
        return replies.pop(0) if replies else self.always.get(path, Reply())


@contextlib.contextmanager
def nobody_listening() -> Iterator[str]:
    """The beginning of an address that refuses connections; its port is taken, so that nobody else answers there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class _QuietServer(ThreadingHTTPServer):
    # Every handler is joined at the end, so that no thread or socket outlives its test.
    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep for later, which their handlers would wait for."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are what the tests are about."""


class _HangUpError(Exception):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: HttpServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        state = self.server_state
        parts = urlsplit(self.path)  # a proxy is sent whole addresses
        path = self.path if not parts.scheme else parts.path
        state.received.append(Received(path, self.headers, self.client_address[1]))
        reply = state.next_reply(parts.path)
        try:
            self._answer(reply, state.resources.get(parts.path))
        except (_HangUpError, ConnectionError):
            self.close_connection = True

    def _answer(self, reply: Reply, resource: Resource | None) -> None:
        if reply.reset_after == -1:
            self._reset()
        if reply.hold_after == -1:
            self.server_state.release.wait()
        self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * reply.interim)
        while reply.trickle_head is not None:
            self.connection.sendall(b"x")
            self.server_state.release.wait(reply.trickle_head)
        if reply.status is not None or resource is None:
            self._send(reply.status or 404, {}, b"a short text", reply)
            return
        headers = {"Content-Type": resource.content_type}
        if resource.etag is not None:
            headers["ETag"] = resource.etag
        if resource.last_modified is not None:
            headers["Last-Modified"] = resource.last_modified
        if resource.etag is not None and self.headers.get("If-None-Match") == resource.etag:
            self._send(304, headers, b"", reply)
            return
        content, size = resource.content, len(resource.content)
        start = None if reply.ignore_range else self._range_start(resource)
        if start is not None and start >= size:
            self._send(416, {"Content-Range": f"bytes */{size}"}, b"", reply)
        elif start is not None:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            self._send(206, headers, content[start:], reply)
        else:
            if reply.compress:
                headers["Content-Encoding"] = "gzip"
                content = gzip.compress(content, mtime=0)
            self._send(200, headers, content, reply)

    def _range_start(self, resource: Resource) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if match is None or condition not in (None, resource.etag, resource.last_modified):
            return None
        return int(match[1])

    def _send(self, status: int, headers: dict[str, str], body: bytes, reply: Reply) -> None:
        body = body if reply.body is None else reply.body
        headers = {**headers, **reply.headers}
        if reply.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif reply.framing == "close":
            headers["Connection"] = "close"
            self.close_connection = True
        else:
            headers.setdefault("Content-Length", str(len(body)))
        self.send_response(status, reply.reason)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in self._pieces(body, reply):
            if reply.framing == "chunked":
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            self.wfile.write(piece)
        if reply.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    def _pieces(self, body: bytes, reply: Reply) -> Iterator[bytes]:
        """The body in pieces, with what ``reply`` wants to happen between them."""
        state = self.server_state
        if reply.trickle is not None:
            for position in range(len(body)):
                yield body[position : position + 1]
                state.release.wait(reply.trickle)
            return
        stops = {reply.close_after, reply.reset_after, reply.hold_after}
        position = 0
        for stop in sorted(stop for stop in stops if stop is not None and 0 <= stop <= len(body)):
            if stop > position:
                yield body[position:stop]
            position = stop
            if stop == reply.hold_after:
                state.holding.set()
                state.release.wait()
            if stop == reply.reset_after:
                self._reset()
            if stop == reply.close_after:
                raise _HangUpError
        for start in range(position, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    def _reset(self) -> None:
        # Lingering for zero seconds makes close() send a reset; detached, nothing says an orderly goodbye first.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())
        raise _HangUpError
