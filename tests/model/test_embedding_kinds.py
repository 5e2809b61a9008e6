"""``Embed4All`` with tiny random models of every kind, which sanitizers run too."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt4all import Embed4All, UnsupportedModelError

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

from tests.support.bert_reference import BertReference, same_direction  # noqa: E402

pytestmark = pytest.mark.model

TINY = ("tiny-bert", "tiny-bert-cls", "tiny-nomic-bert", "tiny-qwen3-embedding", "tiny-gemma-embedding")


@pytest.fixture(scope="module")
def tiny_embedder(model_file: Callable[[str], Path]) -> Iterator[Callable[[str], Embed4All]]:
    made: dict[str, Embed4All] = {}

    def load(name: str) -> Embed4All:
        if name not in made:
            made[name] = Embed4All(model_file(name), n_threads=2)
        return made[name]

    yield load
    for model in made.values():
        model.close()


def arguments(name: str) -> dict[str, Any]:
    return {} if name == "tiny-nomic-bert" else {"prefix": ""}


@pytest.mark.parametrize("name", TINY)
def test_every_kind_of_model(tiny_embedder: Callable[[str], Embed4All], name: str) -> None:
    model = tiny_embedder(name)
    texts = ["Hello", "the red one is", "yes, no? 123 " * 12, "in the blue there was that", "a", " "] * 3
    together = model.embed(texts, output="numpy", **arguments(name))
    assert together.shape == (len(texts), model.gpt4all._loaded.info.n_embd_out)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-6)
    alone = np.array([model.embed(text, **arguments(name)) for text in texts])
    assert np.abs(together - alone).max() <= 1e-4
    # They tell texts apart.
    assert np.abs(together[0] - together[1]).max() > 1e-2


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-qwen3-embedding"])
def test_a_small_context(model_file: Callable[[str], Path], name: str) -> None:
    # Fewer tokens than the texts that a batch may have.
    with Embed4All(model_file(name), n_ctx=16) as model:
        vectors = model.embed(["some text that is too long for one chunk", "short"], prefix="")
    assert [round(sum(x * x for x in vector), 4) for vector in vectors] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-bert-cls"])
def test_pooling(tiny_embedder: Callable[[str], Embed4All], model_file: Callable[[str], Path], name: str) -> None:
    reference = BertReference(model_file(name))
    for text in ("Hello", "the red one is", "in the blue there was that"):
        vector = tiny_embedder(name).embed(text, prefix="")
        assert same_direction(vector, reference.vector(text)) >= 0.9999


def test_a_causal_model_takes_the_last_token(tiny_embedder: Callable[[str], Embed4All]) -> None:
    model = tiny_embedder("tiny-qwen3-embedding")
    first, second = model.embed(["the red one", "in blue one"], prefix="", output="numpy")
    # The same last token, but it has seen others.
    assert np.abs(first - second).max() > 1e-3


def test_matryoshka(tiny_embedder: Callable[[str], Embed4All]) -> None:
    model = tiny_embedder("tiny-nomic-bert")
    reader = model._reader("search_document")
    window_tokens = [*reader.framing.before, *reader.tokens("Hello"), *reader.framing.after]
    raw = np.array(
        model.gpt4all._loaded.embed(array("i", window_tokens), array("i", [len(window_tokens)]), normalize=False)
    )
    scaled = (raw - raw.mean()) / np.sqrt(raw.var(ddof=1) + 1e-5)
    cut = scaled[:64] / np.linalg.norm(scaled[:64])
    assert model.embed("Hello", dimensionality=64) == pytest.approx(cut.tolist(), abs=1e-6)


def test_a_reranker_is_refused(model_file: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedModelError, match="reranker"):
        Embed4All(model_file("tiny-bert-rank"))


def test_a_text_generation_model_is_refused(model_file: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedModelError, match="text-generation model"):
        Embed4All(model_file("tiny-llama"))


def test_a_model_by_the_name_that_the_converter_gives_it(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    import gguf
    from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

    def renamed(**keys: str) -> Path:
        reader = gguf.GGUFReader(model_file("minilm"))
        writer = gguf.GGUFWriter(tmp_path / "renamed.gguf", arch="bert")
        values = {f"general.{key}": MetadataDetails(gguf.GGUFValueType.STRING, text) for key, text in keys.items()}
        copy_with_new_metadata(reader, writer, values, [])
        return tmp_path / "renamed.gguf"

    with Embed4All(model_file("minilm"), n_threads=1) as model:
        vector = model.embed("A text.")
    for keys in (
        {"name": "MiniLM L6 H384 Uncased"},
        {"name": "Snapshot", "source.repo_url": "https://hub.invalid/someone/all-MiniLM-L6-v2"},
    ):
        with Embed4All(renamed(**keys), n_threads=1) as model:
            assert model.embed("A text.") == vector
