"""The server as a process: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpt4all.server.app import create_app
from gpt4all.server.pool import Served
from gpt4all.server.settings import Settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Seconds for answers that were cut short to say so, and for what hangs after that.
_LEAVING = 10
#: Seconds between requests of a connection.
_IDLE = 75
#: Seconds for the headers of a request, the time before them included.
_HEADERS = 90


class ListenError(Exception):
    """There is no listening at this address; the message says why, and what to do."""


class _Connection(H11Protocol):
    """Ends where headers do not come in time, nor the rest of a body that nobody reads.

    uvicorn bounds silence only; a byte now and then would hold it open.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def _watch(self) -> None:
        answered = getattr(self.cycle, "response_complete", False)
        if answered or self.conn.their_state is h11.IDLE:
            if self._deadline is None:
                self._deadline = self.loop.call_later(_HEADERS, self.timeout_keep_alive_handler)
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Says where it listens when it does, and ends without an error when it is told to; at once when told twice."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event, grace: float) -> None:
        super().__init__(config)
        self._ending = ending
        self._grace = grace
        self._signals: list[int] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.has_finished = True

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C cut answers short."""
        return not self.has_finished and self._signals[-1:] == [signal.SIGINT] and len(self._signals) > 1

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for listening in (sockets or ()) if self.started else ():
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"listening on http://{shown}:{port}", file=sys.stderr, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals.append(sig)
        self.should_exit = True
        if len(self._signals) == 2:
            if self._loop is not None:  # else nothing runs yet, and it ends as soon as it has begun
                self._loop.call_soon_threadsafe(self._end)
        elif len(self._signals) > 2:  # something hangs
            os._exit(128 + sig)

    def _end(self) -> None:
        self.has_finished = not self.server_state.tasks
        # What is cut short now has its reasons, and no traceback.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._ending.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(self._grace, self._end)
        await super().shutdown(sockets)
        timer.cancel()

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


def serve(models: dict[str, Served], settings: Settings) -> bool:
    """Serves until SIGTERM or Ctrl-C; what runs then may take ``settings.grace`` seconds more, or ends at another.

    Returns:
        Whether all of it was finished.

    Raises:
        ListenError: it cannot listen.
        KeyboardInterrupt: a second Ctrl-C cut answers short.
    """
    ending = asyncio.Event()
    config = uvicorn.Config(
        create_app(models, settings, ending),
        # Also where a quicker parser is installed, for this one bounds the headers.
        http=_Connection,
        log_level="warning",
        lifespan="on",
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=int(settings.grace) + _LEAVING,
        timeout_keep_alive=_IDLE,
        backlog=2048,
    )
    server = _Server(config, ending, settings.grace)
    server.run(_bound(settings.host, settings.port))
    if server.interrupted:
        raise KeyboardInterrupt
    return server.started and server.has_finished


def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses that the host has, but for those of networks that are off, as ::1 in a container.

    All have the same port, also where any free one will do.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"--host {host} is no address of this machine: {error}") from None
    with contextlib.ExitStack() as closing:
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = None
            try:
                listening = closing.enter_context(socket.socket(family, kind, protocol))
                if os.name == "posix":
                    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind((address[0], port, *address[2:]))
                port = listening.getsockname()[1]
                sockets.append(listening)
            except OSError as error:
                problem = ListenError(_why_not(host, port, error))
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise problem from None
                if listening is not None:
                    listening.close()
        if not sockets:
            raise problem
        closing.pop_all()
        return sockets


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use already, maybe by another gpt4all serve or the GPT4All application; "
            "--port takes another number, or 0 for any free one"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is the administrator's, as all below 1024 may be; --port takes another number"
    return f"cannot listen on port {port} of --host {host}: {error.strerror}"
