"""Hugging Face references, through the real huggingface_hub against a local server that answers like the hub."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from gpt4all.errors import ChecksumError, DownloadError
from gpt4all.model_files.retrieve import retrieve_model
from tests.support.http import hub as hub_answers
from tests.support.http.server import HttpServer, Reply, nobody_listening

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.usefixtures("home", "pauses")

REPO = "owner/tiny-GGUF"
API = hub_answers.api_path(REPO)


def content(name: str) -> bytes:
    return b"GGUF" + name.encode() * 1000


def file_path(name: str) -> str:
    return hub_answers.file_path(REPO, name)


FILES = [
    "tiny-Q4_K_M.gguf",
    "tiny-Q8_0.gguf",
    "mmproj-tiny.gguf",
    "BF16/tiny-BF16-00001-of-00002.gguf",
    "BF16/tiny-BF16-00002-of-00002.gguf",
]


def sibling(name: str, **changes: Any) -> dict[str, Any]:
    return hub_answers.sibling(name, content(name), **changes)


def describe(siblings: list[dict[str, Any]]) -> bytes:
    return hub_answers.describe(REPO, siblings)


@pytest.fixture
def hub(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> HttpServer:
    monkeypatch.setenv("HF_ENDPOINT", server.url(""))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub_answers.add_repository(server, REPO, {name: content(name) for name in FILES})
    return server


def retrieve(name: str, models: Path) -> dict[str, Any]:
    return retrieve_model(name, models, default_directory=models)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (REPO, "tiny-Q4_K_M.gguf"),
        (f"{REPO}:Q8_0", "tiny-Q8_0.gguf"),
        (f"hf://{REPO}:q8_0", "tiny-Q8_0.gguf"),
        (f"hf://{REPO}/tiny-Q8_0.gguf", "tiny-Q8_0.gguf"),
    ],
)
def test_one_file(hub: HttpServer, models: Path, reference: str, name: str) -> None:
    config = retrieve(reference, models)
    assert config == {
        "filename": name,
        "path": str(models / "owner" / "tiny-GGUF" / name),
        "url": hub.url(file_path(name)),
        "filesize": len(content(name)),
        "sha256sum": hashlib.sha256(content(name)).hexdigest(),
    }
    assert Path(config["path"]).read_bytes() == content(name)
    # huggingface_hub asks for things of its own besides.
    asked = [request for request in hub.received if REPO in request.path]
    assert [request.path.partition("?")[0] for request in asked] == [API, file_path(name)]
    assert [request.headers["Authorization"] for request in asked] == ["Bearer hf_secret"] * 2
    hub.received.clear()
    assert retrieve(reference, models)["path"] == config["path"]
    assert hub.received == []


def test_without_a_token(hub: HttpServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    retrieve(REPO, models)
    assert {request.headers["Authorization"] for request in hub.received} == {None}


def test_token_does_not_follow_to_the_storage(hub: HttpServer, models: Path) -> None:
    name = "tiny-Q4_K_M.gguf"
    with HttpServer() as storage:
        hub.script[file_path(name)] = [
            Reply(status=302, headers={"Location": storage.add("/blob", content(name)), "ETag": '"linked"'})
        ]
        retrieve(REPO, models)
        assert [request.headers["Authorization"] for request in storage.received] == [None]


def test_revision(hub: HttpServer, models: Path) -> None:
    hub.add(f"{API}/revision/v2", describe([sibling("tiny-Q8_0.gguf")]))
    config = retrieve(f"{REPO}@v2", models)
    assert config["path"] == str(models / "owner" / "tiny-GGUF@v2" / "tiny-Q8_0.gguf")
    assert config["url"] == hub.url(file_path("tiny-Q8_0.gguf"))


@pytest.mark.parametrize("reference", [f"{REPO}:BF16", f"hf://{REPO}/BF16/tiny-BF16-00002-of-00002.gguf"])
def test_split(hub: HttpServer, models: Path, reference: str) -> None:
    config = retrieve(reference, models)
    folder = models / "owner" / "tiny-GGUF" / "BF16"
    assert config["path"] == str(folder / "tiny-BF16-00001-of-00002.gguf")
    assert {path.name for path in folder.iterdir()} == {Path(name).name for name in FILES if "BF16" in name}
    hub.received.clear()
    assert retrieve(reference, models)["path"] == config["path"]
    assert hub.received == []


def test_resumed(hub: HttpServer, models: Path) -> None:
    name = "tiny-Q4_K_M.gguf"
    hub.script[file_path(name)] = [Reply(close_after=100)]
    assert Path(retrieve(REPO, models)["path"]).read_bytes() == content(name)
    assert hub.ranges(file_path(name)) == [None, "bytes=100-"]


def test_hash_of_the_hub_counts(hub: HttpServer, models: Path) -> None:
    name = "tiny-Q4_K_M.gguf"
    hub.resources[file_path(name)].content = content(name)[::-1]
    with pytest.raises(ChecksumError, match="sha256"):
        retrieve(REPO, models)
    assert list(models.rglob("*.gguf")) == []


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        (f"{REPO}:Q2_K", "no Q2_K model among"),
        (f"hf://{REPO}/other.gguf", r"has no file other\.gguf"),
    ],
)
def test_nothing_fits(hub: HttpServer, models: Path, reference: str, problem: str) -> None:
    with pytest.raises(DownloadError, match=problem):
        retrieve(reference, models)
    assert list(models.iterdir()) == []


def test_repository_without_models(hub: HttpServer, models: Path) -> None:
    hub.add(API, describe([{"rfilename": "README.md", "size": 5}]))
    with pytest.raises(DownloadError, match="no GGUF model at all"):
        retrieve(REPO, models)


@pytest.mark.parametrize("name", ["../../evil.gguf", "a/../../../evil.gguf", "C:evil.gguf", "a\\evil.gguf"])
def test_hostile_names(hub: HttpServer, models: Path, name: str) -> None:
    hub.add(API, describe([sibling(name)]))
    with pytest.raises(ValueError, match="unsafe"):
        retrieve(REPO, models)
    assert list(models.parent.rglob("evil*")) == []


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_refusal(hub: HttpServer, models: Path, status: int) -> None:
    hub.always[API] = Reply(status=status)
    with pytest.raises(DownloadError, match=f"the hub answered {status}") as caught:
        retrieve(REPO, models)
    assert ("HF_TOKEN" in str(caught.value)) == (status in (401, 403))


def test_gated(hub: HttpServer, models: Path) -> None:
    hub.script[file_path("tiny-Q4_K_M.gguf")] = [Reply(status=403)]
    with pytest.raises(DownloadError, match="403"):
        retrieve(REPO, models)


@pytest.mark.parametrize(
    "lfs", [{"size": -5, "sha256": "0" * 64}, {"size": 5, "sha256": "secret"}, {"size": "5", "sha256": "0" * 64}]
)
def test_nonsense_of_the_hub(hub: HttpServer, models: Path, lfs: dict[str, Any]) -> None:
    hub.add(API, describe([sibling(FILES[0], lfs={**lfs, "pointerSize": 134})]))
    with pytest.raises(DownloadError, match="makes no sense: expected_"):
        retrieve(REPO, models)


def test_unreachable(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody_listening() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone)
        with pytest.raises(requests.exceptions.ConnectionError, match=REPO):
            retrieve(REPO, models)


def test_package_that_is_missing(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DownloadError, match=r"pip install huggingface_hub"):
        retrieve(REPO, models)
