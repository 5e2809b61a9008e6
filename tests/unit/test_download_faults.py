"""Servers that refuse, lie, stall, redirect or compress."""

from __future__ import annotations

import email.utils
import gzip
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from gpt4all.downloads import http
from gpt4all.downloads.progress import DownloadProgress
from gpt4all.downloads.transfer import Download, fetch
from gpt4all.errors import ChecksumError, DownloadError
from gpt4all.model_files.retrieve import download_model
from tests.support.http.downloads import CONTENT, MD5, NAME, PATH, PATIENCE, SIZE, leave_part
from tests.support.http.server import HttpServer, Reply, nobody_listening

pytestmark = pytest.mark.usefixtures("home", "pauses")


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 410, 416, 451, 501])
def test_refusal_is_final(server: HttpServer, models: Path, status: int, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT, Reply(status=status))
    with pytest.raises(DownloadError, match=str(status)):
        download_model(NAME, models, False, url + "?token=secret")
    assert (len(server.received), pauses) == (1, [])
    assert list(models.iterdir()) == []


def test_a_message_holds_nothing_that_a_terminal_obeys(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(status=404, reason="Not \x1b[31m\x9b there"))
    with pytest.raises(DownloadError, match=r"404 Not \?\[31m\? there"):
        download_model(NAME, models, False, url)
    server.script[PATH] = [Reply(status=302, headers={"Location": "ftp://h/\x1b[31m"})]
    with pytest.raises(DownloadError) as caught:
        download_model(NAME, models, False, url)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("status", [403, 404])
def test_refusal_keeps_the_part(server: HttpServer, models: Path, status: int) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(status=status)]
    with pytest.raises(DownloadError, match=f"{status}.*"):
        download_model(NAME, models, False, url)
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-", "bytes=50000-"]


def test_messages_do_not_show_secrets(server: HttpServer, models: Path) -> None:
    url = server.url(PATH).replace("http://", "http://user:password@") + "?signature=secret#x"
    with pytest.raises(DownloadError, match=f"127.0.0.1:{server.port}{PATH}") as caught:
        download_model(NAME, models, False, url)
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(server: HttpServer, models: Path, status: int, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT, Reply(status=status), Reply(status=status))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert pauses == [0.5, 1.0]


def test_lasting_trouble(server: HttpServer, models: Path, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(status=503)
    with pytest.raises(DownloadError, match="503 Service Unavailable"):
        download_model(NAME, models, False, url)
    assert (len(server.received), pauses) == (3, [0.5, 1.0])


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds(server: HttpServer, models: Path, status: int, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT, Reply(status=status, headers={"Retry-After": "17"}))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert pauses == [17.0]


def test_retry_after_as_a_date(server: HttpServer, models: Path, pauses: list[float]) -> None:
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    url = server.add(PATH, CONTENT, Reply(status=503, headers={"Retry-After": past}))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert pauses == [0.0]


def test_retry_after_that_is_too_long(server: HttpServer, models: Path, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT, Reply(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(DownloadError, match="86400 s"):
        download_model(NAME, models, False, url)
    assert pauses == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_seconds(value: str | None, seconds: float | None) -> None:
    assert http.retry_after_seconds(value, now=1000.0) == seconds


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 0-{SIZE - 1}/{SIZE}",  # from the start after all
        f"bytes 40000-{SIZE - 1}/{SIZE}",
        f"bytes 50000-{SIZE - 1}/{SIZE - 5}",
        "bytes 50000-40000/60000",
        "bytes */1",
        "pages 1-2/3",
        "",
        "bytes 50000-60000/*",
    ],
)
def test_a_range_that_was_not_asked_for_starts_again(server: HttpServer, models: Path, content_range: str) -> None:
    url = server.add(
        PATH,
        CONTENT,
        Reply(close_after=50_000, framing="chunked"),
        Reply(headers={"Content-Range": content_range}),
    )
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, "bytes=50000-", None]


def test_a_range_of_another_version_starts_again(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(headers={"ETag": '"v2"'})]
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-", None]


def test_a_lie_about_the_bytes_is_found_by_the_hash(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(body=CONTENT[: SIZE - 50_000])]
    with pytest.raises(ChecksumError):
        download_model(NAME, models, False, url, expected_md5=MD5)
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT


def test_a_body_that_is_too_long(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(body=CONTENT)]
    with pytest.raises(ChecksumError, match=f"more than the {SIZE} bytes"):
        download_model(NAME, models, False, url)
    assert not (models / f"{NAME}.part").exists()


def test_a_body_that_is_shorter_than_its_range(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(body=CONTENT[50_000:60_000])]
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-", "bytes=60000-"]


