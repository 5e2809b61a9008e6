"""Arithmetic on embedding vectors, without NumPy: it is done for few of them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence

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
