"""What ``callback`` is told, and what it may do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gpt4all import GenerationError, GPT4All
from gpt4all.gpt4all import empty_response_callback
from tests.support.fake.backend import END, FIRST_SCRIPTED_TOKEN, TURN, text
from tests.support.fake.helpers import AT_GATE, EngineLog, LoadFake, is_idle

Answer = Callable[..., str]


@pytest.fixture(params=["text", "stream"])
def answer(request: pytest.FixtureRequest) -> Answer:
    """The whole answer, by either way."""

    def call(model: GPT4All, **arguments: Any) -> str:
        if request.param == "text":
            whole: str = model.generate("x", **arguments)
            return whole
        return "".join(model.generate("x", streaming=True, **arguments))

    return call


def test_every_token_is_reported(loaded: LoadFake, answer: Answer) -> None:
    model = loaded("a", "b", "", "c", END)
    seen: list[tuple[int, str]] = []
    assert answer(model, callback=lambda token, piece: seen.append((token, piece)), max_tokens=4) == "abc"
    first = FIRST_SCRIPTED_TOKEN
    assert seen == [(first, "a"), (first + 1, "b"), (first + 2, ""), (first + 3, "c")]


def test_pieces_are_what_the_answer_is_made_of(loaded: LoadFake, answer: Answer) -> None:
    model = loaded(text("é👋 ### Hum, é ### Human"), END)
    seen: list[str] = []
    assert answer(model, callback=lambda token, piece: seen.append(piece)) == "é👋 ### Hum, é "
    assert "".join(seen) == "é👋 ### Hum, é "


@pytest.mark.parametrize("go_on", [None, True, 1, 0, "", "yes"])
def test_whatever_is_not_false_goes_on(loaded: LoadFake, answer: Answer, go_on: object) -> None:
    # 0 too: that is what file.write("") returns.
    model = loaded("a", "b", END)
    assert answer(model, callback=lambda token, piece: go_on) == "ab"
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "stop"


def test_false_stops_and_its_piece_stays(loaded: LoadFake, answer: Answer) -> None:
    model = loaded("a", "b", "c", "d", END)
    seen: list[str] = []

    def until_b(token: int, piece: str) -> bool:
        seen.append(piece)
        return piece != "b"

    assert answer(model, callback=until_b) == "ab"
    assert seen == ["a", "b"]
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "cancelled"
    assert model.last_generation.completion_tokens == 2
    assert answer(model) == "abcd"


@pytest.mark.parametrize(
    "error", [KeyError("own"), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), BaseException()]
)
def test_an_exception_stops_the_engine_and_is_raised_in_the_caller(
    loaded: LoadFake, answer: Answer, error: BaseException
) -> None:
    model = loaded("a", "b", TURN, "c", END, wait_cancel_after=3)
    calls: list[str] = []

    def fail(token: int, piece: str) -> None:
        calls.append(piece)
        if piece == "b":
            raise error

    with pytest.raises(type(error)) as caught:
        answer(model, callback=fail)
    assert caught.value is error
    assert error.__context__ is None
    assert calls == ["a", "b"]
    assert is_idle(model)
    assert answer(model) == "c"


def test_a_stream_gives_the_pieces_before_the_exception(loaded: LoadFake) -> None:
    model = loaded("a", "b", "c", END)
    seen: list[str] = []

    def fail(token: int, piece: str) -> None:
        if piece == "c":
            raise KeyError

    stream = model.generate("x", streaming=True, callback=fail)
    # list.extend keeps what came before the exception.
    with pytest.raises(KeyError):
        seen.extend(stream)
    assert seen == ["a", "b"]


def test_without_streaming_it_runs_on_the_calling_thread(loaded: LoadFake) -> None:
    """As in 2.8: a callback may use what belongs to a thread, such as a database connection or a user interface."""
    model = loaded("a", "b", END)
    database = sqlite3.connect(":memory:")
    database.execute("create table pieces (piece text)")
    model.generate("x", callback=lambda token, piece: bool(database.execute("insert into pieces values (?)", [piece])))
    assert database.execute("select group_concat(piece, '') from pieces").fetchone() == ("ab",)
    database.close()


def test_with_streaming_it_does_not_wait_for_the_consumer(loaded: LoadFake) -> None:
    model = loaded("a", "b", "c", END)
    threads: set[int] = set()
    ended = threading.Event()

    def note(token: int, piece: str) -> None:
        threads.add(threading.get_ident())
        if piece == "c":
            ended.set()

    stream = model.generate("x", streaming=True, callback=note)
    assert next(stream) == "a"
    assert ended.wait(30)
    assert threading.get_ident() not in threads
    assert list(stream) == ["b", "c"]


def test_the_default_changes_nothing(loaded: LoadFake, answer: Answer) -> None:
    model = loaded("a", "b", END)
    assert answer(model, callback=empty_response_callback) == "ab"
    assert empty_response_callback(1, "a") is True


@pytest.mark.parametrize(
    "nested",
    [
        lambda model: model.generate("y"),
        lambda model: next(model.generate("y", streaming=True)),
        lambda model: model.model.set_thread_count(2),
        lambda model: model._loaded.last_logits(),
    ],
)
def test_calling_the_model_inside_its_own_callback(
    loaded: LoadFake, answer: Answer, nested: Callable[[GPT4All], object]
) -> None:
    model = loaded("a", END)
    with pytest.raises(GenerationError, match="from the callback"):
        answer(model, callback=lambda token, piece: bool(nested(model)))
    assert answer(model) == "a"


def test_what_works_inside_a_callback(loaded: LoadFake, answer: Answer) -> None:
    model, other = loaded("a", END), loaded("b", END)
    results: list[object] = []

    def use(token: int, piece: str) -> None:
        results.append(model.detokenize([token] if token != 1 else []))
        results.append(len(model.tokenize(piece)))
        results.append(other.generate("y"))

    assert answer(model, callback=use) == "a"
    assert results[:3] == ["a", 1, "b"]


def test_stopping_in_the_callback_of_the_last_token(loaded: LoadFake, answer: Answer) -> None:
    model = loaded("a", "b")
    assert answer(model, callback=lambda token, piece: piece != "b", max_tokens=2) == "ab"


def test_a_callbacks_stop_iteration_is_raised_as_it_is(loaded: LoadFake) -> None:
    def stop(token: int, piece: str) -> bool:
        raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        loaded("a", "b", END).generate("x", callback=stop)
    # A generator cannot raise it: to the loop around it that would be a sound end.
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        list(loaded("a", "b", END).generate("x", callback=stop, streaming=True))
    assert isinstance(caught.value.__cause__, StopIteration)


def test_text_that_was_held_back_is_no_call_of_its_own(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", "<", "b", wait_cancel_after=2)
    calls: list[str] = []

    def note(token: int, piece: str) -> bool:
        calls.append(piece)
        return True

    stream: Any = model.generate("x", streaming=True, stop=["<x"], callback=note)
    assert next(stream) == "a"
    engine_log.wait_for(AT_GATE)
    stream.close()
    assert calls == ["a", ""]
