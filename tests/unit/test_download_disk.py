"""Disks that are full, too small or not to be written."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt4all.errors import DownloadError
from gpt4all.model_files.retrieve import download_model
from tests.support.http.downloads import CONTENT, MD5, NAME, SIZE
from tests.support.http.server import HttpServer, Reply
from tests.support.ordinary_user import ordinary_user

pytestmark = pytest.mark.usefixtures("home", "pauses")

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("known", [True, False])
def test_full_disk_is_seen_before(
    server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SIZE, 1, SIZE - 1))
    url = server.add("/x", CONTENT)
    with pytest.raises(DownloadError, match=f"{SIZE} more bytes .* {SIZE - 1} are free"):
        download_model(NAME, models, False, url, SIZE if known else None)
    assert len(server.received) == (0 if known else 1)
    assert list(models.iterdir()) == []


def test_room_for_the_rest_is_enough(server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SIZE, 0, SIZE))
    assert download_model(NAME, models, False, server.add("/x", CONTENT), SIZE).read_bytes() == CONTENT


def test_a_file_of_unknown_size_does_not_fill_the_disk(
    server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 20 * SIZE

    def usage(path: Path) -> Usage:
        part = models / f"{NAME}.part"
        return Usage(20 * SIZE, 0, left - (part.stat().st_size if part.exists() else 0))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    url = server.add("/x", CONTENT * 30)
    server.always["/x"] = Reply(framing="chunked")
    with pytest.raises(DownloadError, match="does not say how large the file is.*kept, and the next call goes on"):
        download_model(NAME, models, False, url)
    assert 18 * SIZE < (models / f"{NAME}.part").stat().st_size <= 19 * SIZE
    left = 40 * SIZE
    assert download_model(NAME, models, False, url).read_bytes() == CONTENT * 30


def test_disk_full_in_the_middle(server: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write, room = os.write, 100_000

    def write(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real_write(fd, data[:room])
        room -= written
        return written

    url = server.add("/x", CONTENT)
    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(DownloadError, match="No space left on device; what has arrived is kept"):
            download_model(NAME, models, False, url, SIZE, MD5)
    assert (models / f"{NAME}.part").read_bytes() == CONTENT[:100_000]
    assert not (models / NAME).exists()
    assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT
    assert server.ranges("/x") == [None, "bytes=100000-"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_file_size_limit_in_the_middle(server: HttpServer, models: Path) -> None:
    import resource

    url = server.add("/x", CONTENT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(DownloadError, match="File too large"):
            download_model(NAME, models, False, url, expected_md5=MD5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (models / f"{NAME}.part").read_bytes() == CONTENT[:500_000]
    assert download_model(NAME, models, False, url, expected_md5=MD5).read_bytes() == CONTENT
    assert server.ranges("/x") == [None, "bytes=500000-"]


@pytest.fixture
def read_only() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp())  # not below tmp_path, which only its owner may enter
    directory.chmod(0o555)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows directories have no such mode")
def test_read_only_directory(server: HttpServer, read_only: Path) -> None:
    url = server.add("/x", CONTENT)
    # First as who we are, so that everything that is imported on first use has been read.
    download_model("other.gguf", Path(os.environ["HOME"]), False, url)
    with ordinary_user(read_only), pytest.raises(DownloadError, match=f"cannot write {NAME} in {read_only}"):
        download_model(NAME, read_only, False, url)
    assert list(read_only.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_really_full_disk(server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        url = server.add("/x", CONTENT)
        server.resources["/x"].etag = None
        with pytest.raises(DownloadError, match="are free"):
            download_model(NAME, small, False, url)
        server.always["/x"] = Reply(framing="chunked")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, 1 << 40))
        with pytest.raises(DownloadError, match="No space left on device"):
            download_model(NAME, small, False, url, expected_md5=MD5)
        part = (small / f"{NAME}.part").read_bytes()
        assert part
        assert part == CONTENT[: len(part)]
    finally:
        subprocess.run(["umount", str(small)], check=True)
