"""A mixed load, the same for every subject: requests that arrive at set times. Standard library only."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.drivers.common import Values

#: Answers a prompt with that many new tokens, calls back at the first of them, and returns how many there were.
Ask = Callable[[str, int, Callable[[], None]], int]


def mixed_load(key: str, requests: Sequence[Mapping[str, Any]], ask: Ask) -> Values:
    """Seconds from the first arrival to the last token; milliseconds from an arrival to its first token.

    Every request has a thread of its own, which asks at the request's time, ``at`` seconds after the start.

    Raises:
        ValueError: an answer is shorter than it was asked to be.
    """
    ask(requests[0]["prompt"][:40], 4, lambda: None)  # wakes up whatever waits for the first request
    start = time.perf_counter() + 0.1
    firsts: dict[int, float] = {}
    ends: dict[int, float] = {}
    errors: list[BaseException] = []

    def one(index: int, request: Mapping[str, Any]) -> None:
        due = start + request["at"]
        time.sleep(max(0.0, due - time.perf_counter()))

        def on_first() -> None:
            firsts[index] = time.perf_counter() - due

        try:
            n_new = ask(request["prompt"], request["n_new"], on_first)
            ends[index] = time.perf_counter() - start
            if n_new != request["n_new"]:
                raise ValueError(f"request {index} got {n_new} tokens, not {request['n_new']}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    delays = sorted(1e3 * seconds for seconds in firsts.values())
    return {
        f"{key}.total": [max(ends.values()) - min(request["at"] for request in requests)],
        f"{key}.first": [statistics.median(delays)],
        f"{key}.first.p95": [percentile(delays, 0.95)],
    }


def throughput(key: str, rounds: Sequence[Sequence[Mapping[str, Any]]], ask: Ask) -> Values:
    """Tokens per second of a round's requests together, from the first arrival to the last token."""
    rates = []
    for requests in rounds:
        (seconds,) = mixed_load(key, requests, ask)[f"{key}.total"]
        rates.append(sum(request["n_new"] for request in requests) / seconds)
    return {key: rates}


def percentile(ascending: Sequence[float], share: float) -> float:
    """The least value that at least this share of all does not exceed."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
