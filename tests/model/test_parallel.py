"""Several generations at once on one model: ``n_parallel``."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gpt4all import Chat, ContextWindowExceededError, GenerationError, GPT4All
from tests.support.fake.helpers import Task, wait_until

PROMPTS = ["Once upon a time", "The quick brown fox", "word " * 40, "a", "Numbers: one two three", "x y z " * 12]
LOAD = {"n_ctx": 256, "n_threads": 1}
#: Memories of every kind: all positions kept, a sliding window, a state that cannot go back, both.
KINDS = ["tiny-llama", "tiny-gemma3", "tiny-mamba", "tiny-jamba", "tiny-t5"]

Tiny = Callable[..., GPT4All]


@pytest.fixture
def tiny(model_file: Callable[[str], Path]) -> Tiny:
    """``tiny(name, **options)``: a tiny random model of the test's own."""
    return lambda name, **options: GPT4All(model_file(name), **options)


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tiny: Tiny) -> Iterator[tuple[GPT4All, GPT4All]]:
    """One that computes one at a time, and one that computes three together."""
    with tiny(request.param, **LOAD) as one, tiny(request.param, **LOAD, n_parallel=3) as three:
        yield one, three


def answer(model: GPT4All, prompt: str) -> str:
    return model.generate(prompt, temp=0, max_tokens=24, stop=[])


def test_threads_get_what_one_after_the_other_gets(pair: tuple[GPT4All, GPT4All]) -> None:
    one, three = pair
    expected = [answer(one, prompt) for prompt in PROMPTS]
    tasks = [Task(partial(answer, three, prompt)) for prompt in PROMPTS * 2]
    assert [task.result() for task in tasks] == expected * 2


def test_tasks(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=3) as model:
        expected = [answer(model, prompt) for prompt in PROMPTS]

        async def main() -> list[str]:
            return await asyncio.gather(
                *[model.agenerate(prompt, temp=0, max_tokens=24, stop=[]) for prompt in PROMPTS * 3]
            )

        assert asyncio.run(main()) == expected * 3


def test_streams_are_under_way_together(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=2) as model:
        first, second = (model.generate(prompt, streaming=True, stop=[], max_tokens=10**6) for prompt in PROMPTS[:2])
        next(first), next(second)
        assert len(model._loaded._worker.under_way()) == 2
        first.close()
        next(second)
        second.close()


def test_calls_of_a_session_come_one_after_the_other(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=3) as model, model.chat_session("", "<{0}>"):
        tasks = [Task(partial(model.generate, word, temp=0, max_tokens=4)) for word in "abcd"]
        answers = [task.result() for task in tasks]
        history = model.current_chat_session or []
        assert sorted(message["content"] for message in history if message["role"] == "user") == [*"abcd"]
        said = {history[at]["content"]: history[at + 1]["content"] for at in range(1, len(history), 2)}
        assert [said[word] for word in "abcd"] == answers


def test_a_call_waits_for_what_needs_the_model_to_itself(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=3) as model:
        go_on = threading.Event()
        held = Task(partial(model.generate, "x", max_tokens=2, stop=[], callback=lambda *_: go_on.wait(30)))
        wait_until(lambda: len(model._loaded._worker.under_way()) == 1)
        alone = Task(partial(model.model.set_thread_count, 2))
        wait_until(lambda: len(model._loaded._worker._line) == 2)
        after = Task(partial(answer, model, "a"))
        wait_until(lambda: len(model._loaded._worker._line) == 3)
        assert len(model._loaded._worker.under_way()) == 1
        go_on.set()
        held.result(), alone.result(), after.result()
        assert model.model.thread_count() == 2


def test_an_open_stream_of_a_model_with_an_encoder_holds_nobody_up(tiny: Tiny) -> None:
    """It answers one at a time, whatever was asked for."""
    with tiny("tiny-t5", n_ctx=512, n_threads=1, n_parallel=2) as model:
        stream = model.generate("a", streaming=True, max_tokens=1900, stop=[], logit_bias={1: -100.0})
        next(stream)
        # Both the stream and the engine are as far ahead as they may be.
        wait_until(lambda: _waits_for_room(model))
        assert Task(partial(answer, model, "b")).result()
        assert "".join(stream)


def _waits_for_room(model: GPT4All) -> bool:
    run: Any = model._loaded._worker._line[0]
    return bool(run._news.qsize() >= 256)


def test_closing_ends_all(tiny: Tiny) -> None:
    model = tiny("tiny-llama", **LOAD, n_parallel=3)
    streams = [model.generate(prompt, streaming=True, stop=[], max_tokens=10**6) for prompt in PROMPTS[:3]]
    for stream in streams:
        next(stream)
    threads = model._loaded._worker._threads
    model.close()
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), ("many", ValueError), (1.5, TypeError), (257, ValueError)]
)
def test_what_n_parallel_can_be(tiny: Tiny, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="n_parallel"):
        tiny("tiny-llama", n_parallel=value)


