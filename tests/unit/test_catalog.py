"""The catalogue: fetched from a real server, checked, cached."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

import gpt4all
from gpt4all.downloads import http
from gpt4all.errors import CatalogError
from gpt4all.model_files import catalog
from tests.support.http.downloads import PATIENCE
from tests.support.http.server import HttpServer, Reply, nobody_listening

SAMPLE = (Path(__file__).parents[1] / "data" / "catalogs" / "models3.json").read_bytes()
PATH = "/models/models3.json"

pytestmark = pytest.mark.usefixtures("home", "pauses")


@pytest.fixture
def served(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> HttpServer:
    """A server with the sample catalogue, at the address that is asked."""
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", server.add(PATH, SAMPLE))
    return server


def test_public_address(home: Path) -> None:
    assert catalog.catalog_url() == "https://gpt4all.io/models/models3.json"


def test_entries_as_they_stand(served: HttpServer) -> None:
    assert catalog.list_models() == json.loads(SAMPLE)
    assert catalog.cached_models() == json.loads(SAMPLE)


def test_unchanged_catalogue_is_not_sent_again(served: HttpServer) -> None:
    first = catalog.list_models()
    assert catalog.list_models() == first
    assert [request.headers["If-None-Match"] for request in served.received] == [None, '"v1"']


def test_modification_date(served: HttpServer) -> None:
    served.resources[PATH].etag = None
    served.resources[PATH].last_modified = "Mon, 02 Nov 2026 10:00:00 GMT"
    first = catalog.list_models()
    served.script[PATH] = [Reply(status=304, framing="close", body=b"")]
    assert catalog.list_models() == first
    assert served.received[1].headers["If-Modified-Since"] == "Mon, 02 Nov 2026 10:00:00 GMT"


def test_changed_catalogue(served: HttpServer) -> None:
    catalog.list_models()
    served.add(PATH, b'[{"filename": "new.gguf"}]', etag='"v2"')
    assert catalog.list_models() == [{"filename": "new.gguf"}]
    assert catalog.cached_models() == [{"filename": "new.gguf"}]


def test_never_answers_from_the_cache_by_itself(served: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.list_models()
    served.script[PATH] = [Reply(status=500)]
    with pytest.raises(CatalogError, match="500"):
        catalog.list_models()
    served.script[PATH] = [Reply(reset_after=-1)]
    with pytest.raises(requests.exceptions.ConnectionError):
        catalog.list_models()
    assert catalog.cached_models() == json.loads(SAMPLE)


@pytest.mark.parametrize("status", [204, 206, 401, 403, 404, 429, 500, 503])
def test_status(served: HttpServer, status: int) -> None:
    served.script[PATH] = [Reply(status=status)]
    with pytest.raises(CatalogError, match=rf"{served.url(PATH)} answered {status} \w+") as caught:
        catalog.list_models()
    assert isinstance(caught.value, ValueError)


def test_304_for_a_catalogue_we_do_not_have(served: HttpServer) -> None:
    served.script[PATH] = [Reply(status=304, framing="close", body=b"")]
    with pytest.raises(CatalogError, match="304"):
        catalog.list_models()


def test_damaged_cache_is_ignored(served: HttpServer, home: Path) -> None:
    catalog.list_models()
    (cache,) = (path for path in home.rglob("*.json"))
    for content in ("", "[]", '{"url": 1}', '{"models": [{}]}', "[" * 100_000, cache.read_text()[:-20]):
        cache.write_text(content)
        assert catalog.cached_models() is None
        assert catalog.list_models() == json.loads(SAMPLE)
    assert {request.headers["If-None-Match"] for request in served.received} == {None}


def test_hostile_cache_is_ignored(served: HttpServer, home: Path) -> None:
    catalog.list_models()
    (cache,) = home.rglob("*.json")
    cache.write_text(cache.read_text().replace("bare.gguf", "../bare.gguf"))
    assert catalog.cached_models() is None


def test_cache_belongs_to_an_address(served: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.list_models()
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", served.url("/other.json"))
    assert catalog.cached_models() is None


def test_cache_that_cannot_be_written(served: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("HOME", str(blocked))
    assert catalog.list_models() == json.loads(SAMPLE)
    assert catalog.cached_models() is None


def test_redirect_and_compression(served: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    served.add("/old.json", b"", Reply(status=301, headers={"Location": PATH}))
    served.script[PATH] = [Reply(compress=True)]
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", served.url("/old.json"))
    assert catalog.list_models() == json.loads(SAMPLE)


def test_redirect_to_a_file(served: HttpServer) -> None:
    served.script[PATH] = [Reply(status=302, headers={"Location": "file:///etc/passwd"})]
    with pytest.raises(CatalogError, match="no http or https address"):
        catalog.list_models()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "models3.json", "http://", "ftp://x/y"])
def test_address_that_is_not_http(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", url)
    with pytest.raises(CatalogError, match="no http or https address"):
        catalog.list_models()


def test_network_failures_keep_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody_listening() as gone:
        monkeypatch.setenv("GPT4ALL_CATALOG_URL", gone + PATH)
        with pytest.raises(requests.exceptions.ConnectionError):
            catalog.list_models()


def test_broken_off_answer(served: HttpServer) -> None:
    served.script[PATH] = [Reply(close_after=100)]
    with pytest.raises(requests.exceptions.ConnectionError):
        catalog.list_models()
    assert catalog.cached_models() is None


def test_silence(served: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "POLICY", replace(http.POLICY, read_timeout=0.1))
    served.script[PATH] = [Reply(hold_after=-1)]
    with pytest.raises(requests.exceptions.ReadTimeout):
        catalog.list_models()
    served.always[PATH] = Reply(hold_after=10)
    for seconds in PATIENCE:
        monkeypatch.setattr(http, "POLICY", replace(http.POLICY, read_timeout=seconds))
        with pytest.raises(requests.exceptions.RequestException) as caught:
            catalog.list_models()
        if not isinstance(caught.value, requests.exceptions.ReadTimeout):  # the answer began in time
            break
    assert isinstance(caught.value, requests.exceptions.ConnectionError)


def test_endless_catalogue(served: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_MAX_CATALOG_BYTES", 1000)
    with pytest.raises(CatalogError, match="over 1000 bytes"):
        catalog.list_models()


def test_proxy_of_the_environment(served: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", served.url(""))
    monkeypatch.setenv("http_proxy", served.url(""))
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", f"http://catalogue.invalid{PATH}")
    assert catalog.list_models() == json.loads(SAMPLE)


def entry(**values: object) -> bytes:
    return json.dumps([{"filename": "fine.gguf"}, {"filename": "x.gguf", **values}]).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON"),
        (b"<html><body>Please log in</body></html>", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (SAMPLE[:-10], "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "not a list of models but a dict"),
        (b'"text"', "not a list"),
        (b"null", "not a list"),
        (b"[1]", "entry 0: .*an object"),
        (b"[[]]", "entry 0: .*an object"),
        (b"[{}]", "entry 0: .*no filename"),
        (b'[{"filename": "a.gguf"}, {"name": "x"}]', "entry 1: .*no filename"),
        (entry(filename=None), "entry 1: .*must be a string"),
        (entry(filename=5), "entry 1: .*must be a string"),
        (entry(filename=["x.gguf"]), "must be a string"),
        (entry(filename=""), "unsafe model file name"),
        (entry(filename="."), "unsafe"),
        (entry(filename=".."), "unsafe"),
        (entry(filename="../x.gguf"), "unsafe"),
        (entry(filename="a/b.gguf"), "unsafe"),
        (entry(filename="/etc/passwd"), "unsafe"),
        (entry(filename="..\\x.gguf"), "unsafe"),
        (entry(filename="C:\\x.gguf"), "unsafe"),
        (entry(filename="C:x.gguf"), "unsafe"),
        (entry(filename="x.gguf\0.txt"), "unsafe"),
        (entry(filename="x\n.gguf"), "unsafe"),
        (entry(filename=".hidden.gguf"), "unsafe"),
        (entry(filename="~root.gguf"), "unsafe"),
        (entry(filename="x.gguf "), "unsafe"),
        (entry(filename="x" * 300 + ".gguf"), "unsafe"),
        (entry(filename="\ud800.gguf" * 100), "unsafe"),
        (entry(filename="aux.gguf"), "unsafe"),
        (entry(filesize="-5"), "filesize of x.gguf"),
        (entry(filesize=0), "filesize"),
        (entry(filesize="many"), "filesize"),
        (entry(filesize="1.5"), "filesize"),
        (entry(filesize=1.5), "filesize"),
        (entry(filesize=True), "filesize"),
        (entry(filesize=["1"]), "filesize"),
        (entry(filesize="9" * 15), "filesize"),
        (entry(filesize="9" * 5000), "filesize"),
        (entry(filesize=10**30), "filesize"),
        (entry(url="file:///etc/passwd"), "url of x.gguf"),
        (entry(url="ftp://host/x.gguf"), "url"),
        (entry(url="http://[::1"), "entry 1"),
        (entry(url=5), "url of x.gguf must be a text"),
        (entry(md5sum=5), "md5sum"),
        (entry(promptTemplate=["%1"]), "promptTemplate"),
        (entry(systemPrompt={}), "systemPrompt"),
        (entry(chatTemplate=1), "chatTemplate"),
        (entry(systemMessage=True), "systemMessage"),
        (entry(name=1), "name"),
    ],
)
def test_malformed(served: HttpServer, content: bytes, problem: str) -> None:
    served.add(PATH, content)
    with pytest.raises(CatalogError, match=problem):
        catalog.list_models()
    assert catalog.cached_models() is None


def test_formats_of_both_generations() -> None:
    chat, instruct, embed, bare = map(catalog.model_config, json.loads(SAMPLE))
    assert chat["chatTemplate"].startswith("{%- for message in messages %}")
    assert chat["systemMessage"] == "You answer in one sentence.\n"
    assert "promptTemplate" not in chat
    assert instruct["promptTemplate"] == "[INST] {0} [/INST] {1}</s>"
    assert instruct["systemPrompt"] == "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>> [/INST]</s> "
    assert embed["promptTemplate"] is None
    assert bare == {"filename": "bare.gguf"}


def test_rewriting_leaves_the_entry_alone() -> None:
    entry: dict[str, Any] = {"filename": "x.gguf", "promptTemplate": "%1"}
    assert catalog.model_config(entry)["promptTemplate"] == "{0}"
    assert entry["promptTemplate"] == "%1"


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        ({}, ["Tiny Chat", "Tiny Instruct", "Tiny Text Embedder", None]),
        ({"text": "chat"}, ["Tiny Chat"]),
        ({"text": "TINY instruct"}, ["Tiny Instruct"]),
        ({"text": "q4_0"}, ["Tiny Chat", "Tiny Instruct"]),
        ({"text": "bare"}, [None]),
        ({"text": "huge"}, []),
        ({"model_type": "llama3"}, ["Tiny Chat"]),
        ({"model_type": "Qwen2"}, []),
        ({"max_memory": 4 << 30}, ["Tiny Chat", "Tiny Text Embedder"]),
        ({"max_memory": 16 << 30}, ["Tiny Chat", "Tiny Instruct", "Tiny Text Embedder"]),
        ({"text": "tiny", "model_type": "bert", "max_memory": 1 << 30}, ["Tiny Text Embedder"]),
        ({"max_memory": 0}, []),
    ],
)
def test_search(criteria: dict[str, Any], found: list[str | None]) -> None:
    models = catalog.parse_catalog(SAMPLE, "http://host/models3.json")
    assert [entry.get("name") for entry in catalog.search_models(models, **criteria)] == found


def test_what_an_entry_says_of_its_file() -> None:
    chat, instruct, embed, bare = map(catalog.entry_expected, json.loads(SAMPLE))
    assert (chat.size, chat.md5) == (4096, "0123456789abcdef0123456789abcdef")
    assert instruct.size == 8 << 30
    assert embed.hashes().keys() == {"md5", "sha256"}
    assert (bare.size, bare.hashes()) == (None, {})
    with pytest.raises(CatalogError, match=r"x\.gguf.*md5"):
        catalog.entry_expected({"filename": "x.gguf", "md5sum": "not a hash"})


def test_importing_stays_cheap() -> None:
    code = (
        "import sys, gpt4all.model_files.catalog, gpt4all.model_files.retrieve, gpt4all.downloads.transfer\n"
        "print(*sorted({'requests', 'urllib3', 'tqdm', 'filelock', 'platformdirs', 'huggingface_hub'}"
        " & set(sys.modules)))"
    )
    root = Path(gpt4all.__file__).resolve().parents[1]
    said = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == ""
