"""Command line of ``scripts/dev soak``: long use, with memory watched."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import itertools
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence

import testmodels

from gpt4all import GPT4All

#: Growth of resident memory over the second half that counts as flat.
MOST_GROWTH = 0.01
_LOADED = ("tiny-llama", "tiny-gemma3", "tiny-mamba", "tiny-t5", "tiny-bert")


def resident_bytes() -> int:
    """What is in use: glibc first gives back what it keeps of ended threads, up to eight heaps for each core."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def plain(model: GPT4All, number: int) -> None:
    model.generate(f"Number {number % 7}", max_tokens=4, temp=0)


def stream(model: GPT4All, number: int) -> None:
    for _ in model.generate(f"Stream {number % 5}", max_tokens=4, streaming=True):
        pass


def broken_stream(model: GPT4All, number: int) -> None:
    for _ in model.generate("Once upon a time", max_tokens=50, streaming=True):
        break


def dropped_stream(model: GPT4All, number: int) -> None:
    next(model.generate("Once upon a time", max_tokens=50, streaming=True))


def cancelled_by_callback(model: GPT4All, number: int) -> None:
    model.generate("Once upon a time", max_tokens=50, callback=lambda token, piece: False)


def failing_callback(model: GPT4All, number: int) -> None:
    def fail(token: int, piece: str) -> bool:
        raise KeyError(token)

    try:
        model.generate("Once upon a time", max_tokens=50, callback=fail)
    except KeyError:
        return
    raise AssertionError("the callback's exception got lost")


def refused(model: GPT4All, number: int) -> None:
    try:
        model.generate("word " * 400)
    except ValueError:
        return
    raise AssertionError("a prompt longer than the context was taken")


def session(model: GPT4All, number: int) -> None:
    with model.chat_session(f"System {number % 3}"):
        model.generate("Hello", max_tokens=3)
        model.generate("And now?", max_tokens=3)


def resumed_session(model: GPT4All, number: int) -> None:
    history = [
        {"role": "user", "content": f"Question {number % 4}"},
        {"role": "assistant", "content": "An answer"},
    ]
    with model.chat_session(messages=history):
        for _ in model.generate("Go on", max_tokens=20, streaming=True):
            break


def cancelled_task(model: GPT4All, number: int) -> None:
    async def main() -> None:
        async for _ in model.agenerate("Once upon a time", max_tokens=50):
            break

    asyncio.run(main())


def other_thread(model: GPT4All, number: int) -> None:
    thread = threading.Thread(target=plain, args=(model, number))
    thread.start()
    thread.join()


def text(model: GPT4All, number: int) -> None:
    model.detokenize(model.tokenize(f"some text {number} <|im_end|>"))


CALLS: tuple[Callable[[GPT4All, int], None], ...] = (
    plain,
    stream,
    broken_stream,
    dropped_stream,
    cancelled_by_callback,
    failing_callback,
    refused,
    session,
    resumed_session,
    cancelled_task,
    other_thread,
    text,
)


def make_calls(count: int) -> Iterator[int]:
    """``count`` calls of every kind in turn, with the memory after each round."""
    with GPT4All(testmodels.ensure("tiny-llama"), n_ctx=128, n_threads=1) as model:
        for number, call in zip(range(count), itertools.cycle(CALLS), strict=False):
            call(model, number)
            if number % len(CALLS) == 0:
                yield resident_bytes()


def make_requests(count: int) -> Iterator[int]:
    """``count`` requests, eight of them computed together, with the memory after every hundred."""
    with GPT4All(testmodels.ensure("tiny-llama"), n_ctx=256, n_threads=1, n_parallel=8) as model:
        prompts = (f"{number} abc def " * (1 + number % 20) for number in range(count))
        for number, (_, completion) in enumerate(model.generate_many(prompts, max_tokens=8, as_completed=True)):
            assert (completion.error is None) == (completion.outcome is not None)
            if number % 100 == 0:
                yield resident_bytes()


def load_and_close(count: int) -> Iterator[int]:
    """``count`` loads of several kinds of model, some left to the garbage collector."""
    paths = [testmodels.ensure(name) for name in _LOADED]
    for number, path in zip(range(count), itertools.cycle(paths), strict=False):
        model = GPT4All(path, n_ctx=64, n_threads=1)
        if model._loaded.info.can_generate:
            model.generate("Hello", max_tokens=2)
        if number % 3:
            model.close()
        del model
        if number % len(paths) == 0:
            gc.collect()
            yield resident_bytes()


def judge(name: str, samples: Sequence[int]) -> bool:
    """Compare the third quarter with the last: medians, which a lucky or unlucky moment does not move."""
    quarter = len(samples) // 4
    third, last = samples[2 * quarter : 3 * quarter], samples[3 * quarter :]
    growth = statistics.median(last) / statistics.median(third) - 1
    # The medians lie half of that stretch apart.
    growth *= 2
    flat = growth < MOST_GROWTH
    print(
        f"{name}: resident {samples[0] / 2**20:.1f} MiB at first, {samples[len(samples) // 2] / 2**20:.1f} at half, "
        f"{samples[-1] / 2**20:.1f} at the end; growth over the second half {growth:+.2%}"
        f"{'' if flat else ': MORE THAN ' + format(MOST_GROWTH, '.0%')}",
        flush=True,
    )
    return flat


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all and tell whether memory stayed flat."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev soak", description="Long use of the real library with its memory watched."
    )
    parser.add_argument("--calls", type=int, default=10_000, help="short calls on one model (default: 10000)")
    parser.add_argument("--requests", type=int, default=10_000, help="eight at once on one model (default: 10000)")
    parser.add_argument("--loads", type=int, default=500, help="load/close cycles (default: 500)")
    options = parser.parse_args(arguments)
    flat = True
    if options.calls:
        flat &= judge(f"{options.calls} calls", list(make_calls(options.calls)))
    if options.requests:
        flat &= judge(f"{options.requests} requests", list(make_requests(options.requests)))
    if options.loads:
        flat &= judge(f"{options.loads} loads", list(load_and_close(options.loads)))
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("GPT4All")]
    if left:
        print(f"threads that are left: {', '.join(left)}")
    return int(not flat or bool(left))
