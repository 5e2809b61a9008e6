"""A ``requests`` session for one big answer at a time, from a server that may be hostile.

Imported on first use, because ``requests`` is slow to import.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator
from typing import Any

import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.connectionpool

__all__ = ["Connection"]

# Ten times the largest heads there are.
_MAX_HEAD_BYTES = 1 << 18


class Connection(requests.Session):
    """A session that can speak http and https and nothing else.

    The head of an answer, interim ones such as ``100 Continue`` included, must be there ``head_timeout`` seconds after
    the request: ``requests`` itself bounds only the silence between two of its bytes.
    """

    def __init__(self, head_timeout: float) -> None:
        super().__init__()
        self.adapters.clear()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(head_timeout))
        self.headers["User-Agent"] = f"python-gpt4all {requests.utils.default_user_agent()}"
        # What ``http.body`` undoes.
        self.headers["Accept-Encoding"] = "gzip"
        # One big answer a connection: nothing is gained by keeping it. ``http.get`` sees to our side of that.
        self.headers["Connection"] = "close"

    def resolve_redirects(self, *args: Any, **options: Any) -> Iterator[Any]:
        """None: ``http.get`` follows them.

        Even when told not to, requests prepares to, and for that reads the whole body of the redirect, however long a
        hostile server makes it.
        """
        return iter(())


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, head_timeout: float) -> None:
        self._pool_classes = _pool_classes(head_timeout)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # those have connections of their own, and are the user's choice
            manager.pool_classes_by_scheme = self._pool_classes
        return manager


def _pool_classes(head_timeout: float) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class Response(_BoundedResponse):
        timeout = head_timeout

    class Connection(urllib3.connection.HTTPConnection):
        response_class = Response

    class SecureConnection(urllib3.connection.HTTPSConnection):
        response_class = Response

    class HTTPConnectionPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class HTTPSConnectionPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}


class _BoundedResponse(http.client.HTTPResponse):
    timeout: float

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._source = _HeadSource(self.fp.detach(), self.timeout)
        self.fp = io.BufferedReader(self._source)

    def begin(self) -> None:
        super().begin()
        self._source.unbound()


class _HeadSource(io.RawIOBase):
    """The bytes of a connection; until ``unbound`` is called, only so many for so long."""

    def __init__(self, raw: io.RawIOBase, timeout: float) -> None:
        super().__init__()
        self._raw = raw
        self._deadline: float | None = time.monotonic() + timeout
        self._left = _MAX_HEAD_BYTES

    def unbound(self) -> None:
        self._deadline = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self._deadline is not None:
            if time.monotonic() >= self._deadline:
                raise TimeoutError("timed out: the head of the answer comes too slowly")
            if self._left <= 0:
                raise http.client.HTTPException(f"the head of the answer has over {_MAX_HEAD_BYTES} bytes")
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()