def test_generate_many(tiny: Tiny) -> None:
    """Answers in the order of the prompts, errors beside them, whatever is done first."""
    with tiny("tiny-llama", **LOAD, n_parallel=3) as model:
        prompts = [*PROMPTS, "word " * 400, *PROMPTS]
        expected = [answer(model, prompt) for prompt in PROMPTS]
        answers = model.generate_many(prompts, temp=0, max_tokens=24, stop=[])
        assert [one.text for one in answers] == [*expected, "", *expected]
        failed = answers[len(PROMPTS)]
        assert isinstance(failed.error, ContextWindowExceededError)
        assert failed.outcome is None
        assert all(one.outcome is not None and one.error is None for one in answers if one is not failed)


def test_generate_many_as_completed(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=2) as model:
        read: list[int] = []

        def prompts() -> Iterator[str]:
            for number in range(20):
                read.append(number)
                yield f"{number}"

        completions = model.generate_many(prompts(), max_tokens=4, as_completed=True)
        first = next(completions)
        # Read as the work goes on.
        assert len(read) < 10
        assert sorted(place for place, _ in [first, *completions]) == [*range(20)]


def test_generate_many_that_is_left_leaves_nothing(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=2) as model:
        completions = model.generate_many([*PROMPTS, "a"], max_tokens=4, stop=[], as_completed=True)
        next(completions)
        completions.close()
        wait_until(lambda: not model._loaded._worker._line)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_generate_many_after_a_fork(tiny: Tiny) -> None:
    """The child has no threads that would ever answer."""
    with tiny("tiny-llama", **LOAD, n_parallel=2) as model:
        completions = model.generate_many([*"abc"], max_tokens=4, as_completed=True)
        next(completions)
        child = os.fork()
        if child == 0:
            try:
                list(completions)
            except GenerationError as error:
                os._exit(0 if "forked" in str(error) else 1)
            finally:
                os._exit(2)
        ended = (0, 0)

        def has_ended() -> bool:
            nonlocal ended
            ended = os.waitpid(child, os.WNOHANG)
            return ended[0] == child

        wait_until(has_ended)
        assert ended == (child, 0)
        assert len(list(completions)) == 2


def test_generate_many_of_conversations(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=2) as model:
        model.config["promptTemplate"] = "<{0}>"
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        prompts = [[*messages, {"role": "user", "content": word}] for word in "xy"]
        answers = [one.text for one in model.generate_many(prompts, temp=0, max_tokens=8)]
        for prompt, text in zip(prompts, answers, strict=True):
            with model.chat_session(messages=prompt[:-1]):
                assert model.generate(prompt[-1]["content"], temp=0, max_tokens=8) == text


@pytest.mark.parametrize(
    ("prompts", "error", "said"),
    [
        ("text", TypeError, "prompts"),
        (None, TypeError, "prompts"),
        (["a", 3], TypeError, r"prompts\[1\]"),
        ([[]], ValueError, r"prompts\[0\]"),
        ([[{"role": "assistant", "content": "x"}]], ValueError, "last message"),
    ],
)
def test_prompts_that_make_no_sense(tiny: Tiny, prompts: Any, error: type[Exception], said: str) -> None:
    with tiny("tiny-llama", **LOAD) as model, pytest.raises(error, match=said):
        model.generate_many(prompts)


def test_generate_many_takes_no_callback_and_no_session(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD) as model:
        with pytest.raises(TypeError, match="callback"):
            model.generate_many(["a"], callback=print)
        with model.chat_session("", "{0}"), pytest.raises(ValueError, match="session"):
            model.generate_many(["a"])


def test_chats_of_their_own(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=3) as model:
        expected = []
        for word in "abc":
            with model.chat_session("S", "<{0}>"):
                expected.append([model.generate(word * n, temp=0, max_tokens=6) for n in (1, 2)])
        chats = [model.new_chat("S", "<{0}>") for _ in "abc"]

        def talk(chat: Chat, word: str) -> list[str]:
            return [chat.generate(word * n, temp=0, max_tokens=6) for n in (1, 2)]

        tasks = [Task(partial(talk, chat, word)) for chat, word in zip(chats, "abc", strict=True)]
        assert [task.result() for task in tasks] == expected
        assert [len(chat.messages) for chat in chats] == [5, 5, 5]
        assert model.current_chat_session is None
        assert chats[0].last_generation is not None


def test_a_chat_that_is_closed(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD) as model:
        with model.new_chat("S", "<{0}>") as chat:
            chat.generate("a", max_tokens=2)
            chat.messages = chat.messages[:1]
            assert chat.messages == [{"role": "system", "content": "S"}]
        with pytest.raises(ValueError, match="closed"):
            chat.generate("b")
        assert len(chat.messages) == 1


def test_a_chat_for_asyncio(tiny: Tiny) -> None:
    with tiny("tiny-llama", **LOAD, n_parallel=2) as model:

        async def main() -> list[str]:
            chat = model.new_chat("S", "<{0}>")
            # In the order in which they were asked, each seeing the answer before.
            return await asyncio.gather(*[chat.agenerate(word, temp=0, max_tokens=4) for word in "ab"])

        got = asyncio.run(main())
        with model.chat_session("S", "<{0}>"):
            assert [model.generate(word, temp=0, max_tokens=4) for word in "ab"] == got
