"""Whether a model fits the memory of its devices, and what of it would. Pure: measuring is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpt4all.errors import InsufficientMemoryError
from gpt4all.gpus import byte_text

if TYPE_CHECKING:
    from gpt4all._native.device_memory import MemoryNeed

#: What a model takes of each memory with so many layers on the GPU and so long a context.
Measure = Callable[[int, int], "Sequence[MemoryNeed]"]

#: The engine rounds a context up to this many tokens.
_CONTEXT_STEP = 256
_SMALLEST_CONTEXT = 8


@dataclass(frozen=True)
class Shortage:
    """A device on which a model does not fit."""

    device: str
    need: MemoryNeed

    def __str__(self) -> str:
        need = self.need
        return (
            f"{self.device} has {byte_text(need.memory_free)} free, and {byte_text(need.total)} are needed "
            f"({byte_text(need.weights)} for weights, {byte_text(need.context)} for the context, "
            f"{byte_text(need.compute)} for work buffers)"
        )


def too_large(needs: Sequence[MemoryNeed]) -> list[MemoryNeed]:
    """The devices that have too little. One that doesn't tell its memory has enough; main memory isn't judged here."""
    return [need for need in needs if need.device is not None and need.memory_total and need.total > need.memory_free]


def insufficient_memory(
    request: str, shortages: Sequence[Shortage], measure: Measure | None, *, ngl: int, n_ctx: int | None
) -> InsufficientMemoryError:
    """The error, with what would fit where ``measure`` measures."""
    largest = max(shortages, key=lambda shortage: shortage.need.memory_free)
    lines = [f"too little memory for {request} with n_ctx={n_ctx} and ngl={ngl}:"]
    lines += [f"  - {shortage}" for shortage in shortages]
    max_ngl = max_n_ctx = None
    if measure is not None and n_ctx is not None:
        max_ngl, max_n_ctx = what_fits(measure, ngl, n_ctx)
        fitting = [f"ngl={max_ngl} with this n_ctx" if max_ngl else "no layer with this n_ctx"]
        fitting.append("no context with this ngl" if max_n_ctx is None else f"n_ctx={max_n_ctx} with this ngl")
        where = f" on {largest.device}" if len(shortages) > 1 else ""
        lines.append(f"What would fit{where}: {', '.join(fitting)}.")
    return InsufficientMemoryError(
        "\n".join(lines),
        required=largest.need.total,
        free=largest.need.memory_free,
        max_ngl=max_ngl,
        max_n_ctx=max_n_ctx,
    )


def what_fits(measure: Measure, ngl: int, n_ctx: int) -> tuple[int, int | None]:
    """For what does not fit: the most layers with this context, and the longest context with these layers, if any."""
    layers = min(ngl, sum(need.n_layers for need in measure(ngl, n_ctx)))
    max_ngl = _largest(0, layers - 1, lambda count: not too_large(measure(count, n_ctx)))
    if too_large(measure(ngl, _SMALLEST_CONTEXT)):
        return max_ngl, None
    steps = _largest(0, (n_ctx - 1) // _CONTEXT_STEP, lambda count: not too_large(measure(ngl, count * _CONTEXT_STEP)))
    return max_ngl, steps * _CONTEXT_STEP or _SMALLEST_CONTEXT


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number that fits, where ``low`` does and all smaller ones than a fitting one do."""
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
