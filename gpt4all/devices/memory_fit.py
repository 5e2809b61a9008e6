"""Whether a model fits the memory of its devices, and what of it would. Pure: measuring is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpt4all.devices.gpu import byte_text
from gpt4all.errors import GPT4AllError, InsufficientMemoryError, ModelLoadError

if TYPE_CHECKING:
    from gpt4all._native.device_memory import MemoryNeed
    from gpt4all.machine.main_memory import Room

#: What a model takes of each memory with so many layers on the GPU and so long a context.
Measure = Callable[[int, int], "Sequence[MemoryNeed]"]
#: What a model takes of main memory with a context so long, and so many of them.
MeasureMain = Callable[[int, int], "MemoryNeed"]

#: The engine rounds a context up to this many tokens.
_CONTEXT_STEP = 256
_SMALLEST_CONTEXT = 8


def too_large(needs: Sequence[MemoryNeed]) -> list[MemoryNeed]:
    """The devices that have too little. One that doesn't tell its memory has enough; main memory isn't judged here."""
    return [need for need in needs if need.device is not None and need.memory_total and need.total > need.memory_free]


def insufficient_memory(
    request: str,
    names: Mapping[int, str],
    measured: Sequence[Sequence[MemoryNeed]],
    others: Sequence[str],
    measure: Measure | None,
    *,
    ngl: int,
    n_ctx: int | None,
    n_parallel: int = 1,
) -> InsufficientMemoryError:
    """The error for a model that was measured on one device after the other.

    Args:
        request: what was asked for, for people.
        names: what the devices are called.
        measured: the needs on each.
        others: devices that were not asked for, for people.
        measure: measures on the one with most free memory what would fit; ``None`` leaves that out.
        ngl, n_ctx, n_parallel: what was asked for.
    """
    best = max(measured, key=most_free)
    lacking = max(too_large(best), key=lambda need: need.total - need.memory_free)
    lines = [f"too little memory for {request} with {_contexts(n_ctx, n_parallel)} and ngl={ngl}:"]
    lines += [f"  - {_describe(need, names)}" for needs in measured for need in too_large(needs)]
    if others:
        lines += ["not asked for:", *(f"  - {other}" for other in others)]
    max_ngl = max_n_ctx = None
    if measure is not None and n_ctx is not None:
        max_ngl, max_n_ctx = what_fits(measure, best, ngl, n_ctx)
        fitting = [f"ngl={max_ngl} with this n_ctx" if max_ngl else "no layer with this n_ctx"]
        fitting.append("no context with this ngl" if max_n_ctx is None else f"n_ctx={max_n_ctx} with this ngl")
        where = f" on {_name(lacking, names)}" if len(measured) > 1 else ""
        lines.append(f"What would fit{where}: {', '.join(fitting)}.{_fewer(n_parallel)}")
    return InsufficientMemoryError(
        "\n".join(lines),
        required=lacking.total,
        free=lacking.memory_free,
        max_ngl=max_ngl,
        max_n_ctx=max_n_ctx,
    )


def too_little_main_memory(
    need: MemoryNeed,
    rooms: Sequence[Room],
    mapped: int,
    n_ctx: int | None,
    n_parallel: int = 1,
    measure: MeasureMain | None = None,
) -> InsufficientMemoryError | None:
    """The error where main memory cannot hold a model.

    Args:
        need: what the model takes of it.
        rooms: what is left, by limit.
        mapped: bytes of its file that are mapped beside that.
        n_ctx: the context it was measured with.
        n_parallel: how many of them.
        measure: measures what would fit; ``None`` leaves that out.
    """
    asked, less = _contexts(n_ctx, n_parallel), "n_ctx" if n_parallel == 1 else "n_parallel or n_ctx"
    for room in sorted(rooms, key=lambda room: room.free):
        weights = need.weights + (mapped if room.mapped_too else 0)
        required = weights + need.context + need.compute
        if required > room.free:
            max_n_ctx, advice = None, ""
            if measure is not None and n_ctx is not None:
                fits = _MainMemoryFits(measure, rooms, mapped)
                max_n_ctx = fits.longest(n_ctx, n_parallel)
                advice = fits.advice(max_n_ctx, n_ctx, n_parallel)
            return InsufficientMemoryError(
                f"too little main memory for {asked}: {room.where} leaves this process {byte_text(room.free)}, "
                f"and {byte_text(required)} are needed ({byte_text(weights)} for weights, {byte_text(need.context)} "
                f"for the context, {byte_text(need.compute)} for work buffers). A smaller {less}, kv_type='q8_0' or a "
                f"smaller model takes less{advice}",
                required=required,
                free=room.free,
                max_n_ctx=max_n_ctx,
            )
    return None


class _MainMemoryFits:
    """What would fit into main memory where something did not."""

    def __init__(self, measure: MeasureMain, rooms: Sequence[Room], mapped: int) -> None:
        self._measure = measure
        self._rooms = rooms
        self._mapped = mapped

    def longest(self, n_ctx: int, n_parallel: int) -> int | None:
        """The longest context of so many, ``None`` where there is none."""
        with_least = self._slack(_SMALLEST_CONTEXT, n_parallel)
        if with_least is None or with_least < 0:
            return None
        missing = self._slack(n_ctx, n_parallel)

        def slack(count: int) -> int | None:
            return self._slack(count * _CONTEXT_STEP, n_parallel)

        steps = _largest(0, -(-n_ctx // _CONTEXT_STEP), with_least, missing, slack)
        return steps * _CONTEXT_STEP or _SMALLEST_CONTEXT

    def most(self, n_ctx: int, n_parallel: int) -> int:
        """How many contexts that long, fewer than ``n_parallel``."""
        with_one = self._slack(n_ctx, 1)
        if with_one is None or with_one < 0:
            return 0
        missing = self._slack(n_ctx, n_parallel)
        return _largest(1, n_parallel, with_one, missing, lambda count: self._slack(n_ctx, count))

    def advice(self, longest: int | None, n_ctx: int, n_parallel: int) -> str:
        most = self.most(n_ctx, n_parallel) if n_parallel > 1 else 0
        fitting = [] if longest is None else [f"n_ctx={longest}" + (" with this n_parallel" if n_parallel > 1 else "")]
        if most:
            fitting.append(f"n_parallel={most} with this n_ctx")
        return f". What would fit: {' or '.join(fitting)}" if fitting else ". No context would fit"

    def _slack(self, n_ctx: int, n_parallel: int) -> int | None:
        try:
            need = self._measure(n_ctx, n_parallel)
        except (GPT4AllError, MemoryError):
            # Measuring takes memory itself.
            return None
        return min(room.free - need.total - (self._mapped if room.mapped_too else 0) for room in self._rooms)


def context_too_long(
    request: str, device: str, measure: Measure, *, ngl: int, n_ctx: int, reason: ModelLoadError, n_parallel: int = 1
) -> ModelLoadError | InsufficientMemoryError:
    """The error for a context that is too long even to be measured, or ``reason`` where the length is not to blame."""
    try:
        longest = _longest_measurable(measure, ngl, n_ctx)
    except ModelLoadError:
        return reason
    return InsufficientMemoryError(
        f"too little memory for {request} with {_contexts(n_ctx, n_parallel)}: {device} cannot hold it ({reason})\n"
        + ("No context would fit." if longest is None else f"What would fit: n_ctx={longest} with this ngl.")
        + _fewer(n_parallel),
        max_n_ctx=longest,
    )


def what_fits(measure: Measure, needs: Sequence[MemoryNeed], ngl: int, n_ctx: int) -> tuple[int, int | None]:
    """The most layers with this context, and the longest context with these layers, if any.

    ``needs`` is what these layers and this context take, which is too much.
    """
    layers = min(ngl, sum(need.n_layers for need in needs))
    missing = _slack(needs)
    # Without layers, nothing is taken.
    max_ngl = _largest(0, layers, most_free(needs), missing, lambda count: _slack(measure(count, n_ctx)))
    with_least = _slack(measure(ngl, _SMALLEST_CONTEXT))
    if with_least < 0:
        return max_ngl, None
    steps = _largest(
        0, -(-n_ctx // _CONTEXT_STEP), with_least, missing, lambda count: _slack(measure(ngl, count * _CONTEXT_STEP))
    )
    return max_ngl, steps * _CONTEXT_STEP or _SMALLEST_CONTEXT


def _longest_measurable(measure: Measure, ngl: int, n_ctx: int) -> int | None:
    """The longest context below ``n_ctx`` that fits, found from below: measuring a long one takes memory itself.

    Raises:
        ModelLoadError: not even the shortest can be measured.
    """
    at_low = _slack(measure(ngl, _SMALLEST_CONTEXT))
    if at_low < 0:
        return None

    def slack(count: int) -> int | None:
        try:
            return _slack(measure(ngl, count * _CONTEXT_STEP))
        except ModelLoadError:
            return None

    low, high, at_high = 0, 1, None
    while high * _CONTEXT_STEP < n_ctx and (at_high := slack(high)) is not None and at_high >= 0:
        low, at_low, at_high = high, at_high, None
        high *= 2
    high = min(high, -(-n_ctx // _CONTEXT_STEP))
    return _largest(low, high, at_low, at_high, slack) * _CONTEXT_STEP or _SMALLEST_CONTEXT


def _slack(needs: Sequence[MemoryNeed]) -> int:
    """Bytes left where there are fewest, negative where some are missing."""
    left = [need.memory_free - need.total for need in needs if need.device is not None and need.memory_total]
    return min(left, default=0)


def most_free(needs: Sequence[MemoryNeed]) -> int:
    """Free bytes of the largest device that has too little."""
    return max((need.memory_free for need in too_large(needs)), default=0)


def _largest(low: int, high: int, at_low: int, at_high: int | None, slack: Callable[[int], int | None]) -> int:
    """The largest number that leaves slack: ``low`` does, ``high`` does not, and the slack falls between them.

    Measuring a model takes as long as reading its vocabulary, and need grows
    almost in a straight line, so the next number is guessed from that line.
    Where the slack is ``None`` there is none, of unknown size.
    """
    step = 0
    while high - low > 1:
        step += 1
        guess = (low + high) // 2
        # Where the line is far from straight, halving still ends it soon.
        if at_high is not None and step % 3:
            guess = low + (high - low) * at_low // (at_low - at_high)
            guess = min(max(guess, low + 1), high - 1)
        left = slack(guess)
        if left is not None and left >= 0:
            low, at_low = guess, left
        else:
            high, at_high = guess, left
    return low


def _contexts(n_ctx: int | None, n_parallel: int) -> str:
    return f"n_ctx={n_ctx}" if n_parallel == 1 else f"n_parallel={n_parallel} contexts of n_ctx={n_ctx}"


def _fewer(n_parallel: int) -> str:
    return "" if n_parallel == 1 else " A smaller n_parallel takes less."


def _describe(need: MemoryNeed, names: Mapping[int, str]) -> str:
    return (
        f"{_name(need, names)} has {byte_text(need.memory_free)} free, and {byte_text(need.total)} are needed "
        f"({byte_text(need.weights)} for weights, {byte_text(need.context)} for the context, "
        f"{byte_text(need.compute)} for work buffers)"
    )


def _name(need: MemoryNeed, names: Mapping[int, str]) -> str:
    return names.get(-1 if need.device is None else need.device, f"device {need.device}")
