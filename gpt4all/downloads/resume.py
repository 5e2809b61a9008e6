"""What an HTTP answer means for a file of which some bytes are already there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Plan", "plan_answer", "usable_date", "usable_etag"]

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII)
_UNSATISFIED_RANGE = re.compile(r"bytes \*/(\d{1,18})", re.IGNORECASE | re.ASCII)
_ETAG = re.compile(r'(?:W/)?"[!#-~]{0,1000}"')
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_DECODABLE = frozenset({"gzip", "x-gzip"})


@dataclass(frozen=True)
class Plan:
    """What to do with an answer.

    ``append``: its body goes behind the bytes there are. ``replace``: its body is the file from the start. ``discard``:
    drop the bytes there are and ask again for everything. ``complete``: they are all there is. ``later``: ask again
    after a pause. ``fail``: give up for ``reason``.
    """

    action: Literal["append", "replace", "discard", "complete", "later", "fail"]
    reason: str = ""
    total: int | None = None
    """Size in bytes of the whole file, where the answer says it."""
    encoded: bool = False
    """The body is compressed: byte positions in it are not positions in the file."""
    delimited: bool = True
    """The end of the body is marked, so a connection that breaks cannot pass for it."""


def plan_answer(
    status: int, reason: str, headers: Mapping[str, str], *, offset: int, total: int | None, etag: str | None
) -> Plan:
    """What to do with an answer to a request for the bytes from ``offset`` on.

    ``total`` is the size of the whole file and ``etag`` the ETag that the bytes there came with, None where unknown.
    ``headers`` must ignore case.
    """
    said = f"{status} {reason}".strip()
    if status in _TRANSIENT:
        return Plan("later", said)
    if status == 416 and offset:
        end = _UNSATISFIED_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if end and int(end[1]) == offset and total in (None, offset) and _same_version(headers, etag):
            return Plan("complete", "", offset)
        return Plan("discard", "the server has no bytes that far")
    if status not in (200, 206):
        return Plan("fail", said)
    encoding = headers.get("Content-Encoding", "").strip().lower()
    encoded = encoding not in ("", "identity")
    if encoded and encoding not in _DECODABLE:
        return Plan("fail", f"the file comes only in the encoding {encoding!r}")
    if status == 206:
        return _plan_partial(headers, offset, total, etag, encoded)
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        # A captive portal or an error page with the wrong status; no server calls a model HTML.
        return Plan("fail", "an HTML page came instead of the file")
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    length = None if chunked else _length(headers.get("Content-Length"))
    return Plan("replace", "", None if encoded else length, encoded, chunked or length is not None)


def _plan_partial(headers: Mapping[str, str], offset: int, total: int | None, etag: str | None, encoded: bool) -> Plan:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    wrong = ""
    if match is None or encoded:
        wrong = "a part of the file came in a form that cannot be placed"
    else:
        first, last = int(match[1]), int(match[2])
        whole = None if match[3] == "*" else int(match[3])
        if first != offset or last < first or (whole is not None and last >= whole):
            wrong = f"asked for the bytes from {offset} on, the server sent {match[0]!r}"
        elif whole is None and total is None:
            wrong = "a part of the file came without the size of the whole"
        elif whole is not None and total not in (None, whole):
            wrong = f"the file has {whole} bytes there, not {total}"
        elif not _same_version(headers, etag):
            wrong = "the file has changed on the server"
        else:
            return Plan("append", "", total if whole is None else whole)
    return Plan("discard" if offset else "fail", wrong)


def _length(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"[0-9]{1,18}", value.strip(" \t")) else None


def _same_version(headers: Mapping[str, str], etag: str | None) -> bool:
    return etag is None or headers.get("ETag", etag).strip(" \t") == etag


def usable_etag(value: object) -> str | None:
    """``value`` where it is an entity tag that can be sent back; whatever else a server calls one is worth nothing."""
    return value.strip(" \t") if isinstance(value, str) and _ETAG.fullmatch(value.strip(" \t")) else None


def usable_date(value: object) -> str | None:
    """``value`` where it is a date as ``Last-Modified`` has it, which can be sent back."""
    return value.strip(" \t") if isinstance(value, str) and _DATE.fullmatch(value.strip(" \t")) else None
