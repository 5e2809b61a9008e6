"""HTTP as the catalogue and the downloads need it: time-outs, redirects, stalls, waiting times.

``requests`` does the work, so proxies, CA bundles and netrc follow its environment variables. It is imported on first
use, because ``import gpt4all`` must stay fast.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from gpt4all.errors import GPT4AllError

if TYPE_CHECKING:
    import requests

__all__ = [
    "POLICY",
    "TransferPolicy",
    "address_key",
    "body",
    "connect",
    "get",
    "never_connected",
    "printable",
    "reason",
    "retry_after_seconds",
    "shown",
]

_MAX_REDIRECTS = 10
# Large enough that Python's cost per block vanishes beside copying and hashing it; see scripts/bench/downloads.py.
_BLOCK_SIZE = 1 << 18


@dataclass(frozen=True)
class TransferPolicy:
    """How patient transfers are. Times are in seconds.

    ``attempts`` counts tries in a row that brought nothing new; ``min_progress`` new bytes start the count again. The
    pause before the next try doubles from ``backoff`` to ``max_backoff``, or is what the server asks for; a server that
    asks for more than ``max_retry_after`` ends the download. The head of an answer must come within ``read_timeout``
    seconds, and a transfer that brings fewer than ``min_progress`` bytes in that time is stalled.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    min_progress: int = 16 * 1024
    attempts: int = 5
    backoff: float = 0.5
    max_backoff: float = 30.0
    max_retry_after: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int) -> float:
        """Seconds to wait after ``failures`` (at least 1) tries in a row."""
        return min(self.backoff * 2.0 ** (failures - 1), self.max_backoff)


POLICY = TransferPolicy()
"""The policy of every transfer; assign another one to change it."""


def connect() -> requests.Session:
    """A connection that can speak http and https and nothing else."""
    from gpt4all.downloads.connection import Connection

    return Connection(POLICY.read_timeout)


def get(
    connection: requests.Session,
    url: str,
    headers: dict[str, str],
    *,
    error: type[GPT4AllError],
    token: str | None = None,
) -> requests.Response:
    """The answer to a GET of ``url`` after redirects, its body still unread.

    ``token`` is sent as a bearer token, to the origin of ``url`` alone.

    Raises:
        error: a redirect leads to anything but http and https, from https down to http, or in circles.
        requests.exceptions.RequestException: the network failed.
    """
    origin = _origin(_checked(url, error))
    for _ in range(_MAX_REDIRECTS + 1):
        # Forgets the connection of the last answer, which requests would use again if it looks open. The server, told
        # to close it, may do so just then.
        connection.close()
        response = connection.get(
            url,
            headers=headers,
            auth=_bearer(token) if token and _origin(url) == origin else None,
            stream=True,
            allow_redirects=False,
            timeout=(POLICY.connect_timeout, POLICY.read_timeout),
        )
        target = connection.get_redirect_target(response)
        if target is None:
            return response
        response.close()
        following = _checked(target, error, base=url)
        if urlsplit(url).scheme == "https" and urlsplit(following).scheme == "http":
            raise error(f"{shown(url)} redirects to {shown(following)}, which gives up encryption")
        url = following
    raise error(f"{shown(url)}: more than {_MAX_REDIRECTS} redirects")


def _checked(url: str, error: type[GPT4AllError], base: str = "") -> str:
    try:
        url = urljoin(base, url)
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise error(f"{url[:200]!r} is no http or https address, and no other kind is fetched")
    return url


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _bearer(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    # An auth callable and not a plain header: requests lets netrc overwrite the header.
    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def body(response: requests.Response) -> Iterator[bytes]:
    """The body in blocks as they arrive, gzip undone.

    Raises:
        requests.exceptions.ConnectionError: the connection broke, ended early or stalled (see ``TransferPolicy``), or
            the gzip is damaged or lacks its end; every block that came before it has been yielded by then.
    """
    import requests

    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        yield from _raw_body(response)
        return
    try:
        if encoding not in ("gzip", "x-gzip"):
            raise zlib.error(f"the encoding {encoding[:40]!r} is not known")
        yield from _gunzipped(_raw_body(response))
    except zlib.error as failure:
        raise requests.exceptions.ConnectionError(f"{shown(response.url)}: {failure}", response=response) from failure


def _raw_body(response: requests.Response) -> Iterator[bytes]:
    import requests
    import urllib3

    deadline = time.monotonic() + POLICY.read_timeout
    received = 0
    while True:
        try:
            # Not read, nor what requests offers: both hold bytes back until a block is full.
            block: bytes = response.raw.read1(_BLOCK_SIZE, decode_content=False)
        except urllib3.exceptions.HTTPError as failure:
            raise requests.exceptions.ConnectionError(failure, response=response) from failure
        if not block:
            return
        yield block
        received += len(block)
        now = time.monotonic()
        if now >= deadline:
            if received < POLICY.min_progress:
                message = f"{shown(response.url)}: {received} bytes in {POLICY.read_timeout:g} s are no progress"
                raise requests.exceptions.ConnectionError(message, response=response)
            deadline, received = now + POLICY.read_timeout, 0


def _gunzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """What gzip data holds, in blocks of bounded size. urllib3's own decoder takes half of it for the whole."""
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for block in blocks:
        full = True
        while full:  # as long as there may be more from the same bytes
            plain = unzip.decompress(block, _BLOCK_SIZE)
            block, full = unzip.unconsumed_tail, len(plain) == _BLOCK_SIZE
            if plain:
                yield plain
        if unzip.unused_data:
            raise zlib.error("something follows the compressed data")
    if not unzip.eof:
        raise zlib.error("the compressed data lacks its end")


def never_connected(failure: requests.exceptions.RequestException) -> bool:
    """Whether no connection was made at all: no such host, nobody listening, no network."""
    import requests
    import urllib3

    cause = getattr(failure.args[0] if failure.args else None, "reason", None)
    return isinstance(failure, requests.exceptions.ConnectTimeout) or isinstance(
        cause, urllib3.exceptions.NewConnectionError
    )


def reason(failure: Exception) -> str:
    """Why a request failed, in a few words where it is one of the usual reasons."""
    import requests
    import urllib3

    inner = failure.args[0] if failure.args else None
    cause = getattr(inner, "reason", None)
    host = getattr(getattr(inner, "pool", None), "host", None)
    if isinstance(failure, requests.exceptions.ConnectTimeout):
        return f"{host or 'the server'} does not answer"
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return f"there is no host {host}, or no network"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        system = cause.__cause__
        return f"no connection to {host}: {getattr(system, 'strerror', None) or system or cause}"
    return str(failure)


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """The waiting time a ``Retry-After`` header asks for (seconds or an HTTP date); ``None`` without a usable one."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    from email.utils import parsedate_to_datetime  # pulls in the socket module, for a header that is rarely there

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def shown(url: str) -> str:
    """``url`` for messages: without user, password, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def printable(text: str | None) -> str:
    """What a server wrote, for messages: nothing in it that a terminal would obey, and not all of it if it is long."""
    return "".join(character if character.isprintable() else "?" for character in (text or "")[:500])


def address_key(url: str) -> str:
    """32 characters that tell addresses apart; user, password and fragment do not count, and no secret can be read."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}?{parts.query}"
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
