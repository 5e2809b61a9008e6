"""Known embedding models: how they are found, which prefixes and sizes they take."""

from __future__ import annotations

import pytest

from gpt4all import EmbeddingError, EmbeddingInputError
from gpt4all.embedding_models import check_dimensionality, choose_prefix, find

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
        ("all-MiniLM-L6-v2", "query", "takes none"),
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
