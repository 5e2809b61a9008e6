"""What somebody else put beside a download is neither followed, nor written to, nor waited for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gpt4all.downloads.own_files import open_own, open_regular, read_own, write_own
from gpt4all.errors import DownloadError
from gpt4all.model_files import catalog, store
from gpt4all.model_files.retrieve import download_model
from tests.support.http.downloads import CONTENT, MD5, NAME, PATH, SIZE
from tests.support.http.server import HttpServer, Reply

pytestmark = [
    pytest.mark.usefixtures("home", "pauses"),
    pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there"),
]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim.txt"
    path.write_bytes(b"precious")
    return path


@pytest.mark.parametrize("suffix", [".part", ".part.meta", ".part.meta.new", ".part.lock"])
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hardlink", "fifo", "device"])
def test_planted_beside_a_download(server: HttpServer, models: Path, victim: Path, suffix: str, kind: str) -> None:
    planted = models / (NAME + suffix)
    match kind:
        case "symlink":
            planted.symlink_to(victim)
        case "dangling":
            planted.symlink_to(victim.with_name("new"))
        case "hardlink":
            planted.hardlink_to(victim)
        case "fifo":
            os.mkfifo(planted)
        case "device":
            planted.symlink_to("/dev/zero")
    url = server.add(PATH, CONTENT, Reply(close_after=1000))
    path = download_model(NAME, models, False, url, SIZE, MD5)
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    assert victim.read_bytes() == b"precious"
    assert sorted(entry.name for entry in models.parent.iterdir()) == ["home", "models", "victim.txt"]
    assert [entry.name for entry in models.iterdir()] == [NAME]


@pytest.mark.parametrize("suffix", [".part", ".part.meta"])
def test_a_directory_in_the_way(server: HttpServer, models: Path, suffix: str) -> None:
    (models / (NAME + suffix)).mkdir()
    with pytest.raises(DownloadError, match=f"cannot write {NAME}"):
        download_model(NAME, models, False, server.add(PATH, CONTENT))


def test_a_link_in_the_catalogues_cache(
    server: HttpServer, victim: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", server.add("/models3.json", b'[{"filename": "x.gguf"}]'))
    assert len(catalog.list_models()) == 1
    (cached,) = (home / ".cache").rglob("*.json")
    cached.unlink()
    os.mkfifo(cached)
    assert catalog.cached_models() is None
    cached.unlink()
    cached.symlink_to(victim)
    assert len(catalog.list_models()) == 1
    assert victim.read_bytes() == b"precious"


def test_a_fifo_with_a_models_name_is_not_waited_for(models: Path) -> None:
    os.mkfifo(models / NAME)
    with pytest.raises(OSError, match="not a regular file"):
        store.verify_model(NAME, models, default_directory=models, expected_md5=MD5)


def test_open_own_makes_a_file_or_takes_it(models: Path) -> None:
    for content in (b"", b"one"):
        fd = open_own(models / "x")
        assert os.read(fd, 10) == content
        os.write(fd, b"one")
        os.close(fd)
        (models / "x").write_bytes(b"one")


def test_reading(models: Path, victim: Path) -> None:
    assert read_own(victim, 8) == b"precious"
    (models / "link").symlink_to(victim)
    (models / "out").symlink_to("/dev/zero")
    for path in (victim, models / "link", models / "out", models, models / "nowhere"):
        with pytest.raises(OSError, match=r"."):
            read_own(path, 7)
    os.close(open_regular(models / "link"))
    with pytest.raises(OSError, match=r"."):
        os.close(open_regular(models / "out"))


def test_writing(models: Path, victim: Path) -> None:
    (models / "new").symlink_to(victim)
    (models / "x").symlink_to(victim)
    write_own(models / "x", b"content", models / "new")
    assert (models / "x").read_bytes() == b"content"
    assert victim.read_bytes() == b"precious"
    assert [path.name for path in models.iterdir()] == ["x"]
