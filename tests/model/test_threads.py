"""The real library under threads; with a sanitizer, ``scripts/dev sanitize thread`` looks into it while this runs."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpt4all import CancellationError, GPT4All
from tests.support.fake.helpers import wait_until

pytestmark = pytest.mark.model


def in_threads(count: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, number) for number in range(count)]:
            done.result()


def call_for_ever(model: GPT4All) -> None:
    while True:
        model.generate("Once upon a time", max_tokens=50, stop=[])


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_threads_that_nobody_used_do_not_stay(model_file: Callable[[str], Path]) -> None:
    def n_threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    with GPT4All(model_file("tiny-llama"), n_ctx=128, n_threads=3) as model:
        for _ in range(2):
            model.generate("a", max_tokens=1, stop=[])
            before = n_threads()
            for n in (2, 3) * 10:
                model.model.set_thread_count(n)
            # Those of the last computation may still be asked for once.
            assert n_threads() <= before + 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads the states of threads in /proc")
def test_threads_sleep_soon_after_a_call(model_file: Callable[[str], Path]) -> None:
    """They poll for the next token some milliseconds, and no longer where each poll lets others run."""

    def all_others_sleep() -> bool:
        own = threading.get_native_id()
        states = set()
        for task in Path("/proc/self/task").iterdir():
            # A thread may end meanwhile.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if int(task.name) != own:
                    states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
        return states <= {"S"}

    def seconds_of_others() -> float:
        return time.process_time() - time.thread_time()

    with GPT4All(model_file("tiny-llama"), n_ctx=128, n_threads=2) as model:
        spent = []
        for _ in range(3):
            model.generate("a", max_tokens=2, stop=[])
            before = seconds_of_others()
            wait_until(all_others_sleep)
            spent.append(seconds_of_others() - before)
    before = time.thread_time()
    for _ in range(30_000):
        os.sched_yield()
    # A poll is given the time of some 8,000; each once counted as one of 131,072 spins.
    assert min(spent) < time.thread_time() - before


def test_sixteen_threads_share_a_model(model_file: Callable[[str], Path]) -> None:
    # One engine thread mostly: several wait for each other in loops, which takes long where cores are fewer.
    with GPT4All(model_file("tiny-llama"), n_ctx=128, n_threads=1) as model:
        prompts = [f"Number {number}" for number in range(16)]
        alone = [model.generate(prompt, max_tokens=6, temp=0, stop=[]) for prompt in prompts]

        def work(number: int) -> None:
            prompt = prompts[number]
            for turn in range(3):
                assert model.generate(prompt, max_tokens=6, temp=0, stop=[]) == alone[number]
                assert "".join(model.generate(prompt, max_tokens=6, temp=0, stop=[], streaming=True)) == alone[number]
                for _ in model.generate("Once upon a time", max_tokens=100, stop=[], streaming=True):
                    break
                assert model.detokenize(model.tokenize(prompt)).strip() == prompt
                if turn == 1:
                    model.model.set_thread_count(1)

        in_threads(16, work)


def test_models_live_side_by_side(model_file: Callable[[str], Path]) -> None:
    """Each thread loads, uses and closes its own, of every kind of memory, while lines go to the log."""
    names = ["tiny-llama", "tiny-gemma3", "tiny-mamba", "tiny-jamba", "tiny-t5", "tiny-llama", "tiny-llama-bpe"]
    logger = logging.getLogger("gpt4all")
    level = logger.level
    logger.setLevel(1)

    def work(number: int) -> None:
        for _ in range(3):
            with GPT4All(model_file(names[number]), n_ctx=64, n_threads=1) as model:
                first = model.generate("Hello", max_tokens=8, temp=0, stop=[])
                assert model.generate("Hello", max_tokens=8, temp=0, stop=[]) == first

    try:
        in_threads(len(names), work)
    finally:
        logger.setLevel(level)


def test_one_model_closed_while_others_call_it(model_file: Callable[[str], Path]) -> None:
    for _ in range(5):
        model = GPT4All(model_file("tiny-llama"), n_ctx=64, n_threads=1)
        begun = threading.Barrier(5)

        def call(number: int, model: GPT4All = model, begun: threading.Barrier = begun) -> None:
            if number == 0:
                begun.wait()
                model.close()
                return
            model.generate("Hello", max_tokens=2)
            begun.wait()
            # The call under way, and those that wait or come later.
            with pytest.raises((CancellationError, ValueError), match="closed"):
                call_for_ever(model)

        in_threads(5, call)


def test_an_engine_with_threads_of_its_own(model_file: Callable[[str], Path]) -> None:
    with GPT4All(model_file("tiny-llama"), n_ctx=64, n_threads=2) as model:
        first = model.generate("Hello", max_tokens=2, temp=0, stop=[])
        model.model.set_thread_count(3)
        assert model.generate("Hello", max_tokens=2, temp=0, stop=[]) == first


def test_conversations_of_several_threads(model_file: Callable[[str], Path]) -> None:
    """Each brings its history along, and all take turns."""
    with GPT4All(model_file("tiny-llama"), n_ctx=256, n_threads=1) as model:
        lock = threading.Lock()

        def talk(number: int) -> None:
            history = [{"role": "system", "content": f"You are number {number}."}]
            for turn in range(3):
                with lock, model.chat_session(messages=history):
                    model.generate(f"Turn {turn}", max_tokens=4, temp=0, stop=[])
                    history = model.current_chat_session or []
            assert [message["role"] for message in history] == ["system", *["user", "assistant"] * 3]
            assert history[0]["content"] == f"You are number {number}."

        in_threads(4, talk)
