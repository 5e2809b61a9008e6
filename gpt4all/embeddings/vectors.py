"""Vectors: the arithmetic of embeddings, how they are collected and returned, and the progress shown meanwhile.

The arithmetic is done without NumPy, for few of them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gpt4all.embeddings.texts import Window

    FloatArray = npt.NDArray[np.float32]
else:
    # NumPy may be missing, and takes long to import; type hints can be had all the same.
    FloatArray = Any

#: Keeps a vector of equal numbers from being divided by zero; PyTorch's default.
LAYER_NORM_EPSILON = 1e-5


def normalized(vector: Iterable[float]) -> array[float]:
    """``vector`` with length 1; zeros stay zeros."""
    values = array("d", vector)
    length = math.sqrt(math.fsum(value * value for value in values))
    return array("f", (value / length for value in values)) if length > 0 else array("f", values)


def shortened(vector: Sequence[float], size: int) -> array[float]:
    """The first ``size`` numbers of a Matryoshka vector as it was pooled, with length 1.

    All its numbers are first brought to mean 0 and variance 1.
    """
    mean = math.fsum(vector) / len(vector)
    centred = [value - mean for value in vector]
    variance = math.fsum(value * value for value in centred) / (len(vector) - 1)
    scale = 1.0 / math.sqrt(variance + LAYER_NORM_EPSILON)
    return normalized(value * scale for value in centred[:size])


def mean_direction(vectors: Sequence[Sequence[float]]) -> array[float]:
    """The average of vectors of length 1, with length 1 itself."""
    if len(vectors) == 1:
        return array("f", vectors[0])
    return normalized(math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True))


def text_vectors(rows: Sequence[float], window: Window, full_size: int, size: int | None) -> Iterator[Sequence[float]]:
    """A vector for each text of the window, out of the ``rows`` of its chunks; ``size`` numbers of a shorter one."""
    row = 0
    for count in window.chunk_counts:
        chunks = [rows[at * full_size : (at + 1) * full_size] for at in range(row, row + count)]
        row += count
        if size is not None:
            chunks = [shortened(chunk, size) for chunk in chunks]
        yield mean_direction(chunks)


class SingleEmbedding(TypedDict):
    """What ``return_dict=True`` gives for one text."""

    embeddings: list[float]
    n_prompt_tokens: int


class Embeddings(TypedDict):
    """What ``return_dict=True`` gives for several texts."""

    embeddings: list[list[float]]
    n_prompt_tokens: int


class NumpyEmbeddings(TypedDict):
    """What ``return_dict=True`` gives with ``output="numpy"``: a row for each text, or one alone."""

    embeddings: FloatArray
    n_prompt_tokens: int


class ListCollector:
    def __init__(self) -> None:
        self._vectors: list[list[float]] = []

    def add(self, vector: Sequence[float]) -> None:
        self._vectors.append(list(vector))

    def result(self, *, single: bool) -> Any:
        return self._vectors[0] if single else self._vectors


class NumpyCollector:
    def __init__(self, size: int) -> None:
        self._numbers = array("f")
        self._size = size

    def add(self, vector: Sequence[float]) -> None:
        self._numbers.extend(vector)

    def result(self, *, single: bool) -> Any:
        import numpy as np

        vectors = np.frombuffer(self._numbers, dtype=np.float32).reshape(-1, self._size)
        return vectors[0] if single else vectors


def collector(output: str, size: int) -> ListCollector | NumpyCollector:
    if output == "list":
        return ListCollector()
    try:
        import numpy as np  # noqa: F401
    except ImportError as error:
        raise ImportError("output='numpy' needs NumPy: pip install numpy") from error
    return NumpyCollector(size)


class ProgressBar:
    """Texts done, which between two of them is told from the tokens."""

    def __init__(self, texts: Iterable[str], shown: bool) -> None:
        self.shown = shown
        self._bar: Any = None
        self._done = 0
        self._n_texts = self._n_tokens = 0
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=len(texts) if isinstance(texts, Sized) else None, desc="Embedding", unit="text")

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, window: Window) -> None:
        self._n_texts, self._n_tokens = len(window.chunk_counts), len(window.tokens)

    def show_rest(self, n_tokens: int) -> None:
        self._show(self._done + self._n_texts * (self._n_tokens - n_tokens) // max(1, self._n_tokens))

    def end(self) -> None:
        self._done += self._n_texts
        self._show(self._done)

    def _show(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
