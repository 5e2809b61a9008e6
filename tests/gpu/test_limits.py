"""Too little memory, loads that fail, and stopping."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from testmodels.greedy import greedy

from gpt4all._native.backend import Backend, CancelFlag
from gpt4all._native.device_memory import Device
from gpt4all.errors import InsufficientMemoryError
from tests.fake import ROOT
from tests.gpu.engine import ALLOW_SOFTWARE, Load

pytestmark = [pytest.mark.gpu, pytest.mark.model]

_FAILED_LOADS = """
import resource, sys
from gpt4all import GPT4All
from gpt4all.errors import InsufficientMemoryError

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

path, n_ctx = sys.argv[1], int(sys.argv[2])
sizes = []
for _ in range(50):
    try:
        GPT4All(path, device="kompute", n_ctx=n_ctx)
    except InsufficientMemoryError:
        sizes.append(resident())
    else:
        sys.exit("a model that cannot fit was loaded")
GPT4All(path, device="kompute", n_ctx=64).close()
with open("/proc/self/status") as file:
    threads = next(int(line.split()[1]) for line in file if line.startswith("Threads:"))
# The smallest of some: what is freed late, by another thread, is no leak.
print(min(sizes[40:]) - min(sizes[1:11]), threads)
"""


def too_much(device: Device) -> int:
    """A context whose memory no such device has: a token of tiny-llama takes 256 bytes."""
    assert device.memory_total > 0
    return min(2 * device.memory_total // 256, 2**30)


def test_too_little_memory_is_seen_without_taking_any(
    kompute: Backend, gpu: Device, model_file: Callable[[str], Path]
) -> None:
    _, need = kompute.model_memory(model_file("tiny-llama"), n_ctx=too_much(gpu), device=gpu.index, n_gpu_layers=100)
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
    done = subprocess.run(
        [sys.executable, "-c", _FAILED_LOADS, str(model_file("tiny-llama")), str(too_much(gpu))],
        # With more arenas, the allocator keeps now more, now less of what was freed.
        env={**os.environ, ALLOW_SOFTWARE: "1", "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    growth, threads = (int(word) for word in done.stdout.split())
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
