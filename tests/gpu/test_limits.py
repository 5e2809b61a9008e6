"""Too little memory, loads that fail, and stopping."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from testmodels.greedy import greedy

from gpt4all._native.backend import Backend, CancelFlag
from gpt4all._native.device_memory import Device
from gpt4all.errors import InsufficientMemoryError
from tests.gpu.engine import Load
from tests.support.failed_loads import fifty_failed_loads
from tests.support.load_options import load_options

pytestmark = [pytest.mark.gpu, pytest.mark.model]


def too_much(device: Device) -> int:
    """A context whose memory no such device has: a token of tiny-llama takes 256 bytes."""
    assert device.memory_total > 0
    return min(2 * device.memory_total // 256, 2**30)


def test_too_little_memory_is_seen_without_taking_any(
    kompute: Backend, gpu: Device, model_file: Callable[[str], Path]
) -> None:
    _, need = kompute.model_memory(model_file("tiny-llama"), load_options(n_ctx=too_much(gpu)), device=gpu.index)
    assert need.total > need.memory_free
    assert need.memory_total == gpu.memory_total


@pytest.mark.slow
def test_a_load_that_fails_for_lack_of_memory_says_so(gpu: Device, load: Load) -> None:
    """Without having measured; a layer's cache is then larger than any buffer of the device."""
    if gpu.memory_total > 4 << 30:
        pytest.skip("the bookkeeping of a context that is too large for this device takes gigabytes of main memory")
    with pytest.raises(InsufficientMemoryError) as failure:
        load(n_ctx=too_much(gpu))
    assert gpu.description in str(failure.value)
    assert "bytes free" in str(failure.value)
    assert "are needed" in str(failure.value)


@pytest.mark.slow
def test_failed_loads_leave_nothing(gpu: Device, model_file: Callable[[str], Path]) -> None:
    growth, threads = fifty_failed_loads(
        model_file("tiny-llama"),
        error=InsufficientMemoryError,
        good=model_file("tiny-llama"),
        device="kompute",
        n_ctx=too_much(gpu),
    )
    assert growth < 1_000_000
    # The driver keeps its own, one or two for each processor.
    assert threads <= 4 + 2 * (os.cpu_count() or 1)


def test_a_token_callback_stops(load: Load) -> None:
    model = load()
    tokens, outcome = greedy(model, "Once", 100, on_token=lambda token, text: len(text) < 0)
    assert (len(tokens), outcome.finish_reason) == (1, "cancelled")
    assert greedy(model, "Once", 4)[1].completion_tokens == 4


def test_a_prompt_is_stopped_between_batches(load: Load) -> None:
    """No driver polls a flag while it computes, so the longest wait is one batch."""
    model = load(n_ctx=1024, n_batch=4)
    prompt = [token % 200 + 10 for token in range(1000)]
    for _ in range(20):
        cancel = CancelFlag()
        stopper = threading.Timer(0.0, cancel.set)
        stopper.start()
        _, outcome = greedy(model, prompt, 0, n_batch=4, cancel=cancel)
        stopper.join()
        if outcome.finish_reason == "cancelled":
            break
    assert outcome.finish_reason == "cancelled"
    # What was computed until then is whole batches, and still good.
    fresh, _ = greedy(load(n_ctx=1024, n_batch=4), prompt[:9], 2)
    again, outcome = greedy(model, prompt[:9], 2, reuse=True)
    assert outcome.cached_tokens in (0, 4, 8)
    assert again == fresh
