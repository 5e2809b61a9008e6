"""A stand-in for the server under the chat page: OpenAI's API, with answers that a test writes piece by piece."""

from __future__ import annotations

import contextlib
import json
import queue
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gpt4all.server.guard import SECURITY_HEADERS

__all__ = ["PAGE", "POLICY", "Answer", "ChatServer", "chat_server"]

PAGE = Path(__file__).resolve().parents[3] / "gpt4all" / "server" / "page"
#: What the page has to work under.
POLICY = SECURITY_HEADERS["Content-Security-Policy"]
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript"}
_WAIT = 30


@dataclass
class Answer:
    """One request for an answer, which goes on as the test says."""

    request: dict[str, Any]
    authorization: str | None
    left: threading.Event = field(default_factory=threading.Event)
    """The client has gone."""
    _steps: queue.Queue[bytes | None] = field(default_factory=queue.Queue)

    def send(self, text: str, *, kind: str = "content") -> None:
        self.event({"choices": [{"index": 0, "delta": {kind: text}, "finish_reason": None}]})

    def event(self, data: object) -> None:
        """Some JSON, or what ends a stream, as one event."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.raw(f"data: {text}\n\n".encode())

    def raw(self, data: bytes) -> None:
        self._steps.put(data)

    def finish(self, *, reason: str = "stop", tokens: int = 12) -> None:
        """Ends as the real server does: the reason, then the usage without choices, then the mark."""
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        self.event(
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}}
        )
        self.event("[DONE]")
        self.hang_up()

    def hang_up(self) -> None:
        self._steps.put(None)

    def serve(self, connection: socket.socket) -> None:
        """Writes what the test gives until it says that this was all, or the client goes."""
        while True:
            with contextlib.suppress(queue.Empty):
                step = self._steps.get(timeout=0.02)
                if step is None:
                    return
                try:
                    connection.sendall(b"%x\r\n%s\r\n" % (len(step), step))
                except OSError:
                    self.left.set()
                    return
            if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
                self.left.set()
                return


class ChatServer:
    """Serves the page and the API; what a test sets is read at each request."""

    def __init__(self) -> None:
        self.models: list[str] = ["small-model", "large-model"]
        self.key: str | None = None
        self.refusal: tuple[int, dict[str, object], dict[str, str]] | None = None
        """Status, error and headers of the next answer, instead of a stream."""
        self.requested: list[str] = []
        self._connections: list[socket.socket] = []
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self) -> Answer:
        """The next request for an answer."""
        return self._answers.get(timeout=_WAIT)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server._connections.append(self.connection)

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.requested.append(self.path)
                if self.path == "/v1/models":
                    self._json(200, {"data": [{"id": name, "object": "model"} for name in server.models]})
                    return
                file = PAGE / (self.path.strip("/") or "index.html")
                if file.parent != PAGE or not file.is_file():
                    self._body(404, b"", "text/plain", {})
                    return
                self._body(200, file.read_bytes(), _TYPES[file.suffix], {"Content-Security-Policy": POLICY})

            def do_POST(self) -> None:
                server.requested.append(self.path)
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if server.refusal:
                    (status, error, headers), server.refusal = server.refusal, None
                    self._json(status, {"error": error}, headers)
                    return
                if not self._allowed():
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                answer = Answer(request, self.headers["Authorization"])
                server._answers.put(answer)
                answer.serve(self.connection)
                with contextlib.suppress(OSError):
                    self.connection.sendall(b"0\r\n\r\n")
                self.close_connection = answer.left.is_set()

            def _allowed(self) -> bool:
                if server.key and self.headers["Authorization"] != f"Bearer {server.key}":
                    self._body(
                        401,
                        b'{"error": {"message": "wrong API key", "code": "invalid_api_key"}}',
                        "application/json",
                        {},
                    )
                    return False
                return True

            def _json(self, status: int, data: object, headers: dict[str, str] | None = None) -> None:
                if self._allowed():
                    self._body(status, json.dumps(data).encode(), "application/json", headers or {})

            def _body(self, status: int, body: bytes, content_type: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        return Handler


@contextlib.contextmanager
def chat_server() -> Iterator[ChatServer]:
    server = ChatServer()
    try:
        yield server
    finally:
        server.close()