def test_ignored_range_starts_again(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.always[PATH] = Reply(ignore_range=True)
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-"]


def test_range_not_satisfiable_starts_again(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(status=416)]
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-", None]


def test_unasked_part(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(status=206, body=CONTENT[:10], headers={"Content-Range": "bytes 5-14/15"}))
    with pytest.raises(DownloadError, match="bytes 5-14/15"):
        download_model(NAME, models, False, url)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_compressed_although_not_asked_for(server: HttpServer, models: Path, framing: str) -> None:
    url = server.add(PATH, CONTENT, Reply(compress=True, framing=framing))  # type: ignore[arg-type]
    assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT


def test_compressed_and_broken_off_is_not_resumed(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(compress=True, close_after=300))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, None]


def test_compressed_range_is_not_appended(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.script[PATH] = [Reply(headers={"Content-Encoding": "gzip"})]
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-", None]


def test_broken_compression(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(headers={"Content-Encoding": "gzip"})
    with pytest.raises(requests.exceptions.ConnectionError):
        download_model(NAME, models, False, url)


@pytest.mark.parametrize("lost", [1, 8, 2000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_compression_that_lacks_its_end(server: HttpServer, models: Path, lost: int, framing: str) -> None:
    cut = gzip.compress(CONTENT, mtime=0)[:-lost]
    headers = {"Content-Encoding": "gzip"}
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(body=cut, headers=headers, framing=framing)  # type: ignore[arg-type]
    with pytest.raises((requests.exceptions.ConnectionError, DownloadError)):
        download_model(NAME, models, False, url)
    assert not (models / NAME).exists()


def test_something_behind_the_compressed_data(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(body=gzip.compress(CONTENT) + b"x", headers={"Content-Encoding": "gzip"})
    with pytest.raises(requests.exceptions.ConnectionError, match="follows"):
        download_model(NAME, models, False, url)


def test_compressed_data_is_not_undone_at_once(server: HttpServer, models: Path) -> None:
    zeros = bytes(50 << 20)
    url = server.add(PATH, zeros, Reply(compress=True))
    reports: list[DownloadProgress] = []
    path = download_model(NAME, models, False, url, progress=reports.append)
    assert path.stat().st_size == len(zeros)
    assert len(reports) >= 200  # and so no block had more than 256 kB


def test_a_head_that_comes_byte_by_byte_is_an_error(
    server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "POLICY", replace(http.POLICY, read_timeout=0.3, attempts=1))
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(trickle_head=0.01)
    with pytest.raises(requests.exceptions.ReadTimeout):
        download_model(NAME, models, False, url)


def test_interim_answers_without_end_are_an_error(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(interim=3))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    server.always[PATH] = Reply(interim=20_000)
    with pytest.raises(requests.exceptions.ConnectionError, match="the head of the answer has over"):
        download_model("other.gguf", models, False, url)


@pytest.mark.parametrize("tag", ['\xa0"x"', '\x85"x"', '\x1c"x"', "x", '"x\xff"'])
def test_a_tag_that_cannot_be_sent_back_is_none(server: HttpServer, models: Path, tag: str) -> None:
    url = server.add(PATH, CONTENT, Reply(close_after=50_000, headers={"ETag": tag}), etag=None)
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, None]
    server.script[PATH] = [Reply(close_after=50_000, headers={"ETag": tag})]
    assert download_model("b.gguf", models, False, url, expected_md5=MD5).read_bytes() == CONTENT
    assert server.ranges(PATH)[-1] == "bytes=50000-"


def test_unknown_compression(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(headers={"Content-Encoding": "br"}))
    with pytest.raises(DownloadError, match="'br'"):
        download_model(NAME, models, False, url)


def test_a_page_instead_of_the_file(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    server.resources[PATH].content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="HTML"):
        download_model(NAME, models, False, url)


def test_empty_file(server: HttpServer, models: Path) -> None:
    with pytest.raises(DownloadError, match="empty"):
        download_model(NAME, models, False, server.add(PATH, b""))
    assert list(models.iterdir()) == []


def test_end_by_closing_counts_only_with_size_or_hash(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(framing="close")
    with pytest.raises(DownloadError, match="where the file ends"):
        download_model(NAME, models, False, url)
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT
    assert download_model("b.gguf", models, False, url, expected_md5=MD5).read_bytes() == CONTENT


def test_end_by_closing_too_early_is_noticed(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(framing="close", close_after=1000))
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, "bytes=1000-"]


def test_silence_is_an_error(server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(hold_after=1000, ignore_range=True)
    part = models / f"{NAME}.part"
    for seconds in PATIENCE:
        monkeypatch.setattr(http, "POLICY", replace(http.POLICY, read_timeout=seconds, attempts=1))
        with pytest.raises(requests.exceptions.RequestException, match="timed out") as caught:
            download_model(NAME, models, False, url)
        if part.exists() and part.read_bytes():
            break
    assert isinstance(caught.value, requests.exceptions.ConnectionError)
    assert part.read_bytes() == CONTENT[:1000]


def test_silence_before_the_answer_is_an_error(
    server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "POLICY", replace(http.POLICY, read_timeout=0.1, attempts=1))
    url = server.add(PATH, CONTENT, Reply(status=200, hold_after=-1))
    with pytest.raises(requests.exceptions.ReadTimeout):
        download_model(NAME, models, False, url)


def test_a_trickle_is_an_error(server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(trickle=0.01, ignore_range=True)
    for seconds in PATIENCE:
        policy = replace(http.POLICY, read_timeout=seconds, min_progress=100_000, attempts=1)
        monkeypatch.setattr(http, "POLICY", policy)
        with pytest.raises(requests.exceptions.RequestException) as caught:
            download_model(NAME, models, False, url)
        if "timed out" not in str(caught.value):  # one byte or the next came too late
            break
    assert isinstance(caught.value, requests.exceptions.ConnectionError)
    assert "no progress" in str(caught.value)
    assert (models / f"{NAME}.part").stat().st_size > 0


def test_nobody_listens(models: Path, pauses: list[float]) -> None:
    with nobody_listening() as gone, pytest.raises(requests.exceptions.ConnectionError):
        download_model(NAME, models, False, gone + PATH)
    assert pauses == []  # said at once
    assert list(models.iterdir()) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: HttpServer, models: Path, status: int) -> None:
    target = server.add(PATH, CONTENT, Reply(close_after=50_000))
    url = server.add("/old", b"", *[Reply(status=status, headers={"Location": PATH})] * 2)
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT
    assert target.endswith(PATH)
    assert server.ranges(PATH) == [None, "bytes=50000-"]


def test_no_request_takes_over_the_connection_of_another(server: HttpServer, models: Path) -> None:
    # A server that hangs up as it was asked to may do so just when the next request is on its way.
    keep = {"Connection": "keep-alive"}
    server.add(PATH, CONTENT, Reply(framing="chunked", body=CONTENT[:-1], headers=keep))
    url = server.add("/old", b"")
    server.always["/old"] = Reply(status=302, body=b"", headers={"Location": PATH, **keep})
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT
    assert len({request.client_port for request in server.received}) == len(server.received) == 4


def test_the_body_of_a_redirect_is_not_waited_for(server: HttpServer, models: Path) -> None:
    server.add(PATH, CONTENT)
    url = server.add("/old", b"", Reply(status=302, headers={"Location": PATH}, hold_after=0))
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://x/", "javascript:0", "http://["]
)
def test_redirects_to_anything_else_are_refused(server: HttpServer, models: Path, target: str) -> None:
    url = server.add(PATH, CONTENT, Reply(status=302, headers={"Location": target}))
    with pytest.raises(DownloadError, match="no http or https address"):
        download_model(NAME, models, False, url)


def test_redirects_in_circles(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(status=302, headers={"Location": PATH})
    with pytest.raises(DownloadError, match="more than 10 redirects"):
        download_model(NAME, models, False, url)
    assert len(server.received) == 11


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x.gguf", "tiny.gguf", "http://", "http://[::1"])
def test_addresses_that_are_not_http(models: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="no http or https address"):
        download_model(NAME, models, False, url)


def test_token_stays_with_its_origin(server: HttpServer, models: Path) -> None:
    with HttpServer() as other:
        server.add("/here", b"", Reply(status=302, headers={"Location": "/there"}))
        server.add("/there", b"", Reply(status=302, headers={"Location": other.url(PATH)}))
        other.add(PATH, CONTENT)
        fetch(Download(server.url("/here"), models / NAME, token="hf_secret"))
        assert [request.headers["Authorization"] for request in server.received] == ["Bearer hf_secret"] * 2
        assert other.received[0].headers["Authorization"] is None


def test_proxy_of_the_environment(server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add(PATH, CONTENT)
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    monkeypatch.setenv("http_proxy", server.url(""))
    url = f"http://models.invalid{PATH}"
    assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT
    assert server.received[0].headers["Host"] == "models.invalid"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl program to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    return certificate


def test_ca_bundle_of_the_environment(certificate: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpServer(certificate) as secure:
        url = secure.add(PATH, CONTENT)
        with pytest.raises(requests.exceptions.SSLError):
            download_model(NAME, models, False, url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT


def test_redirect_that_gives_up_encryption(
    certificate: Path, server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with HttpServer(certificate) as secure:
        url = secure.add(PATH, CONTENT, Reply(status=302, headers={"Location": server.add(PATH, CONTENT)}))
        with pytest.raises(DownloadError, match="encryption"):
            download_model(NAME, models, False, url)
    assert server.received == []
