"""Known embedding models: how they are found, which prefixes and sizes they take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpt4all import EmbeddingError, EmbeddingInputError
from gpt4all.embeddings.known_models import check_dimensionality, choose_prefix, find, find_by_metadata

PASSAGES = "Represent this sentence for searching relevant passages"


@pytest.mark.parametrize(
    "names",
    [
        ("all-MiniLM-L6-v2", "all-MiniLM-L6"),
        ("all-MiniLM-L12-v1", ""),
        ("nomic-embed-text-v1.5", ""),
        ("Nomic Embed Text v1.5", "nomic-embed-text"),
        ("", "nomic-embed-text-v1"),
        ("BAAI/bge-small-en-v1.5", ""),
        ("bge_base_en", ""),
        ("e5-large-v2", ""),
        ("LLM-Embedder", ""),
    ],
)
def test_known_names(names: tuple[str, str]) -> None:
    assert find(*names) is not None


TABLE = (
    *("all-MiniLM-L6-v1", "all-MiniLM-L6-v2", "all-MiniLM-L12-v1", "all-MiniLM-L12-v2"),
    *("nomic-embed-text-v1", "nomic-embed-text-v1.5", "llm-embedder"),
    *(f"bge-{size}-en{version}" for size in ("small", "base", "large") for version in ("", "-v1", "-v1.5")),
    *(f"e5-{size}{version}" for size in ("small", "base", "large") for version in ("", "-v2", "-unsupervised")),
)


@pytest.mark.parametrize("name", TABLE)
def test_every_model_by_what_converters_and_uploaders_write(name: str) -> None:
    known = find(name)
    assert known is not None
    spaced = name.replace("-", " ")
    for written in (
        *(name.upper(), name.replace("-", "_"), spaced, spaced.title(), f" {name} ", f"{name}-GGUF", f"{spaced} Gguf"),
        *(f"some/{name}", f"https://huggingface.co/some/{name}/", f"BAAI_{name}", f"intfloat_{name}", f"{name}-f16"),
        *(f"sentence-transformers_{name}", f"nomic-ai_{name}-Q4_K_M", f"{name}.Q8_0.gguf"),
    ):
        assert find(written) is known, written
    for other in (f"{name}-law", f"my-{name}", f"multilingual-{name}", f"{name}2"):
        assert find(other) is None, other


@pytest.mark.parametrize("model_id", TABLE)
def test_every_model_by_what_the_converter_makes_of_its_id(model_id: str) -> None:
    metadata = pytest.importorskip("gguf.metadata").Metadata
    for named in ({"_name_or_path": f"someone/{model_id}"}, None):
        made = metadata.apply_metadata_heuristic(metadata(), None, named, Path(model_id), 0)
        keys = ("name", "basename", "size_label", "finetune", "version")
        written = {f"general.{key}": getattr(made, key) for key in keys if getattr(made, key) is not None}
        assert find_by_metadata(written) is find(model_id)
        if "general.basename" in written:  # --model-name replaces only the name
            assert find_by_metadata(written | {"general.name": "mine"}) == find(model_id)
    card = {"base_model": f"someone/{model_id}"}
    made = metadata.apply_metadata_heuristic(metadata(), card, None, Path("snapshot"), 0)
    base = {f"general.base_model.0.{key}": value for key, value in made.base_models[0].items()}
    known = find_by_metadata({"general.name": "snapshot", **base})
    assert known is not None
    assert replace(known, any_prefix=False) == find(model_id)


def test_what_the_converter_calls_minilm() -> None:
    # The name in the configuration of all-MiniLM-L6-v2 is that of the model it was trained from.
    assert find("MiniLM L6 H384 Uncased") == find("MiniLM-L12-H384-uncased") == find("all-MiniLM-L6-v2")


def test_a_base_alone_allows_other_prefixes() -> None:
    known = find_by_metadata({"general.name": "Law", "general.base_model.0.repo_url": "https://hub/BAAI/bge-base-en"})
    assert choose_prefix(known, "Law", None) == ""
    assert choose_prefix(known, "Law", "case") == "case"
    assert find_by_metadata({"general.name": "Law", "general.base_model.0.name": 5, "general.basename": None}) is None


@pytest.mark.parametrize(
    "names", [("", ""), ("Qwen3-Embedding-0.6B", "Qwen3-Embedding"), ("bge-m3", ""), ("nomic", "")]
)
def test_unknown_names(names: tuple[str, str]) -> None:
    assert find(*names) is None


@pytest.mark.parametrize("name", ["nomic-embed-text-v1.5", "nomic-embed-text-v1", "all-minilm-l6-v2"])
def test_only_nomic_1_5_has_vectors_that_may_be_cut(name: str) -> None:
    model = find(name)
    assert model is not None
    assert model.matryoshka == (name == "nomic-embed-text-v1.5")


@pytest.mark.parametrize(
    ("name", "given", "used"),
    [
        ("all-MiniLM-L6-v2", None, ""),
        ("all-MiniLM-L6-v2", "", ""),
        ("nomic-embed-text-v1", None, "search_document"),
        ("nomic-embed-text-v1.5", "search_query", "search_query"),
        ("nomic-embed-text-v1.5", "classification", "classification"),
        ("nomic-embed-text-v1.5", "clustering", "clustering"),
        ("bge-large-en-v1", None, ""),
        ("bge-large-en-v1", PASSAGES, PASSAGES),
        ("e5-small", None, "passage"),
        ("e5-small", "query", "query"),
        ("llm-embedder", None, "Represent this document for retrieval"),
        ("my-own", "anything", "anything"),
        ("my-own", "", ""),
    ],
)
def test_prefixes(name: str, given: str | None, used: str) -> None:
    assert choose_prefix(find(name), name, given) == used


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("all-MiniLM-L6-v2", "query", "trained without; leave prefix out"),
        ("bge-small-en", "query", PASSAGES),
        ("e5-base-v2", "search_query", "'passage' or 'query'"),
        ("e5-base-v2", "", "'passage' or 'query'"),
        ("nomic-embed-text-v1.5", "Search_Query", "'search_document' or 'search_query' or"),
        ("my-own", None, "prefix must be given"),
    ],
)
def test_refused_prefixes(name: str, given: str | None, message: str) -> None:
    with pytest.raises(EmbeddingInputError, match=message) as caught:
        choose_prefix(find(name), name, given)
    # 2.8 raised the one for some models and the other for others.
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, EmbeddingError)


def test_sizes() -> None:
    nomic = find("nomic-embed-text-v1.5")
    check_dimensionality(nomic, "nomic", 768, 768)
    check_dimensionality(nomic, "nomic", 1, 768)
    check_dimensionality(None, "other", 384, 384)
    with pytest.raises(EmbeddingInputError, match="vectors of 768 numbers"):
        check_dimensionality(nomic, "nomic", 769, 768)
    with pytest.raises(EmbeddingInputError, match="must be 384 or None"):
        check_dimensionality(find("all-MiniLM-L6-v2"), "MiniLM", 128, 384)
    with pytest.raises(EmbeddingInputError, match="must be 384 or None"):
        check_dimensionality(None, "other", 128, 384)
