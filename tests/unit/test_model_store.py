"""Models found, obtained, listed, verified and deleted on a real disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import requests

from gpt4all.downloads.partfile import exclusive
from gpt4all.downloads.progress import DownloadProgress
from gpt4all.errors import CatalogError, ChecksumError, DownloadError, ModelNotFoundError
from gpt4all.model_files import catalog, folders, store
from gpt4all.model_files.retrieve import parse_allow_download, retrieve_model
from tests.support.http.offline import forbid_sockets
from tests.support.http.server import HttpServer, Reply, nobody_listening
from tests.support.ordinary_user import ordinary_user

pytestmark = pytest.mark.usefixtures("home", "pauses")

CONTENT = b"GGUF" + bytes(range(256)) * 16
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CATALOG = "/models/models3.json"


def retrieve(
    name: Any, path: str | Path | None = None, *, default: Path = Path("/nowhere"), **options: Any
) -> dict[str, Any]:
    return retrieve_model(name, path, default_directory=default, **options)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_sockets(monkeypatch)


@pytest.fixture
def no_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE", "HOMEPATH"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "win32":
        import pwd

        def no_entry(uid: int) -> object:
            raise KeyError(uid)

        monkeypatch.setattr(pwd, "getpwuid", no_entry)


@pytest.fixture
def served(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> HttpServer:
    """A server with a catalogue of two models, both there."""
    entries = [
        {
            "filename": "chat.gguf",
            "name": "Chat",
            "url": server.add("/files/chat.gguf", CONTENT),
            "filesize": str(len(CONTENT)),
            "md5sum": MD5,
            "promptTemplate": "User: %1\nBot: %2",
            "systemPrompt": " Be kind. ",
        },
        {
            "filename": "jinja.gguf",
            "filesize": len(CONTENT),
            "sha256sum": SHA256,
            "chatTemplate": "{{ messages }}",
            "systemMessage": "Be brief.",
        },
    ]
    server.add("/models/gguf/jinja.gguf", CONTENT)
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", server.add(CATALOG, json.dumps(entries).encode()))
    return server


class TestDirectories:
    def test_environment_comes_first(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / ".cache" / "gpt4all").mkdir(parents=True)
        monkeypatch.setenv("GPT4ALL_MODEL_DIR", "~/elsewhere")
        assert folders.default_model_directory() == home / "elsewhere"

    def test_classic_place_where_it_exists(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        (home / ".cache" / "gpt4all").mkdir(parents=True)
        assert folders.default_model_directory() == home / ".cache" / "gpt4all"

    def test_platform_cache_otherwise(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import platformdirs

        monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        assert folders.default_model_directory() == platformdirs.user_cache_path("gpt4all", appauthor=False)
        if sys.platform == "linux":
            assert folders.default_model_directory() == home / "cache" / "gpt4all"
        assert list(home.iterdir()) == []

    @pytest.mark.parametrize(
        ("platform", "folder"),
        [
            ("linux", ".local/share/nomic.ai/GPT4All"),
            ("darwin", "Library/Application Support/nomic.ai/GPT4All"),
            ("win32", "AppData/Local/nomic.ai/GPT4All"),
        ],
    )
    def test_desktop(self, home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, folder: str) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        assert folders.desktop_model_directories() == []
        (home / folder).mkdir(parents=True)
        assert folders.desktop_model_directories() == [home / folder]


class TestAllowDownload:
    @pytest.mark.parametrize("value", [True, False])
    def test_bool(self, value: bool) -> None:
        assert parse_allow_download(value) is value

    @pytest.mark.parametrize(("value", "meaning"), [("True", True), ("False", False)])
    def test_string(self, value: str, meaning: bool) -> None:
        with pytest.warns(DeprecationWarning, match="bool"):
            assert parse_allow_download(value) is meaning

    @pytest.mark.parametrize("value", [None, 0, 1, "true", "yes", b"True"])
    def test_anything_else(self, value: object) -> None:
        with pytest.raises(TypeError, match="allow_download"):
            parse_allow_download(value)

    def test_string_for_retrieval(self, models: Path) -> None:
        with pytest.warns(DeprecationWarning, match="bool"), pytest.raises(ModelNotFoundError):
            retrieve("x", models, allow_download="False")


@pytest.mark.usefixtures("no_network")
class TestWithoutNetwork:
    def test_file_that_is_there(self, models: Path) -> None:
        (models / "side.gguf").write_bytes(CONTENT)
        config = {"filename": "side.gguf", "path": str(models / "side.gguf")}
        assert retrieve("side.gguf", models) == config
        assert retrieve("side", str(models)) == config
        assert retrieve("side", None, default=models) == config
        assert retrieve("side", models, allow_download=False) == config

    def test_paths(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = models / "sub" / "side.gguf"
        file.parent.mkdir()
        file.write_bytes(CONTENT)
        assert retrieve(str(file))["path"] == str(file)
        assert retrieve(file)["filename"] == "side.gguf"
        assert retrieve(str(file.with_suffix("")))["path"] == str(file)
        assert retrieve("sub/side", models)["path"] == str(file)
        monkeypatch.chdir(models)
        assert retrieve("sub/side.gguf")["path"] == str(Path("sub/side.gguf"))
        assert retrieve("sub/side.gguf", models.parent)["path"] == str(Path("sub/side.gguf"))
        monkeypatch.chdir(file.parent)
        assert retrieve("side.gguf")["path"] == "side.gguf"
        assert retrieve("./side")["path"] == "side.gguf"

    def test_home_directory(self, home: Path) -> None:
        (home / "x.gguf").write_bytes(CONTENT)
        assert retrieve("~/x.gguf")["path"] == str(home / "x.gguf")
        assert retrieve("x", Path("~"))["path"] == str(home / "x.gguf")

    def test_name_without_an_extension_of_ours(self, models: Path) -> None:
        (models / "weights").write_bytes(CONTENT)
        (models / "old.bin").write_bytes(CONTENT)
        assert retrieve("weights", models)["path"] == str(models / "weights")
        assert retrieve("old.bin", models)["path"] == str(models / "old.bin")

    def test_model_path_is_meant_before_the_current_directory(
        self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "x.gguf").write_bytes(CONTENT)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ModelNotFoundError):
            retrieve("x.gguf", models, allow_download=False)

    def test_path_that_looks_like_a_hub_reference(self, models: Path) -> None:
        file = models / "owner" / "tiny.gguf"
        file.parent.mkdir()
        file.write_bytes(CONTENT)
        assert retrieve("owner/tiny", models)["path"] == str(file)

    def test_desktop_folder(self, home: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        folder = home / ".local" / "share" / "nomic.ai" / "GPT4All"
        folder.mkdir(parents=True)
        (folder / "desk.gguf").write_bytes(CONTENT)
        assert retrieve("desk", default=models)["path"] == str(folder / "desk.gguf")
        (models / "desk.gguf").write_bytes(CONTENT)
        assert retrieve("desk", default=models)["path"] == str(models / "desk.gguf")
        (models / "desk.gguf").unlink()
        with pytest.raises(ModelNotFoundError):
            retrieve("desk", models, allow_download=False)

    def test_directory_with_a_models_name_is_left_to_the_loader(self, models: Path) -> None:
        (models / "dir.gguf").mkdir()
        assert retrieve("dir", models)["path"] == str(models / "dir.gguf")

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("gone", "gone.gguf"),
            ("sub/gone.gguf", "sub/gone.gguf"),
            ("/abs/gone.gguf", "/abs/gone.gguf"),
            ("https://host/gone.gguf", "gone.gguf"),
            ("hf://owner/repo/gone.gguf", "owner/repo/gone.gguf"),
            ("owner/repo:Q4_0", "owner/repo/"),
        ],
    )
    def test_nothing_there_and_nothing_allowed(self, models: Path, name: str, said: str) -> None:
        with pytest.raises(ModelNotFoundError, match=said) as caught:
            retrieve(name, models, allow_download=False)
        assert isinstance(caught.value, FileNotFoundError)
        assert list(models.iterdir()) == []

    def test_paths_are_not_downloaded(self, models: Path) -> None:
        for name in ("/abs/gone.gguf", "sub/gone.gguf", "../gone.gguf"):
            with pytest.raises(ModelNotFoundError, match=r"gone\.gguf"):
                retrieve(name, models)

    def test_missing_names_what_may_be_meant(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SmolLM2-135M.Q4_1.gguf", "all-MiniLM-L6-v2.gguf2.f16.gguf", "unlike.gguf", "notes.txt"):
            (models / name).write_bytes(CONTENT)
        for name, close in (("SmolLM2-135M.Q4_0", "SmolLM2-135M.Q4_1"), ("all-minilm", "all-MiniLM-L6-v2.gguf2.f16")):
            with pytest.raises(ModelNotFoundError, match=rf"exist \(there is {re.escape(close)}\.gguf\); allow"):
                retrieve(name, models, allow_download=False)
        with pytest.raises(ModelNotFoundError, match=r"is a directory: give the path of a file in it \(there is Smol"):
            retrieve(str(models), allow_download=False)
        monkeypatch.chdir(models)
        with pytest.raises(ModelNotFoundError, match=re.escape(f"neither does {models / 'sub' / 'gone.gguf'}")):
            retrieve("./sub/gone.gguf")

    def test_missing_model_path(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match="nowhere"):
            retrieve("x.gguf", tmp_path / "nowhere")

    def test_missing_default_directory_is_not_created(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError):
            retrieve("x.gguf", default=tmp_path / "nowhere", allow_download=False)
        assert not (tmp_path / "nowhere").exists()

    def test_empty_name(self, models: Path) -> None:
        with pytest.raises(ValueError, match="model_name"):
            retrieve("", models)

    @pytest.mark.parametrize("value", [None, 5, b"x.gguf", ["x.gguf"]])
    def test_name_that_is_no_text(self, models: Path, value: object) -> None:
        with pytest.raises(TypeError, match=f"model_name must be a str or a path, not {type(value).__name__}"):
            retrieve(value, models)

    @pytest.mark.parametrize("value", [5, b"models", ["models"]])
    def test_directory_that_is_no_text(self, value: Any) -> None:
        with pytest.raises(TypeError, match=f"model_path must be a str or a path, not {type(value).__name__}"):
            retrieve("x.gguf", value)

    @pytest.mark.usefixtures("no_home")
    def test_user_without_a_home_directory(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (models / "x.gguf").write_bytes(CONTENT)
        monkeypatch.chdir(models)
        default = folders.default_model_directory()
        assert retrieve(str(models / "x.gguf"), default=default)["path"] == str(models / "x.gguf")
        assert retrieve("x", models, default=default)["path"] == str(models / "x.gguf")
        with pytest.raises(ModelNotFoundError):
            retrieve("y", default=default, allow_download=False)
        monkeypatch.setenv("GPT4ALL_MODEL_DIR", str(models))
        assert retrieve("x", default=folders.default_model_directory())["path"] == str(models / "x.gguf")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows directories have no such mode")
    def test_home_that_may_not_be_entered(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with tempfile.TemporaryDirectory() as folder:  # not below tmp_path, which only its owner may enter
            models = Path(folder)
            models.chmod(0o755)
            (models / "x.gguf").write_bytes(CONTENT)
            home.chmod(0)
            retrieve("x", models)  # imports what it needs while it can
            with ordinary_user(models):
                default = folders.default_model_directory()
                assert retrieve(str(models / "x.gguf"), default=default)["path"] == str(models / "x.gguf")
                assert retrieve("x", models, default=default)["path"] == str(models / "x.gguf")
                assert store.list_local_models([default, models])[0]["filename"] == "x.gguf"
                with pytest.raises(ModelNotFoundError, match="Permission denied"):
                    retrieve("y", default=default, allow_download=False)
            home.chmod(0o755)

    @pytest.mark.parametrize("name", ["x\0y", "x" * 5000, "a:b*c"])
    def test_impossible_name(self, models: Path, name: str) -> None:
        with pytest.raises(ModelNotFoundError):
            retrieve(name, models, allow_download=False)

    def test_hub_files_that_are_there(self, models: Path) -> None:
        folder = models / "owner" / "repo"
        (folder / "deep").mkdir(parents=True)
        (folder / "m-Q8_0.gguf").write_bytes(CONTENT)
        assert retrieve("owner/repo", models)["path"] == str(folder / "m-Q8_0.gguf")
        (folder / "deep" / "m-Q4_0-00001-of-00002.gguf").write_bytes(CONTENT)
        assert retrieve("hf://owner/repo/m-Q8_0.gguf", models)["path"] == str(folder / "m-Q8_0.gguf")
        assert retrieve("owner/repo:q4_0", models)["filename"] == "m-Q4_0-00001-of-00002.gguf"


class TestCatalogueModels:
    def test_download(self, served: HttpServer, models: Path) -> None:
        reports: list[DownloadProgress] = []
        config = retrieve("chat", models, progress=reports.append)
        assert Path(config["path"]).read_bytes() == CONTENT
        assert config["filename"] == "chat.gguf"
        assert config["promptTemplate"] == "User: {0}\nBot: {1}"
        assert config["systemPrompt"] == " Be kind. "
        assert config["md5sum"] == MD5
        assert reports[-1].done == len(CONTENT)
        assert served.paths() == [CATALOG, "/files/chat.gguf"]

    def test_newer_format_and_default_address(self, served: HttpServer, models: Path) -> None:
        config = retrieve("jinja.gguf", models)
        assert config["chatTemplate"] == "{{ messages }}"
        assert config["systemMessage"] == "Be brief."
        assert served.paths() == [CATALOG, "/models/gguf/jinja.gguf"]

    def test_default_directory_is_created(self, served: HttpServer, tmp_path: Path) -> None:
        config = retrieve("chat", default=tmp_path / "deep" / "models")
        assert config["path"] == str(tmp_path / "deep" / "models" / "chat.gguf")

    def test_default_directory_that_cannot_be_created(self, served: HttpServer, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(DownloadError, match="cannot be created"):
            retrieve("chat", default=tmp_path / "file" / "models")

    @pytest.mark.usefixtures("no_home")
    def test_no_home_directory_to_download_to(
        self, served: HttpServer, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DownloadError, match="set GPT4ALL_MODEL_DIR"):
            retrieve("chat", default=folders.default_model_directory())
        assert retrieve("chat", models)["md5sum"] == MD5
        assert not list(tmp_path.glob("~*"))

    def test_offline_afterwards(self, served: HttpServer, models: Path, request: pytest.FixtureRequest) -> None:
        online = retrieve("chat", models)
        request.getfixturevalue("no_network")
        assert retrieve("chat", models) == online
        assert retrieve("chat", models, allow_download=False) == online

    def test_broken_network_and_cached_catalogue(self, served: HttpServer, models: Path) -> None:
        catalog.list_models()
        for trouble in (Reply(reset_after=-1), Reply(status=500), Reply(body=b"<html>")):
            served.resources[CATALOG].etag = '"v2"'
            served.script[CATALOG] = [trouble]
            assert retrieve("chat", models)["md5sum"] == MD5
            store.delete_model("chat", models, default_directory=models)

    def test_broken_network_and_no_catalogue(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with nobody_listening() as gone:
            monkeypatch.setenv("GPT4ALL_CATALOG_URL", gone + CATALOG)
            with pytest.raises(requests.exceptions.ConnectionError, match=r"Check the network.*refused") as caught:
                retrieve("chat", models)
        assert str(caught.value).startswith(f"the model file {models / 'chat.gguf'} does not exist")
        assert caught.value.request is not None

    def test_refused_catalogue(self, served: HttpServer, models: Path) -> None:
        served.always[CATALOG] = Reply(status=403)
        with pytest.raises(CatalogError, match=r"chat\.gguf does not exist.*403"):
            retrieve("chat", models)

    def test_hostile_catalogue_writes_nothing(self, served: HttpServer, models: Path) -> None:
        served.add(CATALOG, json.dumps([{"filename": "../x.gguf", "url": served.url("/files/chat.gguf")}]).encode())
        before = sorted(models.parent.rglob("*"))
        for name in ("x.gguf", "../x.gguf"):
            with pytest.raises((CatalogError, ModelNotFoundError)):
                retrieve(name, models)
        assert sorted(models.parent.rglob("*")) == before

    def test_wrong_hash_in_the_catalogue(self, served: HttpServer, models: Path) -> None:
        served.resources["/files/chat.gguf"].content = CONTENT[::-1]
        with pytest.raises(ChecksumError):
            retrieve("chat", models)
        assert not list(models.glob("*.gguf*.part"))
        assert not (models / "chat.gguf").exists()

    def test_hash_that_is_none(self, served: HttpServer, models: Path) -> None:
        served.add(CATALOG, json.dumps([{"filename": "chat.gguf", "md5sum": "see website"}]).encode())
        with pytest.raises(CatalogError, match=r"chat\.gguf"):
            retrieve("chat", models)

    def test_unlisted_model_the_host_has(self, served: HttpServer, models: Path) -> None:
        served.add("/models/gguf/unlisted.gguf", CONTENT)
        assert retrieve("unlisted", models) == {
            "filename": "unlisted.gguf",
            "path": str(models / "unlisted.gguf"),
        }

    def test_unknown_model(self, served: HttpServer, models: Path) -> None:
        with pytest.raises(DownloadError, match=r"chut\.gguf is not in the model catalogue.*similar: chat\.gguf.*404"):
            retrieve("chut", models)

    def test_split_model(self, served: HttpServer, models: Path) -> None:
        names = [f"big-0000{part}-of-00003.gguf" for part in (1, 2, 3)]
        entry = {"filename": names[0], "url": served.url(f"/big/{names[0]}"), "md5sum": MD5}
        served.add(CATALOG, json.dumps([entry]).encode(), etag='"split"')
        for name in names:
            served.add(f"/big/{name}", CONTENT)
        config = retrieve(names[0], models)
        assert config["path"] == str(models / names[0])
        assert served.paths()[1:] == [f"/big/{name}" for name in reversed(names)]
        assert sorted(path.name for path in models.iterdir()) == names


class TestAddresses:
    def test_url(self, server: HttpServer, models: Path) -> None:
        config = retrieve(server.add("/a/b/web%20model.gguf", CONTENT), models)
        path = Path(config["path"])
        assert path.read_bytes() == CONTENT
        assert config["filename"] == path.name == "web model.gguf"
        assert path.parent.parent.name == f"url@127.0.0.1_{server.port}"
        assert len(server.received) == 1  # and no catalogue

    def test_the_second_time_it_needs_no_network(
        self, server: HttpServer, models: Path, request: pytest.FixtureRequest
    ) -> None:
        url = server.add("/a/x.gguf", CONTENT)
        config = retrieve(url, models)
        request.getfixturevalue("no_network")
        for name in (url, url + "#part", url.replace("http://", "HTTP://somebody:secret@")):
            assert retrieve(name, models, allow_download=False)["path"] == config["path"]
        (listed,) = store.list_local_models([models])
        assert retrieve(listed["model_name"], models)["path"] == config["path"]
        assert store.delete_model(url, models, default_directory=models) == [Path(config["path"])]
        assert list(models.iterdir()) == []

    def test_a_name_does_not_make_it_the_same_file(self, served: HttpServer, models: Path) -> None:
        (models / "chat.gguf").write_bytes(b"another model")
        one, two = served.add("/one/chat.gguf", b"GGUF one"), served.add("/two/chat.gguf", b"GGUF two")
        for url, content in ((one, b"GGUF one"), (two, b"GGUF two"), (two + "?v=1", b"GGUF two")):
            with pytest.raises(ModelNotFoundError, match=r"chat.gguf does not exist.*models/chat.gguf may be another"):
                retrieve(url, models, allow_download=False)
            config = retrieve(url, models)
            assert Path(config["path"]).read_bytes() == content
        catalog.list_models()
        assert "promptTemplate" not in retrieve(one, models)  # nor the catalogue's model of that name
        assert len(list(models.rglob("chat.gguf"))) == 4

    def test_split(self, server: HttpServer, models: Path) -> None:
        for part in (1, 2):
            server.add(f"/s/x-0000{part}-of-00002.gguf", CONTENT)
        config = retrieve(server.url("/s/x-00002-of-00002.gguf"), models)
        assert config["filename"] == "x-00001-of-00002.gguf"
        first = Path(config["path"])
        assert {path.name for path in first.parent.iterdir()} == {"x-00001-of-00002.gguf", "x-00002-of-00002.gguf"}
        assert retrieve(server.url("/s/x-00001-of-00002.gguf"), models, allow_download=False) == {
            key: config[key] for key in ("filename", "path")
        }

    def test_unsafe_name(self, server: HttpServer, models: Path) -> None:
        with pytest.raises(ValueError, match="unsafe"):
            retrieve(server.url("/a/..%2Fx.gguf"), models)


class TestListing:
    def test_models_of_several_directories(self, served: HttpServer, models: Path, tmp_path: Path) -> None:
        retrieve("chat", models)
        other = tmp_path / "other"
        other.mkdir()
        parts = [f"{stem}-0000{part}-of-00002.gguf" for stem, part in (("s", 1), ("s", 2), ("t", 1), ("u", 2))]
        no_models = ["notes.txt", "incomplete-c.gguf", "mmproj-b.gguf", "d.gguf.part", ".hidden.gguf", "e.bin"]
        for name in ["b.gguf", *parts, *no_models]:
            (other / name).write_bytes(CONTENT)
        (other / "own" / "repo").mkdir(parents=True)
        (other / "own" / "repo" / "chat.gguf").write_bytes(CONTENT)
        (other / "too" / "deep" / "for" / "us").mkdir(parents=True)
        (other / "too" / "deep" / "for" / "us" / "x.gguf").write_bytes(CONTENT)
        (other / "link.gguf").symlink_to(models / "chat.gguf")
        (other / "dir.gguf").mkdir()

        found = store.list_local_models([models, str(other), tmp_path / "nowhere", models])
        assert [(model["model_name"], model["filesize"] // len(CONTENT), model["complete"]) for model in found] == [
            ("chat.gguf", 1, True),
            ("b.gguf", 1, True),
            ("hf://own/repo/chat.gguf", 1, True),
            ("s-00001-of-00002.gguf", 2, True),
            ("t-00001-of-00002.gguf", 1, False),
        ]
        assert found[0]["name"] == "Chat"
        assert found[0]["path"] == str(models / "chat.gguf")
        assert found[0]["directory"] == str(models)
        assert "name" not in found[2]
        # One directory is meant, and not those that its characters name.
        assert store.list_local_models(str(models)) == store.list_local_models(models) == found[:1]
        with pytest.raises(TypeError, match="directories must be a str or a path, not bytes"):
            store.list_local_models(b"/")  # type: ignore[arg-type]
        for model in found:
            directory = Path(model["directory"])
            assert retrieve(model["model_name"], directory, allow_download=False)["path"] == model["path"]


class TestVerifying:
    def test_against_the_catalogue(self, served: HttpServer, models: Path, request: pytest.FixtureRequest) -> None:
        retrieve("chat", models)
        request.getfixturevalue("no_network")
        assert store.verify_model("chat", models, default_directory=models) == models / "chat.gguf"
        (models / "chat.gguf").write_bytes(CONTENT[:-1] + b"x")
        with pytest.raises(ChecksumError, match=MD5):
            store.verify_model("chat", models, default_directory=models)
        (models / "chat.gguf").write_bytes(CONTENT[:-1])
        with pytest.raises(ChecksumError, match="bytes"):
            store.verify_model("chat", models, default_directory=models)
        assert (models / "chat.gguf").exists()

    def test_against_a_given_hash(self, models: Path) -> None:
        (models / "x.gguf").write_bytes(CONTENT)
        reports: list[DownloadProgress] = []
        path = store.verify_model("x", None, default_directory=models, expected_sha256=SHA256, progress=reports.append)
        assert path == models / "x.gguf"
        assert reports[-1] == DownloadProgress("x.gguf", "verifying", len(CONTENT), len(CONTENT))
        with pytest.raises(ChecksumError):
            store.verify_model("x", models, default_directory=models, expected_md5="0" * 32)

    def test_nothing_to_compare_with(self, models: Path) -> None:
        (models / "x.gguf").write_bytes(CONTENT)
        with pytest.raises(ValueError, match="no hash"):
            store.verify_model("x", models, default_directory=models)
        with pytest.raises(ModelNotFoundError):
            store.verify_model("y", models, default_directory=models)


class TestDeleting:
    def delete(self, name: str, models: Path) -> list[str]:
        deleted = store.delete_model(name, models, default_directory=models)
        return [path.relative_to(models).as_posix() for path in deleted]

    def test_file_and_leftovers(self, models: Path) -> None:
        for name in ("x.gguf", "x.gguf.part", "x.gguf.part.meta", "y.gguf.part", "z.gguf"):
            (models / name).write_bytes(CONTENT)
        assert self.delete("x", models) == ["x.gguf"]
        assert self.delete("y", models) == ["y.gguf"]
        assert [path.name for path in models.iterdir()] == ["z.gguf"]
        with pytest.raises(ModelNotFoundError):
            self.delete("x", models)

    def test_split(self, models: Path) -> None:
        for part in (1, 3):
            (models / f"x-0000{part}-of-00003.gguf").write_bytes(CONTENT)
        assert self.delete("x-00003-of-00003", models) == ["x-00001-of-00003.gguf", "x-00003-of-00003.gguf"]
        assert list(models.iterdir()) == []

    def test_hub_file(self, models: Path) -> None:
        folder = models / "owner" / "repo"
        folder.mkdir(parents=True)
        for name in ("m-Q4_0.gguf", "m-Q8_0.gguf"):
            (folder / name).write_bytes(CONTENT)
        assert self.delete("owner/repo:Q8_0", models) == ["owner/repo/m-Q8_0.gguf"]
        assert self.delete("hf://owner/repo/m-Q4_0.gguf", models) == ["owner/repo/m-Q4_0.gguf"]
        assert list(models.iterdir()) == []
        with pytest.raises(ModelNotFoundError):
            self.delete("owner/repo", models)

    def test_nothing_outside(self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        outside = tmp_path / "outside.gguf"
        outside.write_bytes(CONTENT)
        (models / "door").symlink_to(tmp_path)
        monkeypatch.chdir(models)
        for name in (str(outside), "../outside.gguf", "door/outside.gguf", "sub/../../outside"):
            with pytest.raises((ValueError, ModelNotFoundError)):
                self.delete(name, models)
        assert outside.exists()

    def test_link_is_deleted_and_not_its_target(self, models: Path, tmp_path: Path) -> None:
        target = tmp_path / "target.gguf"
        target.write_bytes(CONTENT)
        (models / "x.gguf").symlink_to(target)
        assert self.delete("x", models) == ["x.gguf"]
        assert target.exists()

    def test_directory(self, models: Path) -> None:
        (models / "x.gguf").mkdir()
        with pytest.raises(ValueError, match="directory"):
            self.delete("x", models)

    def test_while_it_is_downloaded(self, models: Path) -> None:
        (models / "x.gguf.part").write_bytes(CONTENT)
        with exclusive(models / "x.gguf"), pytest.raises(DownloadError, match="right now"):
            self.delete("x", models)
        assert (models / "x.gguf.part").exists()

    def test_desktop_folder_is_never_touched(self, home: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        folder = home / ".local" / "share" / "nomic.ai" / "GPT4All"
        folder.mkdir(parents=True)
        (folder / "desk.gguf").write_bytes(CONTENT)
        with pytest.raises(ModelNotFoundError):
            store.delete_model("desk", default_directory=models)
        assert os.listdir(folder) == ["desk.gguf"]
