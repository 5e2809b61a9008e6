"""``generate`` on the fake backend: pieces, stop strings, and every way to stop listening."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from gpt4all import CancellationError, ContextWindowExceededError, GPT4All
from gpt4all.engine import runs
from tests.support.fake.backend import ECHO, END, TURN, text
from tests.support.fake.helpers import AT_GATE, EngineLog, LoadFake, Task, is_idle, wait_until, worker_threads

WAVE = "👋🏽"


def as_generator(stream: Iterator[str]) -> Any:
    """Streams promise no more than ``Iterator``; they are generators."""
    return stream


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((" Hello", ",", " world", END), id="words"),
        pytest.param((text(f"Grüße, 世界 {WAVE}"), END), id="one byte a token"),
        pytest.param((b"a\xff", b"\xe4\xb8", b"b", b"\xf0\x9f", END), id="invalid UTF-8"),
        pytest.param((END,), id="nothing"),
        pytest.param(("", "a", "", END), id="tokens without text"),
        pytest.param(("a\0b", END), id="NUL"),
    ],
)
def test_pieces_joined_are_the_whole_text(loaded: LoadFake, steps: tuple[Any, ...]) -> None:
    model = loaded(*steps)
    whole = model.generate("x")
    pieces = list(model.generate("x", streaming=True))
    assert "".join(pieces) == whole
    assert "" not in pieces


def test_a_piece_never_holds_half_a_character(loaded: LoadFake) -> None:
    model = loaded(text(f"é世{WAVE}!"), END)
    assert list(model.generate("x", streaming=True)) == ["é", "世", *WAVE, "!"]


def test_bytes_that_are_no_text_become_replacement_characters(loaded: LoadFake) -> None:
    model = loaded(b"a\xff", b"\xe4\xb8", b"b", b"\xf0\x9f", END)
    assert model.generate("x") == "a\ufffd\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("answer", "stop", "expected"),
    [
        ("one STOP two", "STOP", "one "),
        ("one STOP two", ["nothing", " STOP", "two"], "one"),
        ("one STO two", "STOP", "one STO two"),
        ("aab", "ab", "a"),
        ("STOP", ["STOP"], ""),
        ("one ST", "STOP", "one ST"),
        ("ein Ö, kein Ü", "Ü", "ein Ö, kein "),
        ("one ### Human: two", None, "one "),
        ("one ### Human: two", "STOP", "one "),
        ("one ### Human: two", [], "one ### Human: two"),
    ],
)
def test_stop_texts_over_several_tokens(loaded: LoadFake, answer: str, stop: Any, expected: str) -> None:
    model = loaded(text(answer), END)
    assert model.generate("x", stop=stop) == expected
    pieces = list(model.generate("x", stop=stop, streaming=True))
    assert "".join(pieces) == expected
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "stop"


def test_nothing_of_a_stop_text_is_ever_streamed(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded(text("one ST"), "OP", wait_cancel_after=6)
    stream = as_generator(model.generate("x", stop="STOP", streaming=True))
    assert [next(stream) for _ in "one "] == list("one ")
    engine_log.wait_for(AT_GATE)
    stream.close()
    assert model.last_generation is not None
    assert model.last_generation.completion_tokens == 6


@pytest.mark.parametrize(
    ("arguments", "expected", "reason"),
    [
        ({}, "ab" * 100, "length"),
        ({"max_tokens": 3}, "aba", "length"),
        ({"max_tokens": 0}, "", "length"),
        ({"n_predict": 1}, "a", "length"),
        ({"n_predict": 1, "max_tokens": 3}, "a", "length"),
        ({"n_predict": None, "max_tokens": 3}, "aba", "length"),
    ],
)
def test_length(loaded: LoadFake, arguments: dict[str, Any], expected: str, reason: str) -> None:
    model = loaded("a", "b")
    assert model.last_generation is None
    assert model.generate("xyz", **arguments) == expected
    outcome = model.last_generation
    assert outcome is not None
    assert (outcome.finish_reason, outcome.prompt_tokens, outcome.cached_tokens) == (reason, 4, 0)
    assert outcome.completion_tokens == len(expected)
    assert outcome.prompt_seconds >= 0
    assert outcome.completion_seconds >= 0
    assert "".join(model.generate("xyz", streaming=True, **arguments)) == expected
    assert model.last_generation is not None
    assert model.last_generation.cached_tokens == 3


def test_last_generation_is_there_when_a_stream_ends(loaded: LoadFake) -> None:
    model = loaded("a", "b", END)
    stream = model.generate("x", streaming=True)
    assert list(stream) == ["a", "b"]
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "stop"
    assert model.last_generation.completion_tokens == 2


def test_a_begin_token_is_added_once(loaded: LoadFake) -> None:
    model = loaded(ECHO, END)
    model.generate("ab")
    assert model.last_generation is not None
    assert model.last_generation.prompt_tokens == 3
    model.generate("<|begin|>ab")
    assert model.last_generation.prompt_tokens == 3
    assert model.generate("<|begin|>ab", parse_special=False) == "<|begin|>ab"


@pytest.mark.parametrize("add_bos", [0, 1])
def test_an_empty_prompt(loaded: LoadFake, add_bos: int) -> None:
    model = loaded("a", END, add_bos=add_bos)
    assert model.generate("") == "a"
    assert model.last_generation is not None
    assert model.last_generation.prompt_tokens == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_a_prompt_that_does_not_fit(loaded: LoadFake, streaming: bool) -> None:
    model = loaded("a", END, options={"n_ctx": 16})
    assert model.generate("x" * 11) == "a"
    before = model.last_generation
    with pytest.raises(ContextWindowExceededError, match=r"13 tokens.*n_ctx=16.*at most 12") as caught:
        "".join(model.generate("x" * 12, streaming=streaming))
    assert (caught.value.prompt_tokens, caught.value.limit, caught.value.n_ctx) == (13, 12, 16)
    assert model.last_generation is before
    assert model.generate("x") == "a"


def test_an_answer_longer_than_the_context(loaded: LoadFake) -> None:
    model = loaded("a", "b", "c", options={"n_ctx": 16})
    assert model.generate("x", max_tokens=100) == "abc" * 33 + "a"
    assert model.last_generation is not None
    assert model.last_generation.context_shifts > 0


def test_nothing_runs_before_the_first_piece_is_asked_for(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", END, log_calls=1)
    stream = model.generate("x", streaming=True)
    never = model.generate("x", streaming=True)
    assert model.generate("y") == "a"
    assert sum("generate n_tokens" in line for line in engine_log.lines) == 1
    assert is_idle(model)
    assert list(stream) == ["a"]
    del never
    assert sum("generate n_tokens" in line for line in engine_log.lines) == 2


# Ways to stop listening


def drop_by_break(stream: Iterator[str]) -> None:
    for _ in stream:
        break


def drop_by_close(stream: Iterator[str]) -> None:
    next(stream)
    as_generator(stream).close()
    as_generator(stream).close()


def drop_by_exception(stream: Iterator[str]) -> None:
    class OwnError(Exception):
        pass

    def consume() -> None:
        nonlocal stream
        ours = stream
        del stream
        for _ in ours:
            raise OwnError

    with pytest.raises(OwnError):
        consume()
    # The traceback held it.
    gc.collect()


def drop_by_collection(stream: Iterator[str]) -> None:
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


@pytest.mark.parametrize("drop", [drop_by_break, drop_by_close, drop_by_exception, drop_by_collection])
def test_the_engine_stops_when_nobody_listens(loaded: LoadFake, drop: Any) -> None:
    # Only the cancel flag ends the first turn.
    model = loaded("a", TURN, "b", END, wait_cancel_after=1)

    def scope() -> None:
        streams = [model.generate("x", streaming=True)]
        drop(streams.pop())

    scope()
    assert is_idle(model)
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "cancelled"


def test_the_engine_stops_in_the_prompt(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", END, wait_cancel_in_prompt=2)
    stream = as_generator(model.generate("x" * 100, n_batch=10, streaming=True))
    reader = Task(lambda: list(stream))
    engine_log.wait_for(AT_GATE)
    model.close()
    with pytest.raises(CancellationError, match="closed"):
        reader.result()
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "cancelled"


def test_a_stopped_model_is_usable_at_once(loaded: LoadFake) -> None:
    model = loaded("a", "b", "c")
    for _ in range(20):
        for _ in model.generate("x", max_tokens=10**6, streaming=True):
            break
        assert model.generate("x", max_tokens=4) == "abca"


def test_a_slow_consumer_bounds_memory(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BUFFERED_PIECES", 5)
    model = loaded("a", log_calls=1)
    stream = as_generator(model.generate("x", max_tokens=10**6, streaming=True))
    seen = [next(stream) for _ in range(3)]
    run = next(iter(model._loaded._worker._line))
    assert isinstance(run, runs.Run)
    wait_until(lambda: run._news.qsize() == 5)
    stream.close()
    assert model.last_generation is not None
    # Those read, those in the buffer, and the one for which there was no more room.
    assert len(seen) + 5 <= model.last_generation.completion_tokens <= len(seen) + 6


def test_every_piece_of_a_long_answer_arrives(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BUFFERED_PIECES", 2)
    model = loaded(*"abcdefghij")
    assert "".join(model.generate("x", max_tokens=5000, streaming=True)) == "abcdefghij" * 500


def test_calling_the_model_inside_a_loop_over_its_own_stream(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BUFFERED_PIECES", 2)
    model = loaded(*"abc", TURN, "!", END)
    inner: list[str] = []
    outer = ""
    for piece in model.generate("x", max_tokens=300, streaming=True):
        outer += piece
        if len(outer) == 3:
            inner.append(model.generate("y"))
            model.model.set_thread_count(2)
            inner += model.generate("z", streaming=True)
    assert outer == "abc" * 100
    assert inner == ["!", "!"]


def test_two_streams_read_in_turn(loaded: LoadFake) -> None:
    model = loaded(*"abc", TURN, *"xyz")
    pairs = zip(
        model.generate("x", max_tokens=600, streaming=True),
        model.generate("x", max_tokens=600, streaming=True),
        strict=True,
    )
    assert "".join(a + b for a, b in pairs) == "axbycz" * 200


def test_forgetting_the_model_while_its_stream_is_open(loaded: LoadFake, fake_model: Any) -> None:
    path = fake_model("a")
    model = GPT4All(path, n_ctx=64)
    session = weakref.ref(model.model)
    stream = model.generate("x", max_tokens=10**6, streaming=True)
    next(stream)
    del model
    assert next(stream) == "a"
    assert session() is not None
    del stream
    # Without the garbage collector's help: what a call leaves behind makes no cycle.
    assert session() is None
    wait_until(lambda: not worker_threads())


@pytest.mark.parametrize("streaming_", [False, True])
def test_a_failed_call_leaves_no_cycle(loaded: LoadFake, fake_model: Any, streaming_: bool) -> None:
    def scope() -> weakref.ref[object]:
        def fail(token: int, piece: str) -> None:
            raise KeyError

        model = GPT4All(fake_model("a", fail_at=(3, "DECODE", "no")), n_ctx=64)
        with pytest.raises(RuntimeError, match="no"):
            "".join(model.generate("x", streaming=streaming_))
        with pytest.raises(KeyError):
            "".join(model.generate("x", streaming=streaming_, callback=fail))
        return weakref.ref(model.model)

    gc.disable()
    try:
        assert scope()() is None
    finally:
        gc.enable()
