"""What is known of embedding models: the prefixes their texts take, and which vectors may be shortened."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpt4all.errors import EmbeddingInputError

#: Shorter vectors than this are allowed with a warning.
MIN_DIMENSIONALITY = 64


@dataclass(frozen=True)
class EmbeddingModel:
    """How texts are given to a model it was trained for.

    Attributes:
        prefixes: those it knows, the default first; an empty one is none.
        matryoshka: whether the first numbers of a vector are one themselves.
    """

    prefixes: tuple[str, ...] = ("",)
    matryoshka: bool = False


_NOMIC = ("search_document", "search_query", "classification", "clustering")
_BGE = ("", "Represent this sentence for searching relevant passages")
_E5 = ("passage", "query")
_LLM_EMBEDDER = (
    "Represent this document for retrieval",
    "Represent this query for retrieving relevant documents",
)

# By ``general.name`` or ``general.basename`` in lower case.
_MODELS = {
    **{f"all-minilm-{size}-{version}": EmbeddingModel() for size in ("l6", "l12") for version in ("v1", "v2")},
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


def find(*names: str) -> EmbeddingModel | None:
    """The model that goes by one of ``names``, as model files tell them."""
    for name in names:
        # Files carry names such as "BAAI/bge-small-en-v1.5" and "Nomic Embed Text v1.5".
        key = re.sub(r"[\s_]+", "-", name.strip().rpartition("/")[2].lower())
        if key in _MODELS:
            return _MODELS[key]
    return None


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
    if prefix not in model.prefixes and prefix != "":
        allowed = " or ".join(repr(known) for known in model.prefixes if known) or "none"
        raise EmbeddingInputError(f"prefix {prefix!r} is none that {name} was trained with; it takes {allowed}")
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
