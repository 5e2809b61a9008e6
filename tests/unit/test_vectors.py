"""Arithmetic on vectors, beside NumPy's."""

from __future__ import annotations

import math
import random

import pytest

from gpt4all.embeddings.vectors import mean_direction, normalized, shortened

np = pytest.importorskip("numpy")


def vector(seed: int, size: int = 96) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0.3, 2.0) for _ in range(size)]


def test_normalized() -> None:
    values = vector(1)
    assert np.allclose(normalized(values), np.array(values) / np.linalg.norm(values), atol=1e-7)
    assert normalized([0.0, 0.0]).tolist() == [0.0, 0.0]
    assert normalized([1e-30, 0.0])[0] == 1.0


@pytest.mark.parametrize("size", [1, 64, 95])
def test_shortened(size: int) -> None:
    values = np.array(vector(2))
    scaled = (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-5)
    wanted = scaled[:size] / np.linalg.norm(scaled[:size])
    assert np.allclose(shortened(values.tolist(), size), wanted, atol=1e-6)


def test_mean_direction() -> None:
    chunks = [normalized(vector(seed)) for seed in range(3)]
    wanted = np.mean(chunks, axis=0)
    assert np.allclose(mean_direction(chunks), wanted / np.linalg.norm(wanted), atol=1e-6)
    assert mean_direction(chunks[:1]) == chunks[0]
    assert math.isclose(math.fsum(value * value for value in mean_direction(chunks)), 1.0, abs_tol=1e-6)
