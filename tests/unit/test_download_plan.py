"""What an answer means, as a table."""

from __future__ import annotations

import pytest
from requests.structures import CaseInsensitiveDict

from gpt4all.downloads.resume import Plan, plan_answer, usable_date, usable_etag

SIZED = {"Content-Length": "100"}


def plan(
    status: int, headers: dict[str, str], offset: int = 0, total: int | None = None, etag: str | None = None
) -> Plan:
    answer: CaseInsensitiveDict[str] = CaseInsensitiveDict(headers)
    return plan_answer(status, "Reason", answer, offset=offset, total=total, etag=etag)


@pytest.mark.parametrize(
    ("status", "headers", "offset", "action"),
    [
        (200, SIZED, 0, "replace"),
        (200, SIZED, 50, "replace"),
        (200, {}, 0, "replace"),
        (200, {"content-length": "100", "CONTENT-TYPE": "Text/HTML ; charset=x"}, 0, "fail"),
        (200, {"Content-Encoding": "GZIP"}, 0, "replace"),
        (200, {"Content-Encoding": "identity"}, 0, "replace"),
        (200, {"Content-Encoding": "gzip, br"}, 0, "fail"),
        (200, {"Content-Encoding": "deflate"}, 0, "fail"),
        (206, {"Content-Range": "bytes 50-99/100"}, 50, "append"),
        (206, {"Content-Range": "Bytes 50-99/100"}, 50, "append"),
        (206, {"Content-Range": "bytes 50-59/100"}, 50, "append"),
        (206, {"Content-Range": "bytes 0-99/100"}, 0, "append"),
        (206, {"Content-Range": "bytes 0-99/100"}, 50, "discard"),
        (206, {"Content-Range": "bytes 50-100/100"}, 50, "discard"),
        (206, {"Content-Range": "bytes 50-49/100"}, 50, "discard"),
        (206, {"Content-Range": "bytes 50-99/*"}, 50, "discard"),
        (206, {"Content-Range": f"bytes 50-{'9' * 19}/{'9' * 20}"}, 50, "discard"),
        (206, {"Content-Range": "bytes ٥٠-99/100"}, 50, "discard"),
        (206, {"Content-Type": "multipart/byteranges; boundary=x"}, 50, "discard"),
        (206, {}, 50, "discard"),
        (206, {}, 0, "fail"),
        (416, {}, 50, "discard"),
        (416, {}, 0, "fail"),
        (416, {"Content-Range": "bytes */50"}, 50, "complete"),
        (416, {"Content-Range": "bytes */49"}, 50, "discard"),
        (416, {"Content-Range": "bytes */*"}, 50, "discard"),
        (416, {"Content-Range": "bytes */0"}, 0, "fail"),
        (203, SIZED, 0, "fail"),
        (304, {}, 50, "fail"),
        (404, {}, 50, "fail"),
        (429, {}, 50, "later"),
        (503, {}, 0, "later"),
        (505, {}, 0, "fail"),
    ],
)
def test_action(status: int, headers: dict[str, str], offset: int, action: str) -> None:
    assert plan(status, headers, offset).action == action


def test_size_of_the_whole() -> None:
    assert plan(200, SIZED).total == 100
    assert plan(200, {**SIZED, "Content-Encoding": "gzip"}).total is None
    assert plan(200, {**SIZED, "Transfer-Encoding": "chunked"}).total is None
    assert plan(200, {"Content-Length": "-1"}).total is None
    assert plan(206, {"Content-Range": "bytes 50-99/100"}, 50).total == 100
    assert plan(206, {"Content-Range": "bytes 50-99/*"}, 50, total=100).total == 100
    assert plan(206, {"Content-Range": "bytes 50-99/100"}, 50, total=101).action == "discard"


def test_whether_the_end_is_marked() -> None:
    assert plan(200, SIZED).delimited
    assert plan(200, {"Transfer-Encoding": "chunked"}).delimited
    assert plan(200, {**SIZED, "Content-Encoding": "gzip"}).delimited
    assert not plan(200, {}).delimited
    assert not plan(200, {"Content-Length": "many"}).delimited


def test_another_version() -> None:
    part = {"Content-Range": "bytes 50-99/100"}
    assert plan(206, {**part, "ETag": '"a"'}, 50, etag='"a"').action == "append"
    assert plan(206, {**part, "ETag": '"b"'}, 50, etag='"a"').action == "discard"
    assert plan(206, part, 50, etag='"a"').action == "append"
    assert plan(206, {**part, "ETag": '"b"'}, 50).action == "append"
    whole = {"Content-Range": "bytes */50"}
    assert plan(416, {**whole, "ETag": '"b"'}, 50, etag='"a"').action == "discard"
    assert plan(416, {**whole, "ETag": '"a"'}, 50, etag='"a"') == Plan("complete", "", 50)
    assert plan(416, whole, 50, total=51).action == "discard"


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ('"a"', '"a"'),
        (' W/"a-b!" ', 'W/"a-b!"'),
        ('""', '""'),
        *[(bad, None) for bad in ("", "a", '"a', 'w/"a"', '"a b"', '"a"b"', '"\xe9"', '"%s"' % ("x" * 2000), None, 5)],
        *[(f'{odd}"a"', None) for odd in ("\xa0", "\x85", "\x1c", "\n", "\u3000")],
    ],
)
def test_entity_tags_that_can_be_sent_back(value: object, usable: str | None) -> None:
    assert usable_etag(value) == usable


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ("Mon, 02 Nov 2026 10:00:00 GMT", True),
        *[(bad, False) for bad in ("yesterday", "\xa0Mon, 02 Nov 2026 10:00:00 GMT", "", None, 5)],
    ],
)
def test_dates_that_can_be_sent_back(value: object, usable: bool) -> None:
    assert usable_date(value) == (value if usable else None)
