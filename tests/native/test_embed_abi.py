"""The contract of ``gpt4all_embed``, held against the fake and, where one is built, against the real library."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from ctypes import c_int32
from typing import Any

import pytest

from gpt4all._native import abi
from tests.support.abi.client import Embedded, Model, Subject


@pytest.fixture(params=[1, 2], ids=["one-thread", "two-threads"])
def model(embedder: Subject, request: pytest.FixtureRequest) -> Iterator[Model]:
    with embedder.library.load(embedder.model, n_threads_batch=request.param) as model:
        yield model


@pytest.fixture
def texts(model: Model) -> list[list[int]]:
    """More than fit into one batch of any library."""
    words = ("red", "green fields", "blue skies and water", "a", "one two three four five")
    return [model.tokenize(" ".join(words[: 1 + n % 5] * (1 + n % 7)))[:60] for n in range(120)]


def assert_complete(embedded: Embedded) -> None:
    assert (embedded.status, embedded.message) == (abi.OK, "")
    assert all(math.isclose(math.hypot(*row), 1.0, abs_tol=1e-5) for row in embedded.rows)


def test_every_row_is_written(model: Model, texts: list[list[int]]) -> None:
    embedded = model.embed(texts)
    assert_complete(embedded)
    # Each batch once, from all to the last.
    sizes = embedded.batches[0]
    assert len(sizes) > 1
    assert embedded.batches == [sizes[n:] for n in range(len(sizes))]
    assert sum(sizes) == sum(map(len, texts))


def test_a_text_has_the_same_vector_in_any_company(model: Model, texts: list[list[int]]) -> None:
    together = model.embed(texts[:20]).rows
    for tokens, row in zip(texts[:20], together, strict=True):
        assert model.embed([tokens]).rows[0] == pytest.approx(row, abs=1e-4)


def test_vectors_as_pooled(model: Model, texts: list[list[int]]) -> None:
    (plain,), (unit,) = model.embed(texts[:1], normalize=False).rows, model.embed(texts[:1]).rows
    length = math.hypot(*plain)
    assert [value / length for value in plain] == pytest.approx(unit, abs=1e-5)


@pytest.mark.parametrize("at", [1, 3])
def test_the_flag_stops_it(model: Model, texts: list[list[int]], at: int) -> None:
    flag = c_int32(0)
    seen: list[int] = []

    def set_flag(sizes: list[int]) -> bool:
        seen.append(len(sizes))
        flag.value = len(seen) >= at
        return True

    embedded = model.embed(texts, on_batch=set_flag, cancel=flag)
    assert embedded.status == abi.ERROR_CANCELLED
    assert embedded.message
    assert any(math.isnan(row[0]) for row in embedded.rows), "it was not stopped"
    assert_complete(model.embed(texts))


def test_a_flag_set_before_stops_before_anything(model: Model, texts: list[list[int]]) -> None:
    embedded = model.embed(texts, cancel=c_int32(1))
    assert embedded.status == abi.ERROR_CANCELLED
    assert all(math.isnan(row[0]) for row in embedded.rows)


def test_the_callback_stops_it(model: Model, texts: list[list[int]]) -> None:
    embedded = model.embed(texts, on_batch=lambda sizes: False)
    assert embedded.status == abi.ERROR_CANCELLED
    assert len(embedded.batches) == 1
    assert all(math.isnan(row[0]) for row in embedded.rows)
    assert_complete(model.embed(texts))


def test_the_model_is_busy_meanwhile(model: Model, texts: list[list[int]]) -> None:
    statuses: list[Any] = []

    def ask(sizes: list[int]) -> bool:
        c = model.c
        statuses.append(model.embed(texts[:1]).status)
        statuses.append(c.gpt4all_model_free(model.handle))
        statuses.append(c.gpt4all_model_set_threads(model.handle, 1, 1))
        return len(statuses) < 6

    assert model.embed(texts, on_batch=ask).status == abi.ERROR_CANCELLED
    assert set(statuses) == {abi.ERROR_BUSY}


@pytest.mark.parametrize(
    ("tokens", "status", "name"),
    [
        ([], abi.ERROR_INVALID_ARGUMENT, "lengths[1]"),
        ([-1], abi.ERROR_INVALID_ARGUMENT, "-1"),
        ([10**9], abi.ERROR_INVALID_ARGUMENT, str(10**9)),
        ([3] * 4096, abi.ERROR_CONTEXT_OVERFLOW, "lengths[1]"),
    ],
)
def test_a_bad_text_is_named(model: Model, texts: list[list[int]], tokens: list[int], status: int, name: str) -> None:
    embedded = model.embed([texts[0], tokens])
    assert embedded.status == status
    assert name in embedded.message
    assert embedded.batches == []


def test_nothing_gives_nothing(model: Model) -> None:
    embedded = model.embed([])
    assert (embedded.status, embedded.rows, embedded.batches) == (abi.OK, [], [])


def test_a_long_context_takes_memory_only_for_long_texts(embedder: Subject, request: pytest.FixtureRequest) -> None:
    if "fake" in request.node.callspec.id:
        pytest.skip("its figures are those of its script")
    (long,), (short,) = (embedder.library.memory(embedder.model, n_ctx=n_ctx) for n_ctx in (1 << 22, 512))
    assert (long.context, long.compute) == (short.context, short.compute)
    before = peak_of_memory()
    with embedder.library.load(embedder.model, n_ctx=1 << 22) as model:
        assert_complete(model.embed([[5, 6, 7]]))
    # A cache of four million tokens takes gigabytes.
    assert peak_of_memory() - before < 200 << 20


def peak_of_memory() -> int:
    resource = pytest.importorskip("resource")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
