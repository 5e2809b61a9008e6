"""``close()``: from anywhere, at any time, twice; and what is left to a closed model."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gpt4all import CancellationError, GPT4All
from gpt4all.engine import runs
from tests.support.fake.backend import END, TURN
from tests.support.fake.helpers import AT_GATE, EngineLog, LoadFake, Task, wait_until, worker_threads

PUBLIC_CALLS: dict[str, Callable[[GPT4All], object]] = {
    "generate": lambda model: model.generate("x"),
    "generate, streaming": lambda model: model.generate("x", streaming=True),
    "agenerate": lambda model: model.agenerate("x"),
    "chat_session": lambda model: model.chat_session().__enter__(),
    "entering it": lambda model: model.__enter__(),
    "tokenize": lambda model: model.tokenize("x"),
    "detokenize": lambda model: model.detokenize([3]),
    "detokenize nothing": lambda model: model.detokenize([]),
    "count_prompt_tokens": lambda model: model.model.count_prompt_tokens("x"),
    "set_thread_count": lambda model: model.model.set_thread_count(1),
    "thread_count": lambda model: model.model.thread_count(),
    "last_logits": lambda model: model._loaded.last_logits(),
}


@pytest.mark.parametrize("name", PUBLIC_CALLS)
def test_a_closed_model_refuses_every_call(loaded: LoadFake, name: str) -> None:
    model = loaded("a", END)
    model.close()
    with pytest.raises(ValueError, match="closed"):
        PUBLIC_CALLS[name](model)


def test_a_stream_made_before_close_refuses_to_begin(loaded: LoadFake) -> None:
    model = loaded("a", END)
    stream = model.generate("x", streaming=True)
    model.close()
    with pytest.raises(ValueError, match="closed"):
        next(stream)


def test_what_a_closed_model_still_tells(loaded: LoadFake) -> None:
    model = loaded("a", END)
    model.generate("x")
    model.close()
    assert model.backend == "cpu"
    assert model.device is None
    assert model.config["filename"].startswith("fake-")
    assert model.last_generation is not None
    assert model._loaded.closed


def test_closing_twice(loaded: LoadFake) -> None:
    model = loaded("a", END)
    model.close()
    model.close()
    model.model.close()


def test_the_context_manager(loaded: LoadFake) -> None:
    model = loaded("a", END)
    with model as same:
        assert same is model
        assert model.generate("x") == "a"
    with pytest.raises(ValueError, match="closed"):
        model.generate("x")
    with pytest.raises(KeyError), loaded("a") as other:
        raise KeyError
    assert other._loaded.closed


def test_close_stops_a_call_of_another_thread(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=2)
    call = Task(lambda: model.generate("x"))
    engine_log.wait_for(AT_GATE)
    model.close()
    with pytest.raises(CancellationError, match="closed during this call"):
        call.result()
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "cancelled"
    assert not worker_threads()


def test_close_stops_a_stream_whose_reader_waits(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=2)
    seen: list[str] = []
    reader = Task(lambda: seen.extend(model.generate("x", streaming=True)))
    engine_log.wait_for(AT_GATE)
    model.close()
    with pytest.raises(CancellationError, match="closed"):
        reader.result()
    assert seen == ["a", "a"]
    assert not worker_threads()


def test_close_stops_an_engine_that_waits_for_a_slow_reader(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BUFFERED_PIECES", 3)
    model = loaded("a")
    stream = model.generate("x", max_tokens=10**6, streaming=True)
    next(stream)
    run = next(iter(model._loaded._worker._line))
    assert isinstance(run, runs.Run)
    wait_until(lambda: run._news.qsize() == 3)
    model.close()
    assert not worker_threads()
    seen: list[str] = []
    with pytest.raises(CancellationError, match="closed"):
        seen.extend(stream)
    assert 3 <= len(seen) <= 4


def test_close_in_the_loop_over_a_stream(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=3)
    pieces: list[str] = []

    def read() -> None:
        for piece in model.generate("x", streaming=True):
            if not pieces:
                engine_log.wait_for(AT_GATE)
            pieces.append(piece)
            model.close()

    with pytest.raises(CancellationError, match="closed"):
        read()
    assert pieces == ["a"] * 3


@pytest.mark.parametrize("streaming_", [False, True])
def test_close_in_a_callback(loaded: LoadFake, streaming_: bool) -> None:
    model = loaded("a", "b", "c")
    closed_at: list[str] = []
    pieces: list[str] = []

    def close(token: int, piece: str) -> None:
        if piece == "b":
            model.close()
            model.close()
            closed_at.append(piece)

    with pytest.raises(CancellationError, match="closed"):
        pieces.extend(model.generate("x", callback=close, streaming=streaming_))
    assert pieces == (["a", "b"] if streaming_ else [])
    assert closed_at == ["b"]
    wait_until(lambda: not worker_threads())
    assert model._loaded._native._handle.value is None
    assert not worker_threads()


def test_close_while_others_wait_for_their_turn(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=1)
    first = Task(lambda: model.generate("x"))
    engine_log.wait_for(AT_GATE)
    waiting = [Task(lambda: model.generate("y")) for _ in range(3)]
    waiting.append(Task(lambda: list(model.generate("y", streaming=True))))
    waiting.append(Task(lambda: model.model.set_thread_count(1)))
    wait_until(lambda: len(model._loaded._worker._line) == 6)
    closers = [Task(model.close) for _ in range(3)]
    for closer in closers:
        closer.result()
    assert model._loaded._native._handle.value is None
    with pytest.raises(CancellationError, match="closed"):
        first.result()
    for task in waiting[:-1]:
        with pytest.raises(CancellationError, match="closed"):
            task.result()
    with pytest.raises(ValueError, match="closed"):
        waiting[-1].result()


def test_a_second_close_waits_for_the_first(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=1)
    in_callback, leave = threading.Event(), threading.Event()

    def hold(token: int, piece: str) -> None:
        in_callback.set()
        assert leave.wait(30)

    reader = Task(lambda: list(model.generate("x", streaming=True, callback=hold)))
    assert in_callback.wait(30)
    closers = [Task(model.close), Task(model.close)]
    wait_until(lambda: len(model._loaded._worker._line) == 3)
    assert not any(closer.done() for closer in closers)
    leave.set()
    for closer in closers:
        closer.result()
    assert model._loaded._native._handle.value is None
    with pytest.raises(CancellationError, match="closed"):
        reader.result()


def test_an_interrupted_close_can_be_repeated(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("a", END)
    queue = model._loaded._worker

    def interrupted(job: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queue, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.close()
    with pytest.raises(ValueError, match="closed"):
        model.generate("x")
    assert model._loaded._native._handle.value is not None
    model.close()
    assert model._loaded._native._handle.value is None


def to_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def too_early_to_wake_it() -> None:
    """As a signal does that comes when the main thread is about to wait, but does not yet."""
    _thread.interrupt_main(signal.SIGUSR1)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal that a process can send itself")
@pytest.mark.parametrize("send_signal", [to_main_thread, too_early_to_wake_it])
@pytest.mark.parametrize("callback", [None, lambda token, piece: None])
@pytest.mark.parametrize("streaming_", [False, True])
def test_close_in_a_signal_handler(
    loaded: LoadFake, engine_log: EngineLog, callback: Any, streaming_: bool, send_signal: Callable[[], None]
) -> None:
    """A server that ends in good order closes its models when it gets SIGTERM, wherever the main thread is."""
    model = loaded("a", wait_cancel_after=2)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: model.close())

    def send() -> None:
        engine_log.wait_for(AT_GATE)
        send_signal()

    try:
        sender = Task(send)
        arguments = {} if callback is None else {"callback": callback}
        with pytest.raises(CancellationError, match="closed"):
            list(model.generate("x", streaming=streaming_, **arguments))
        sender.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert model._loaded._native._handle.value is None
    assert not worker_threads()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal that a process can send itself")
@pytest.mark.parametrize("send_signal", [to_main_thread, too_early_to_wake_it])
def test_close_in_a_signal_handler_while_waiting_for_a_turn(
    loaded: LoadFake, engine_log: EngineLog, send_signal: Callable[[], None]
) -> None:
    model = loaded("a", wait_cancel_after=1)
    other = Task(lambda: model.generate("x"))
    engine_log.wait_for(AT_GATE)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: model.close())

    def send() -> None:
        wait_until(lambda: len(model._loaded._worker._line) == 2)
        send_signal()

    try:
        sender = Task(send)
        with pytest.raises(CancellationError, match="closed"):
            model.generate("y")
        sender.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(CancellationError, match="closed"):
        other.result()
    assert model._loaded._native._handle.value is None


def test_close_does_not_wait_for_turns_of_other_models(loaded: LoadFake, engine_log: EngineLog) -> None:
    busy, idle = loaded("a", TURN, END, wait_cancel_after=1), loaded("c", END)
    stream: Any = busy.generate("x", streaming=True)
    next(stream)
    engine_log.wait_for(AT_GATE)
    idle.close()
    stream.close()
    assert busy.generate("x") == ""
