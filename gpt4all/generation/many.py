"""Many prompts at once: handed to the model as it has room, and given back as they are done."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from gpt4all._native.outcome import Outcome
from gpt4all.errors import CancellationError

if TYPE_CHECKING:
    from gpt4all.engine.runs import Run
    from gpt4all.generation.call import Call


@dataclass(frozen=True)
class Completion:
    """One answer of ``generate_many``.

    Attributes:
        text: the answer; as far as it came where there is an error.
        outcome: how it ended; ``None`` where there is an error.
        error: what ended it too soon, ``None`` where nothing did.

    Example:
        >>> for completion in model.generate_many(["The opposite of hot is"], max_tokens=2, temp=0):
        ...     print(completion.text, completion.outcome.finish_reason)
         cold. length
    """

    text: str
    outcome: Outcome | None
    error: Exception | None


def complete(
    calls: Iterable[Call | CancellationError], window: int, *, total: int | None, progress: bool
) -> Generator[tuple[int, Completion], None, None]:
    """Makes the calls, ``window`` of them in the line at a time; gives each one's place and answer as it is done.

    Args:
        calls: read as the work goes on; an error in place of a call that the model was closed before.
        window: how many may be in the line.
        total: how many there will be, ``None`` where that is not known.
        progress: shows a bar on stderr.
    """
    # With the engine, which is loaded by now.
    from gpt4all.engine.workers import CLOSED_MEANWHILE, interrupt_again, wait_for

    pid = os.getpid()
    done: SimpleQueue[int] = SimpleQueue()
    under_way: dict[int, tuple[Call, Run]] = {}
    numbered = enumerate(calls)
    bar = _bar(total) if progress else None

    def begin(number: int, call: Call) -> CancellationError | None:
        run = call.new_run(streaming=False, on_news=_teller(done, number))
        under_way[number] = call, run
        try:
            call.submit(run)
        except ValueError:
            del under_way[number]
            if number == 0:
                raise
            return CancellationError(CLOSED_MEANWHILE)
        return None

    try:
        more, closed = True, False
        while more or under_way:
            # What was under way when the model was closed comes before what else there may be.
            while more and len(under_way) < window and not (closed and under_way):
                try:
                    number, call = next(numbered)
                except StopIteration:
                    more = False
                    break
                refused = call if isinstance(call, CancellationError) else begin(number, call)
                if refused is not None:
                    closed = True
                    if bar is not None:
                        bar.update()
                    yield number, Completion("", None, refused)
            if not under_way:
                continue
            number = wait_for(done, pid)
            call, run = under_way.pop(number)
            error = None
            try:
                run.check_end()
                if call.advance():
                    begin(number, call)
                    continue
            except Exception as ended:
                # A next round that could not be submitted, since the model was closed meanwhile, never ends.
                under_way.pop(number, None)
                error = ended.with_traceback(None)
            if bar is not None:
                bar.update()
            yield number, Completion(run.text_so_far(), call.outcome if error is None else None, error)
    except BaseException as reason:
        try:
            for _, run in under_way.values():
                run.drop()
            for _, run in under_way.values():
                run.leave()
        except KeyboardInterrupt:
            for _, run in under_way.values():
                run.drop()
            if not isinstance(reason, GeneratorExit):
                raise
            # Python would lose it here if nobody called close(), but the answers were dropped.
            interrupt_again()
        raise
    finally:
        if bar is not None:
            bar.close()


def in_order(completions: Iterator[tuple[int, Completion]]) -> list[Completion]:
    """All of them, in the order of the calls."""
    return [completion for _, completion in sorted(completions, key=lambda pair: pair[0])]


def _teller(done: SimpleQueue[int], number: int) -> Any:
    return lambda: done.put(number)


def _bar(total: int | None) -> Any:
    from tqdm.auto import tqdm

    return tqdm(desc="Generating", total=total, unit="prompt", file=sys.stderr)
