"""The server as a process: where it listens, and how it ends."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from gpt4all.server.settings import Settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """Says where it listens when it does, and ends without an error when it is told to."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for server in self.servers:
                host, port = server.sockets[0].getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                print(f"listening on http://{shown}:{port}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)


def serve(app: ASGIApp, settings: Settings, *, log_level: str = "warning") -> bool:
    """Serves until SIGTERM or Ctrl-C; what runs then may take ``settings.grace`` seconds more, or ends at another.

    Returns:
        Whether it could listen.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=log_level,
        lifespan="on",
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=int(settings.grace),
        timeout_keep_alive=75,
        backlog=2048,
    )
    server = _Server(config)
    try:
        server.run()
    except SystemExit:  # uvicorn's, with a status of its own, after it has said why
        return False
    return server.started
