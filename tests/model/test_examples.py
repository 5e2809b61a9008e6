"""The examples in docstrings of all that is public, in the README and in docs/, run as they stand.

All find models in the default directory, which is ``models`` below the present one, and a catalogue with one model
more. Those of docstrings also find ``model`` and ``embedder`` open, and ``gpt4all``'s names and ``asyncio`` imported.
What blocks of Markdown mean, ``tests/support/documents.py`` says.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpt4all
from gpt4all import Embed4All, GPT4All
from tests.support.docstrings import Docstring
from tests.support.documents import Page, pages
from tests.support.http.hub import add_repository
from tests.support.http.server import HttpServer
from tests.support.page_run import run_page
from tests.support.surface import members, public_classes, public_values

pytestmark = pytest.mark.model

#: For pages, small models in place of those that people would take.
STAND_INS = {
    "Llama-3.2-1B-Instruct-Q4_0.gguf": "smollm2",
    "nomic-embed-text-v1.5.f16.gguf": "tiny-nomic-bert",
}
#: Where examples say that a model or a page is.
ELSEWHERE = "https://example.org"


def documented() -> Iterator[tuple[str, Docstring]]:
    yield "gpt4all", Docstring.of(gpt4all)
    for name, value in public_values().items():
        yield name, Docstring.of(value)
    for cls in public_classes():
        for member in members(cls, special=True):
            yield member.qualified_name, Docstring.of(member.function)


EXAMPLES = {name: doc for name, doc in documented() if doc.section("Example")}


def test_no_example_is_left_out() -> None:
    """Whatever looks like one in a docstring of the package is among those that are run."""
    run = {doc.text for doc in EXAMPLES.values()}
    for path in sorted(Path(gpt4all.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node) or ""
                assert ">>> " not in text or text in run, f"{path.name}: {text.splitlines()[0]}"


@pytest.fixture(scope="module")
def embedder(model_file: Callable[[str], Path]) -> Iterator[Embed4All]:
    with Embed4All(model_file("minilm")) as embedder:
        yield embedder


@pytest.fixture
def catalogue(model_file: Callable[[str], Path]) -> Iterator[str]:
    """The address of a catalogue like the real one; its host has the last of its models, and is the hub too."""
    tiny = model_file("tiny-llama")
    entries = [
        {
            "name": "Llama 3 8B Instruct",
            "filename": "Meta-Llama-3-8B-Instruct.Q4_0.gguf",
            "type": "LLaMA3",
            "filesize": "4661724384",
            "ramrequired": "8",
        },
        {
            "name": "Tiny Llama",
            "filename": tiny.name,
            "filesize": str(tiny.stat().st_size),
            "md5sum": hashlib.md5(tiny.read_bytes()).hexdigest(),
            "ramrequired": "1",
        },
    ]
    with HttpServer() as server:
        server.add(f"/models/gguf/{tiny.name}", tiny.read_bytes())
        add_repository(server, "owner/tiny-GGUF", {"tiny-Q8_0.gguf": tiny.read_bytes()})
        yield server.add("/models/models3.json", json.dumps(entries).encode())


@pytest.fixture(scope="session")
def stand_ins(model_file: Callable[[str], Path]) -> dict[str, Path]:
    return {name: model_file(model) for name, model in STAND_INS.items()}


@pytest.fixture
def surroundings(
    model_file: Callable[[str], Path], catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("smollm2", "minilm"):
        (models / model_file(name).name).symlink_to(model_file(name))
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("GPT4ALL_MODEL_DIR", "models")
    monkeypatch.setenv("GPT4ALL_CATALOG_URL", catalogue)


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, smollm2: GPT4All, embedder: Embed4All) -> None:
    names: dict[str, Any] = public_values() | {"gpt4all": gpt4all, "asyncio": asyncio}
    names |= {"model": smollm2, "embedder": embedder}
    threads = smollm2.model.thread_count()
    example = doctest.DocTestParser().get_doctest("\n".join(EXAMPLES[name].section("Example")), names, name, name, 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert result.attempted > 0
    assert not result.failed, "".join(report)
    smollm2.model.set_thread_count(threads)


# The stand-ins come first: later, HOME is another.
@pytest.mark.usefixtures("stand_ins", "surroundings")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[] if page.name == "README.md" else pytest.mark.slow, id=page.name) for page in pages()],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the pages' commands are for a POSIX shell")
def test_page(page: Page, stand_ins: dict[str, Path], catalogue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = catalogue.removesuffix("/models/models3.json")
    monkeypatch.setenv("HF_ENDPOINT", host)
    for name, path in stand_ins.items():
        Path("models", name).symlink_to(path)
    run_page(page, addresses={ELSEWHERE: host})


@pytest.mark.usefixtures("surroundings")
def test_a_search_of_a_folder_without_documents(tmp_path: Path) -> None:
    page = next(page for page in pages() if page.name == "docs/embeddings.md")
    (code,) = [block.code for block in page.blocks if block.said("file") == "search.py"]
    (tmp_path / "search.py").write_text(code, encoding="utf-8")
    (tmp_path / "notes").mkdir()
    done = subprocess.run([sys.executable, "search.py", "notes", "q"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "notes has no text in files of .md or .txt\n")
