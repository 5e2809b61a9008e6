"""What is known of embedding models: the prefixes their texts take, and which vectors may be shortened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpt4all.errors import EmbeddingInputError

#: Shorter vectors than this are allowed with a warning.
MIN_DIMENSIONALITY = 64


@dataclass(frozen=True)
class EmbeddingModel:
    """How texts are given to a model it was trained for.

    Attributes:
        prefixes: those it knows, the default first; an empty one is none.
        matryoshka: whether the first numbers of a vector are one themselves.
        any_prefix: whether it takes others too.
    """

    prefixes: tuple[str, ...] = ("",)
    matryoshka: bool = False
    any_prefix: bool = False


_NOMIC = ("search_document", "search_query", "classification", "clustering")
_BGE = ("", "Represent this sentence for searching relevant passages")
_E5 = ("passage", "query")
_LLM_EMBEDDER = (
    "Represent this document for retrieval",
    "Represent this query for retrieving relevant documents",
)

_MODELS = {
    **{f"all-minilm-{size}-{version}": EmbeddingModel() for size in ("l6", "l12") for version in ("v1", "v2")},
    # What the configurations of those name, and so llama.cpp's converter; what else was made from it takes none either.
    **{f"minilm-{size}-h384-uncased": EmbeddingModel() for size in ("l6", "l12")},
    "nomic-embed-text-v1": EmbeddingModel(_NOMIC),
    "nomic-embed-text-v1.5": EmbeddingModel(_NOMIC, matryoshka=True),
    **{
        f"bge-{size}-en{version}": EmbeddingModel(_BGE)
        for size in ("small", "base", "large")
        for version in ("", "-v1", "-v1.5")
    },
    **{
        f"e5-{size}{version}": EmbeddingModel(_E5)
        for size in ("small", "base", "large")
        for version in ("", "-v2", "-unsupervised")
    },
    "llm-embedder": EmbeddingModel(_LLM_EMBEDDER),
}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_LETTERS = {_letters(name): model for name, model in _MODELS.items()}
# Uploaders put the organisation in front, with a slash or an underscore, and behind it what kind of file it is.
_WRITTEN = re.compile(
    r"(?:sentencetransformers|nreimers|microsoft|nomicai|baai|intfloat)?"
    rf"(?P<model>{'|'.join(sorted(_BY_LETTERS, key=len, reverse=True))})"
    r"(?:gguf|ggml|fp?16|bf16|f32|q[2-8](?:[01]|k[sml]?))*"
)


def find(*names: str) -> EmbeddingModel | None:
    """The model that goes by one of ``names``; only their letters and digits count, and of an address the last part."""
    for name in names:
        match = _WRITTEN.fullmatch(_letters(name.strip().rstrip("/").rpartition("/")[2]))
        if match is not None:
            return _BY_LETTERS[match["model"]]
    return None


def find_by_metadata(metadata: Mapping[str, object]) -> EmbeddingModel | None:
    """The model that a file's ``general.*`` keys tell of: by its name, its parts, where it came from, or its base.

    A model known by its base alone may have been trained on with other texts in front, so it takes any prefix.
    """

    def text(key: str) -> str:
        value = metadata.get(f"general.{key}")
        return value if isinstance(value, str) else ""

    parts = "-".join(text(key) for key in ("basename", "size_label", "finetune", "version"))
    origins = ("source.repo_url", "source.url", "source.huggingface.repository", "repo_url", "url")
    if model := find(text("name"), parts, text("basename"), *map(text, origins)):
        return model
    base = find(*(text(f"base_model.{index}.{key}") for index in range(4) for key in ("name", "repo_url")))
    return None if base is None else replace(base, any_prefix=True)


def choose_prefix(model: EmbeddingModel | None, name: str, prefix: str | None) -> str:
    """The prefix to use; ``""`` is none.

    Raises:
        EmbeddingInputError: the model has no such prefix, or is unknown and none was given.
    """
    if model is None:
        if prefix is None:
            raise EmbeddingInputError(
                f"prefix must be given for a model that is not known here ({name!r}): the text that the model "
                'expects in front of each input, or "" for none'
            )
        return prefix
    if prefix is None:
        return model.prefixes[0]
    if model.any_prefix:
        return prefix
    if prefix not in model.prefixes and prefix != "":
        allowed = " or ".join(repr(known) for known in model.prefixes if known)
        advice = f"use {allowed}" if allowed else "it was trained without; leave prefix out"
        raise EmbeddingInputError(f"prefix {prefix!r} is not one that {name} was trained with: {advice}")
    if prefix == "" and "" not in model.prefixes:
        allowed = " or ".join(repr(known) for known in model.prefixes)
        raise EmbeddingInputError(f"prefix must not be empty for {name}, which was trained with {allowed}")
    return prefix


def check_dimensionality(model: EmbeddingModel | None, name: str, wanted: int, full: int) -> None:
    """Raises unless vectors of ``full`` numbers may be cut to ``wanted``.

    Raises:
        EmbeddingInputError: they may not.
    """
    if wanted > full:
        raise EmbeddingInputError(f"dimensionality is {wanted}, but {name} makes vectors of {full} numbers")
    if wanted != full and (model is None or not model.matryoshka):
        raise EmbeddingInputError(
            f"dimensionality must be {full} or None for {name}: it was not trained for shortened (Matryoshka) vectors"
        )
