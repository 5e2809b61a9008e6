"""What of a model would fit: found with few measurements, whatever the shape of its needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpt4all import InsufficientMemoryError, ModelLoadError
from gpt4all._native.device_memory import MemoryNeed
from gpt4all.devices.memory_fit import context_too_long, insufficient_memory, too_large, what_fits

FREE = 10_000_000

#: Bytes on the device for so many layers and so long a context.
Shape = Callable[[int, int], int]


def needs(taken: int, *, layers: int = 0, free: int = FREE, total: int = 2 * FREE) -> list[MemoryNeed]:
    return [
        MemoryNeed(None, 33 - layers, 10**12, 0, 0, 1, 1),
        *([MemoryNeed(1, layers, taken, 0, 0, total, free)] if layers else []),
    ]


SHAPES: dict[str, Shape] = {
    "straight": lambda ngl, n_ctx: ngl * (400_000 + 30 * n_ctx),
    "a large output": lambda ngl, n_ctx: ngl * (100_000 + 10 * n_ctx) + (9_000_000 if ngl == 33 else 0),
    "one large layer": lambda ngl, n_ctx: ngl * 1000 + (9_900_000 if ngl > 7 else 0) + 20 * n_ctx,
    "work buffers": lambda ngl, n_ctx: 6_000_000 + ngl * (150_000 + 10 * n_ctx),
    "a long context": lambda ngl, n_ctx: ngl * 1000 + ngl * n_ctx * 300,
    "far too large": lambda ngl, n_ctx: ngl * 10**9,
    "steep": lambda ngl, n_ctx: ngl**4 * 20 + n_ctx * 100,
}


def taken(shape: str, ngl: int, n_ctx: int) -> int:
    """The engine rounds contexts up, and has no more than 33 layers."""
    return SHAPES[shape](min(ngl, 33), -(-n_ctx // 256) * 256)


TOO_LARGE = [
    (shape, ngl, n_ctx)
    for shape in SHAPES
    for ngl in (1, 5, 33, 100)
    for n_ctx in (8, 300, 2048, 8192, 131_072)
    if taken(shape, ngl, n_ctx) > FREE
]


@pytest.mark.parametrize(("shape", "ngl", "n_ctx"), TOO_LARGE)
def test_the_answer_is_that_of_trying_everything(shape: str, ngl: int, n_ctx: int) -> None:
    measured: list[tuple[int, int]] = []

    def measure(layers: int, context: int) -> list[MemoryNeed]:
        measured.append((layers, context))
        return needs(taken(shape, layers, context), layers=min(layers, 33))

    contexts = [8, *range(256, n_ctx, 256)]
    expected = (
        max(layers for layers in range(min(ngl, 33)) if layers == 0 or taken(shape, layers, n_ctx) <= FREE),
        max((context for context in contexts if taken(shape, ngl, context) <= FREE), default=None),
    )
    asked = needs(taken(shape, ngl, n_ctx), layers=min(ngl, 33))
    assert what_fits(measure, asked, ngl, n_ctx) == expected
    # Each takes as long as reading the model's vocabulary.
    assert len(measured) <= (8 if shape == "straight" else 24)


LIMITS = [(7, 100), (256, 100), (2000, 100), (2000, 40), (2**30, 60), (70_000, 3)]


@pytest.mark.parametrize(("n_ctx", "room"), LIMITS)
@pytest.mark.parametrize("measurable", [1, 15, 16, 17, 1000])
def test_a_context_too_long_to_be_measured(n_ctx: int, room: int, measurable: int) -> None:
    """In units of 256 tokens, ``measurable`` of them can be measured, and ``room`` of them fit."""
    measured: list[int] = []

    def measure(ngl: int, context: int) -> list[MemoryNeed]:
        units = -(-context // 256)
        measured.append(units)
        if units > measurable:
            raise ModelLoadError("std::bad_alloc")
        return needs(units * FREE // room, layers=ngl)

    reason = ModelLoadError("the engine gave up")
    error = context_too_long("device='gpu'", "kompute:A", measure, ngl=3, n_ctx=n_ctx, reason=reason)
    assert isinstance(error, InsufficientMemoryError)
    fitting = [units for units in range(min(measurable, room) + 1) if units * 256 < n_ctx]
    assert error.max_n_ctx == (fitting[-1] * 256 or 8)
    assert f"n_ctx={n_ctx}: kompute:A cannot hold it (the engine gave up)" in str(error)
    # What takes too much is measured at most once on the way up.
    assert max(measured) <= 2 * max(measurable, room)


def test_a_context_is_not_to_blame_where_none_can_be_measured() -> None:
    def measure(ngl: int, context: int) -> list[MemoryNeed]:
        raise ModelLoadError("it is a bad file")

    reason = ModelLoadError("it is a bad file")
    assert context_too_long("gpu", "a", measure, ngl=3, n_ctx=512, reason=reason) is reason


def test_no_context_at_all() -> None:
    def measure(ngl: int, context: int) -> list[MemoryNeed]:
        return needs(2 * FREE, layers=ngl)

    error = context_too_long("gpu", "a", measure, ngl=3, n_ctx=512, reason=ModelLoadError("too long"))
    assert isinstance(error, InsufficientMemoryError)
    assert error.max_n_ctx is None
    assert "No context would fit" in str(error)


def test_a_device_that_tells_nothing_has_room() -> None:
    assert not too_large(needs(10**15, layers=3, free=0, total=0))


def test_main_memory_is_not_judged() -> None:
    assert not too_large(needs(0))


def test_without_measuring_there_is_no_advice() -> None:
    error = insufficient_memory("device='auto'", {1: "a"}, [needs(FREE + 1, layers=33)], [], None, ngl=100, n_ctx=512)
    assert (error.required, error.free, error.max_ngl, error.max_n_ctx) == (FREE + 1, FREE, None, None)
    assert "would fit" not in str(error)


def test_contexts_that_are_too_many_are_named() -> None:
    def measure(ngl: int, context: int) -> list[MemoryNeed]:
        return needs(4 * context * FREE // 4096, layers=ngl)

    error = insufficient_memory(
        "device='gpu'", {1: "a"}, [measure(33, 4096)], [], measure, ngl=33, n_ctx=4096, n_parallel=4
    )
    assert "with n_parallel=4 contexts of n_ctx=4096 and ngl=33" in str(error)
    assert str(error).endswith("A smaller n_parallel takes less.")
    assert error.max_n_ctx == 1024
    reason = ModelLoadError("too long")
    too_long = context_too_long("gpu", "a", measure, ngl=33, n_ctx=4096, n_parallel=4, reason=reason)
    assert "n_parallel=4 contexts of n_ctx=4096: a cannot hold it" in str(too_long)
    assert str(too_long).endswith("A smaller n_parallel takes less.")
