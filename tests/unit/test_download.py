"""Downloads over a connection that behaves, or breaks: after each call the right file, or a part and a typed error."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from gpt4all.downloads import http
from gpt4all.downloads.progress import DownloadProgress
from gpt4all.errors import ChecksumError, DownloadError
from gpt4all.model_files.retrieve import download_model
from tests.support.http.downloads import CONTENT, MD5, NAME, PATH, SHA256, SIZE, leave_part
from tests.support.http.server import HttpServer, Reply

pytestmark = pytest.mark.usefixtures("home", "pauses")


def left_behind(directory: Path) -> set[str]:
    # Whether a lock file stays beside a part is up to filelock.
    return {path.name for path in directory.iterdir()} - {f"{NAME}.part.lock"}


PART_AND_META = {f"{NAME}.part", f"{NAME}.part.meta"}


def test_whole_file(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    path = download_model(NAME, models, False, url, SIZE, MD5, expected_sha256=SHA256.upper())
    assert path == models / NAME
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in models.iterdir()] == [NAME]
    assert server.received[0].headers["Accept-Encoding"] == "identity"
    assert "Range" not in server.received[0].headers


def test_address_defaults_to_the_catalogues_host(
    server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", server.url("/some/where/models3.json"))
    server.add("/models/gguf/a%20tiny%231.gguf", CONTENT)
    assert download_model("a tiny#1.gguf", str(models), False).read_bytes() == CONTENT


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_nothing_known_beforehand(server: HttpServer, models: Path, framing: str) -> None:
    url = server.add(PATH, CONTENT, Reply(framing=framing))  # type: ignore[arg-type]
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT


def test_existing_file_needs_no_server(models: Path) -> None:
    (models / NAME).write_bytes(CONTENT)
    nowhere = "http://127.0.0.1:1/"
    assert download_model(NAME, models, False, nowhere).read_bytes() == CONTENT
    assert download_model(NAME, models, False, nowhere, SIZE, MD5).read_bytes() == CONTENT
    assert [entry.name for entry in models.iterdir()] == [NAME]


def test_existing_file_that_is_wrong_is_replaced(server: HttpServer, models: Path) -> None:
    (models / NAME).write_bytes(CONTENT[::-1])
    assert download_model(NAME, models, False, server.add(PATH, CONTENT), SIZE, MD5).read_bytes() == CONTENT


@pytest.mark.parametrize("byte", [0, 1, 4, 65_535, 65_536, SIZE - 1])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_connection_closed_at_any_byte(server: HttpServer, models: Path, byte: int, framing: str) -> None:
    url = server.add(PATH, CONTENT, Reply(close_after=byte, framing=framing))  # type: ignore[arg-type]
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, f"bytes={byte}-" if byte else None]
    assert server.received[1].headers["If-Range"] == ('"v1"' if byte else None)


@pytest.mark.parametrize("byte", [-1, 0, 100_000, SIZE - 1])
def test_connection_reset(server: HttpServer, models: Path, byte: int) -> None:
    url = server.add(PATH, CONTENT, Reply(reset_after=byte))
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT


def test_progress_starts_the_count_of_tries_again(server: HttpServer, models: Path, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT, *(Reply(close_after=10_000) for _ in range(20)))
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT
    assert len(server.received) == 21
    assert pauses == [0.5] * 20


def test_a_server_that_never_gets_further_ends_it(server: HttpServer, models: Path, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(close_after=1000, ignore_range=True)
    with pytest.raises(requests.exceptions.ConnectionError):
        download_model(NAME, models, False, url, SIZE)
    assert len(server.received) == 4  # the first brought something, three more did not
    assert pauses == [0.5, 0.5, 1.0]
    assert left_behind(models) == PART_AND_META
    assert (models / f"{NAME}.part").read_bytes() == CONTENT[:1000]


def test_next_call_resumes(server: HttpServer, models: Path, pauses: list[float]) -> None:
    url = server.add(PATH, CONTENT, Reply(close_after=50_000))
    server.always[PATH] = Reply(status=503)
    with pytest.raises(DownloadError, match="503"):
        download_model(NAME, models, False, url, SIZE, MD5)
    assert (models / f"{NAME}.part").read_bytes() == CONTENT[:50_000]
    del server.always[PATH]
    server.received.clear()

    reports: list[DownloadProgress] = []
    path = download_model(NAME, models, False, url, SIZE, MD5, progress=reports.append)
    assert path.read_bytes() == CONTENT
    assert server.ranges(PATH) == ["bytes=50000-"]
    assert server.received[0].headers["If-Range"] == '"v1"'
    phases = [report.phase for report in reports]
    assert phases == sorted(phases)
    assert reports[phases.index("verifying") - 1] == DownloadProgress(NAME, "downloading", SIZE, SIZE)
    assert reports[-1] == DownloadProgress(NAME, "verifying", SIZE, SIZE)
    assert [entry.name for entry in models.iterdir()] == [NAME]


def test_changed_file_starts_again(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    other = b"GGUF" + CONTENT[::-1]
    server.add(PATH, other, etag='"v2"')
    assert download_model(NAME, models, False, url).read_bytes() == other
    assert server.ranges(PATH) == ["bytes=50000-"]
    assert server.received[0].headers["If-Range"] == '"v1"'


def test_modification_date_validates_where_the_tag_is_weak(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(close_after=50_000), etag='W/"v1"')
    server.resources[PATH].last_modified = "Mon, 02 Nov 2026 10:00:00 GMT"
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, "bytes=50000-"]
    assert server.received[1].headers["If-Range"] == "Mon, 02 Nov 2026 10:00:00 GMT"


def test_without_validator_and_hash_nothing_is_resumed(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(close_after=50_000), etag=None)
    assert download_model(NAME, models, False, url, SIZE).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, None]


def test_a_part_that_nobody_can_use_is_not_kept(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, etag=None)
    server.always[PATH] = Reply(close_after=50_000)
    with pytest.raises(requests.exceptions.ConnectionError):
        download_model(NAME, models, False, url, SIZE)
    assert left_behind(models) == set()


def test_without_validator_a_hash_allows_resuming(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(close_after=50_000), etag=None)
    assert download_model(NAME, models, False, url, expected_sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, "bytes=50000-"]


def test_part_of_another_address_is_not_resumed(server: HttpServer, models: Path) -> None:
    leave_part(server, models)
    url = server.add("/elsewhere.gguf", CONTENT)
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges("/elsewhere.gguf") == [None]


@pytest.mark.parametrize("meta", [None, "", "[1]", '{"url": 5}', "[" * 100_000, "\udcff"])
def test_part_of_unknown_origin_is_not_resumed(server: HttpServer, models: Path, meta: str | None) -> None:
    (models / f"{NAME}.part").write_bytes(b"somebody else's bytes")
    if meta is not None:
        (models / f"{NAME}.part.meta").write_bytes(meta.encode("utf-8", "surrogateescape"))
    url = server.add(PATH, CONTENT)
    assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None]


def test_part_that_is_too_long_is_dropped(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    with (models / f"{NAME}.part").open("ab") as part:
        part.write(bytes(SIZE))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None]


def test_complete_part_needs_only_its_name(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models, expected_md5=MD5)
    (models / f"{NAME}.part").write_bytes(CONTENT)
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT
    assert server.received == []


def test_changed_part_is_found_by_its_hash(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models, expected_md5=MD5)
    (models / f"{NAME}.part").write_bytes(b"x" + CONTENT[1:50_000])
    with pytest.raises(ChecksumError, match=MD5):
        download_model(NAME, models, False, url, expected_md5=MD5)
    assert left_behind(models) == set()
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "expected",
    [{"expected_md5": "0" * 32}, {"expected_sha256": "0" * 64}, {"expected_size": SIZE + 1}, {"expected_size": 1}],
    ids=lambda expected: next(iter(expected)),
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_wrong_bytes_never_get_the_name(
    server: HttpServer, models: Path, framing: str, expected: dict[str, object]
) -> None:
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(framing=framing)  # type: ignore[arg-type]
    with pytest.raises((ChecksumError, DownloadError)) as caught:
        download_model(NAME, models, False, url, **expected)  # type: ignore[arg-type]
    if framing == "length" or expected.get("expected_size") != SIZE + 1:  # a chunked short answer may yet go on
        assert isinstance(caught.value, ChecksumError)
        assert left_behind(models) == set()
    assert not (models / NAME).exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_exception_in_the_callback_leaves_a_part(server: HttpServer, models: Path, stop: type[BaseException]) -> None:
    url = server.add(PATH, CONTENT)
    for phase in ("downloading", "verifying"):

        def progress(report: DownloadProgress, phase: str = phase) -> None:
            if report.phase == phase:
                raise stop

        with pytest.raises(stop):
            download_model(NAME, models, False, url, SIZE, MD5, progress=progress)
        assert left_behind(models) == PART_AND_META
    assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT
    assert len(server.received) == 2


def test_a_file_that_changed_on_the_server_is_progress_too(server: HttpServer, models: Path) -> None:
    url = leave_part(server, models)
    server.add(PATH, CONTENT[::-1], *(Reply(close_after=10_000) for _ in range(10)), etag='"v2"')
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT[::-1]
    assert len(server.received) == 11  # the first four bring less than had been there


def test_a_file_that_changes_with_every_answer_ends_it(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT)
    server.script[PATH] = [Reply(close_after=10_000, headers={"ETag": f'"{tag}"'}) for tag in range(50)]
    with pytest.raises(DownloadError, match="changes on the server again and again"):
        download_model(NAME, models, False, url)
    assert len(server.received) < 20


def test_a_few_bytes_with_each_connection_are_no_progress(
    server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "POLICY", replace(http.POLICY, min_progress=1000))
    url = server.add(PATH, CONTENT)
    server.always[PATH] = Reply(close_after=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        download_model(NAME, models, False, url)
    assert len(server.received) == http.POLICY.attempts
    assert (models / f"{NAME}.part").stat().st_size == http.POLICY.attempts


def test_a_call_from_its_own_callback_is_refused(server: HttpServer, models: Path) -> None:
    def progress(report: DownloadProgress) -> None:
        with pytest.raises(DownloadError, match="the call whose callback"):
            download_model(NAME, models, False, url)
        download_model(f"other-{report.phase}.gguf", models, False, url)

    url = server.add(PATH, CONTENT)
    assert download_model(NAME, models, False, url, SIZE, MD5, progress=progress).read_bytes() == CONTENT


def test_what_the_disk_holds_is_verified(server: HttpServer, models: Path) -> None:
    def meddle(report: DownloadProgress) -> None:
        if report.phase == "downloading":
            with (models / f"{NAME}.part").open("r+b") as part:
                part.write(b"EVIL")

    url = server.add(PATH, CONTENT)
    with pytest.raises(ChecksumError, match="md5"):
        download_model(NAME, models, False, url, SIZE, MD5, progress=meddle)
    assert left_behind(models) == set()

    def cut(report: DownloadProgress) -> None:
        os.truncate(models / f"{NAME}.part", 10)

    with pytest.raises(ChecksumError, match=f"{SIZE} were expected"):
        download_model(NAME, models, False, url, progress=cut)
    assert not (models / NAME).exists()


def test_complete_part_of_unknown_size_is_kept(server: HttpServer, models: Path) -> None:
    url = server.add(PATH, CONTENT, Reply(framing="chunked", close_after=SIZE))
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, f"bytes={SIZE}-"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x.gguf",
        "a/b.gguf",
        "a\\b.gguf",
        "C:x.gguf",
        "x\0.gguf",
        "x\n.gguf",
        "x\x9b.gguf",
        "x\u202egfug.gguf",
        ".x",
        "NUL.gguf",
    ],
)
def test_unsafe_names(models: Path, name: str) -> None:
    with pytest.raises(ValueError, match="unsafe model file name"):
        download_model(name, models, False, "http://127.0.0.1:1/")
    assert list(models.parent.rglob("*.gguf*")) == []


def test_bad_expectations(models: Path) -> None:
    with pytest.raises(ValueError, match="expected_md5"):
        download_model(NAME, models, False, "http://127.0.0.1:1/", expected_md5="abc")
    with pytest.raises(ValueError, match="expected_sha256"):
        download_model(NAME, models, False, "http://127.0.0.1:1/", expected_sha256="0" * 32)
    with pytest.raises(ValueError, match="expected_size"):
        download_model(NAME, models, False, "http://127.0.0.1:1/", expected_size=0)
    with pytest.raises(TypeError, match="expected_size"):
        download_model(NAME, models, False, "http://127.0.0.1:1/", expected_size="5")  # type: ignore[arg-type]


def test_directory_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="model_path must be a str or a path, not NoneType"):
        download_model(NAME, None, False, "http://127.0.0.1:1/")  # type: ignore[arg-type]


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        download_model(NAME, tmp_path / "nowhere", False, "http://127.0.0.1:1/")


def test_bars_for_both_phases(server: HttpServer, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = leave_part(server, models, expected_md5=MD5)
    capsys.readouterr()
    download_model(NAME, models, True, url, SIZE, MD5)
    shown = capsys.readouterr().err
    assert "Verifying tiny.gguf" in shown
    assert "Downloading tiny.gguf" in shown
    assert "100%" in shown


def test_no_bar_when_nobody_watches(server: HttpServer, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download_model(NAME, models, False, server.add(PATH, CONTENT))
    assert capsys.readouterr() == ("", "")


def test_bar_follows_a_restart(server: HttpServer, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = leave_part(server, models)
    server.always[PATH] = Reply(ignore_range=True)
    capsys.readouterr()
    download_model(NAME, models, True, url)
    assert "| 586k/586k [" in capsys.readouterr().err


def test_a_directory_in_the_way(server: HttpServer, models: Path) -> None:
    (models / NAME).mkdir()
    url = server.add(PATH, CONTENT)
    with pytest.raises(DownloadError, match=f"cannot write {NAME}"):
        download_model(NAME, models, False, url, SIZE, MD5)
    assert left_behind(models) == {NAME, *PART_AND_META}
