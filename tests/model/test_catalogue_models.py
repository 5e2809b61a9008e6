"""Models of the catalogue, of every format it has had: downloaded, loaded, and chatting with the right template."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt4all import GPT4All, UnsupportedModelError
from gpt4all.engine.loaded_model import LoadedModel
from tests.support.chat.models import byte_vocabulary, write_chat_model
from tests.support.http.offline import forbid_sockets
from tests.support.http.server import HttpServer

pytestmark = pytest.mark.model

SAMPLE = Path(__file__).parents[1] / "data" / "catalogs" / "models3.json"
CATALOG = "/models/models3.json"
OWN_TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<reply>"


def without_file_facts(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without what it says of a file that does not exist."""
    return {key: value for key, value in entry.items() if key not in ("url", "md5sum", "sha256sum", "filesize")}


@pytest.fixture
def catalogue(
    tmp_path: Path, model_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[HttpServer]:
    """The sample catalogue, served with a tiny model behind each of its entries."""
    embedding = model_file("tiny-bert").read_bytes()
    chat = write_chat_model(tmp_path / "chat.gguf", byte_vocabulary(OWN_TEMPLATE)).read_bytes()
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with HttpServer() as server:
        entries = []
        for entry in json.loads(SAMPLE.read_bytes()):
            content = embedding if entry.get("embeddingModel") else chat
            url = server.add(f"/files/{entry['filename']}", content)
            facts = {"url": url, "md5sum": hashlib.md5(content).hexdigest(), "filesize": str(len(content))}
            entries.append({**without_file_facts(entry), **facts})
        monkeypatch.setenv("GPT4ALL_CATALOG_URL", server.add(CATALOG, json.dumps(entries).encode()))
        yield server


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text of every conversation that is sent."""
    seen: list[str] = []
    tokenize = LoadedModel.tokenize_parts

    def record(session: LoadedModel, parts: Any, *cancel: Any) -> list[int]:
        seen.append("".join(text for text, _ in parts))
        return tokenize(session, parts, *cancel)

    monkeypatch.setattr(LoadedModel, "tokenize_parts", record)
    return seen


@pytest.mark.parametrize(
    ("name", "system", "prompt"),
    [
        (
            "tiny-chat.Q4_0.gguf",
            "You answer in one sentence.\n",
            "<|system|>You answer in one sentence.\n<|end|><|user|>Hi<|end|><|assistant|>",
        ),
        (
            "tiny-instruct-v1.Q4_0.gguf",
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>> [/INST]</s> ",
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>> [/INST]</s> [INST] Hi [/INST] ",
        ),
        ("bare.gguf", "", "<user>Hi<reply>"),
    ],
    ids=["newer", "older", "without a template"],
)
def test_a_session(
    catalogue: HttpServer,
    prompts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    system: str,
    prompt: str,
) -> None:
    def chat(**options: Any) -> list[dict[str, str]] | None:
        prompts.clear()
        with GPT4All(name, model_path=tmp_path, n_ctx=512, **options) as model, model.chat_session():
            answer = model.generate("Hi", max_tokens=4, temp=0)
            assert prompts[0] == prompt
            assert model.current_chat_session == [
                {"role": "system", "content": system},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": answer},
            ]
            return model.current_chat_session

    online = chat()
    assert catalogue.paths() == [CATALOG, f"/files/{name}"]
    forbid_sockets(monkeypatch)
    assert chat() == online
    assert chat(allow_download=False) == online


def test_an_embedding_model(catalogue: HttpServer, tmp_path: Path) -> None:
    with (
        GPT4All("tiny-embed.f16.gguf", model_path=tmp_path, n_ctx=64) as model,
        pytest.raises(UnsupportedModelError, match="embedding model"),
    ):
        model.generate("Hi")


def test_the_default_model_and_a_file_beside_it_need_no_network(
    model_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompts: list[str]
) -> None:
    """The template is the one in each file; no catalogue has ever been fetched."""
    default = model_file("smollm2")
    own = write_chat_model(tmp_path / "own.gguf", byte_vocabulary(OWN_TEMPLATE))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forbid_sockets(monkeypatch)
    for path, beginning, ending in [
        (default, "<|im_start|>system\n", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (own, "<user>", "Hi<reply>"),
    ]:
        prompts.clear()
        with GPT4All(path.name, model_path=path.parent, n_ctx=512) as model, model.chat_session():
            model.generate("Hi", max_tokens=2, temp=0)
        assert prompts[0].startswith(beginning)
        assert prompts[0].endswith(ending)
