"""What of a turn stays in the history, however it ends; and what of the history is sent."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from gpt4all import CancellationError, GPT4All
from tests.support.fake.backend import ECHO, END, TURN
from tests.support.fake.helpers import AT_GATE, EngineLog, LoadFake, Task, is_idle

TEMPLATE = "<{0}>{1};"


def said(model: GPT4All) -> list[str]:
    return [message["content"] for message in (model.current_chat_session or [])[1:]]


def stop_by_false(model: GPT4All) -> None:
    model.generate("q", callback=lambda token, piece: piece != "b")


def stop_by_false_while_streaming(model: GPT4All) -> None:
    list(model.generate("q", streaming=True, callback=lambda token, piece: piece != "b"))


def stop_by_break(model: GPT4All) -> None:
    for piece in model.generate("q", streaming=True):
        if piece == "b":
            break


def stop_by_close(model: GPT4All) -> None:
    stream: Any = model.generate("q", streaming=True)
    assert next(stream) + next(stream) == "ab"
    stream.close()


def stop_by_an_exception_in_the_loop(model: GPT4All) -> None:
    def read() -> None:
        for piece in model.generate("q", streaming=True):
            if piece == "b":
                raise KeyError

    with pytest.raises(KeyError):
        read()
    gc.collect()


def stop_by_cancelling_the_task(model: GPT4All) -> None:
    async def read(seen: asyncio.Event) -> None:
        async for piece in model.agenerate("q"):
            if piece == "b":
                seen.set()
                await asyncio.Event().wait()

    async def main() -> None:
        seen = asyncio.Event()
        task = asyncio.create_task(read(seen))
        await seen.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    gc.collect()


def stop_by_aclose(model: GPT4All) -> None:
    async def main() -> None:
        stream = model.agenerate("q")
        assert await stream.__anext__() + await stream.__anext__() == "ab"
        await stream.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    "stop",
    [
        stop_by_false,
        stop_by_false_while_streaming,
        stop_by_break,
        stop_by_close,
        stop_by_an_exception_in_the_loop,
        stop_by_cancelling_the_task,
        stop_by_aclose,
    ],
)
def test_a_reply_that_the_caller_ends_stays_as_far_as_it_was_seen(
    loaded: LoadFake, stop: Callable[[GPT4All], None]
) -> None:
    model = loaded("a", "b", "c", "d", TURN, ECHO, END)
    with model.chat_session("S", TEMPLATE):
        stop(model)
        assert said(model) == ["q", "ab"]
        # That is also what is sent.
        assert model.generate("next") == "S<q>ab;<next>"


def fail_in_the_callback(model: GPT4All, streaming: bool) -> None:
    def callback(token: int, piece: str) -> None:
        if piece == "b":
            raise KeyError

    with pytest.raises(KeyError):
        list(model.generate("x" * 480, streaming=streaming, callback=callback))


def interrupt_in_the_callback(model: GPT4All, streaming: bool) -> None:
    """Nobody can tell whether the callback raised it or Ctrl-C met it: it is an exception of the callback."""

    def callback(token: int, piece: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(model.generate("x" * 480, streaming=streaming, callback=callback))


def fail_in_the_engine(model: GPT4All, streaming: bool) -> None:
    with pytest.raises(RuntimeError, match="no more"):
        list(model.generate("x" * 480, streaming=streaming))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("fail", [fail_in_the_callback, interrupt_in_the_callback, fail_in_the_engine])
def test_a_failure_leaves_the_session_as_it_was(loaded: LoadFake, fail: Any, streaming: bool) -> None:
    """The history, and what of it is sent: the long message had pushed the others out."""
    failure: dict[str, Any] = {"fail_at": (3, b"DECODE", "no more")} if fail is fail_in_the_engine else {}
    model = loaded("a", "b", "c", "d", END, **failure)
    messages = [{"role": "system", "content": "S"}]
    for number in range(5):
        messages += [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "a"}]
    with model.chat_session(prompt_template=TEMPLATE, messages=messages):
        model.generate("ping", max_tokens=1)
        assert model.last_generation is not None
        normally = model.last_generation.prompt_tokens
        model.current_chat_session = messages
        fail(model, streaming)
        assert model.current_chat_session == messages
        model.generate("ping", max_tokens=1)
        assert model.last_generation.prompt_tokens == normally


def test_a_failure_forgets_what_a_subclass_formatted(loaded: LoadFake, fake_model: Any) -> None:
    class Own(GPT4All):
        asked: ClassVar[list[str]] = []

        def _format_chat_prompt_template(self, messages: Any, header: str = "", footer: str = "") -> str:
            self.asked.append(messages[0]["content"])
            return f"[{messages[0]['content']}]"

    def fail(token: int, piece: str) -> None:
        raise KeyError

    with Own(fake_model("a", END), n_ctx=128, n_threads=1) as model, model.chat_session("S", TEMPLATE):
        with pytest.warns(DeprecationWarning, match="_format_chat"), pytest.raises(KeyError):
            model.generate("q", callback=fail)
        with pytest.warns(DeprecationWarning, match="_format_chat"):
            model.generate("q")
        with pytest.warns(DeprecationWarning, match="_format_chat"):
            model.generate("r")
    assert Own.asked == ["q", "q", "r"]


def test_an_answer_left_after_another_turn_came_keeps_what_was_seen(loaded: LoadFake) -> None:
    model = loaded(*"abcdefgh", END)
    with model.chat_session("S", TEMPLATE):
        for _ in model.generate("first", streaming=True):
            model.generate("second")
            break
        assert said(model) == ["first", "a", "second", "abcdefgh"]


def test_a_call_that_never_had_its_turn_leaves_nothing(loaded: LoadFake) -> None:
    model = loaded("a", TURN, "b", END, wait_cancel_after=1)

    async def main() -> None:
        under_way = model.agenerate("first")
        await under_way.__anext__()
        waiting = asyncio.create_task(_text(model, "second"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        # It has left its place, though nothing else ended.
        assert len(model._loaded._worker._line) == 1
        await under_way.aclose()

    with model.chat_session("S", TEMPLATE):
        asyncio.run(main())
        assert said(model) == ["first", "a"]


async def _text(model: GPT4All, prompt: str) -> str:
    return await model.agenerate(prompt)


def test_closing_the_model_keeps_what_was_said(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", wait_cancel_after=2)
    with model.chat_session("S", TEMPLATE):
        call = Task(lambda: model.generate("q"))
        engine_log.wait_for(AT_GATE)
        model.close()
        with pytest.raises(CancellationError, match="closed"):
            call.result()
        assert said(model) == ["q", "aa"]


def test_an_assigned_history_is_not_touched_by_a_call_under_way(loaded: LoadFake) -> None:
    model = loaded("a", "b", END)
    new = [{"role": "system", "content": "new"}]
    with model.chat_session("S", TEMPLATE):
        for _ in model.generate("q", streaming=True):
            model.current_chat_session = new
        assert model.current_chat_session == new


# The copy


CHANGES: list[Callable[[Any], object]] = [
    lambda history: history.append({"role": "user", "content": "x"}),
    lambda history: history.extend([]),
    lambda history: history.insert(0, {}),
    lambda history: history.pop(),
    lambda history: history.clear(),
    lambda history: history.reverse(),
    lambda history: history.sort(key=str),
    lambda history: history.remove(history[0]),
    lambda history: history.__setitem__(0, {}),
    lambda history: history.__delitem__(0),
    lambda history: history[0].__setitem__("content", "x"),
    lambda history: history[0].update(content="x"),
    lambda history: history[0].pop("content"),
    lambda history: history[0].clear(),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_change_of_the_copy_warns_where_it_is_made(loaded: LoadFake, number: int) -> None:
    model = loaded("a", END)
    with model.chat_session("S", TEMPLATE):
        with pytest.warns(UserWarning, match=r"assign a changed list .* messages=") as warned:
            CHANGES[number](model.current_chat_session)
        assert [warning.filename for warning in warned] == [__file__]
        assert model.current_chat_session == [{"role": "system", "content": "S"}]


def test_what_may_be_done_with_the_copy(loaded: LoadFake) -> None:
    model = loaded("a", END)
    message = {"role": "user", "content": "x"}
    with model.chat_session("S", TEMPLATE):
        history = model.current_chat_session
        assert history is not None
        for own in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
            own[0]["content"] = "T"
            own.append(message)
        assert (own, type(own), type(own[0])) == ([{"role": "system", "content": "T"}, message], list, dict)
        assert json.loads(json.dumps(history)) == history == [{"role": "system", "content": "S"}]
        assert repr(history) == "[{'role': 'system', 'content': 'S'}]"
        model.current_chat_session = [*history, message]
        assert said(model) == ["x"]


# Callbacks


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("last", ["", " </thi"])
def test_a_reasoning_model_reports_each_token_once(loaded: LoadFake, streaming: bool, last: str) -> None:
    """What was held back at the end belongs to the answer and to no token's report."""
    tokens = ["<think>", "hm", "</think>", "yes", *filter(None, [last])]
    model = loaded(*tokens)
    seen: list[str] = []
    with model.chat_session(prompt_template="{# <think> #}{{ messages }}"):
        answer = model.generate(
            "x", max_tokens=len(tokens), streaming=streaming, callback=lambda token, piece: seen.append(piece)
        )
        assert "".join(answer) == "yes" + last
    assert seen == ["", "", "", "yes", *filter(None, [last])]


@pytest.mark.parametrize("streaming", [False, True])
def test_nothing_is_reported_after_false(loaded: LoadFake, streaming: bool) -> None:
    model = loaded("<think>", "hm", "</think>", "yes", " no", END)
    tokens: list[int] = []
    thoughts: list[str] = []

    def stop(token: int, piece: str) -> bool:
        tokens.append(token)
        return False

    def stop_thinking(piece: str) -> bool:
        thoughts.append(piece)
        return False

    with model.chat_session(prompt_template="{# <think> #}{{ messages }}"):
        assert "".join(model.generate("x", streaming=streaming, callback=stop)) == ""
        assert len(tokens) == 1
        assert "".join(model.generate("x", streaming=streaming, reasoning_callback=stop_thinking)) == ""
        assert len(thoughts) == 1


# Locks


def test_a_stream_that_the_collector_ends_meets_no_lock(loaded: LoadFake, engine_log: EngineLog) -> None:
    """In any place where a history is read or a text tokenised, for the collector may come anywhere."""
    model = loaded("a", TURN, "b", END, wait_cancel_after=2)

    class Message(dict[str, str]):
        """Ends a stream in the middle of being copied."""

        def __iter__(self) -> Any:
            return iter(self.keys())

        def keys(self) -> Any:
            stream.close()
            return super().keys()

    with model.chat_session("S", TEMPLATE):
        stream: Any = model.generate("q", streaming=True)
        next(stream)
        engine_log.wait_for(AT_GATE)
        model._contexts[-1].chat.conversation.messages.append(Message(role="user", content="x"))
        # A copy of what was there when it began.
        assert len(Task(lambda: model.current_chat_session).result()) == 2
        assert is_idle(model)
        assert said(model) == ["x", "q", "a"]


def test_a_stream_that_ends_while_its_thread_uses_the_model(loaded: LoadFake, engine_log: EngineLog) -> None:
    """As a finalizer does that the collector runs in the middle of ``tokenize``."""
    model = loaded("a", TURN, "b", END, wait_cancel_after=2)
    stream: Any = model.generate("q", streaming=True)
    next(stream)
    engine_log.wait_for(AT_GATE)

    def use() -> None:
        with model._loaded._in_use():
            stream.close()
            # The next call has its turn meanwhile, and tokenises.
            assert Task(lambda: model.generate("x")).result() == "b"
            # Nor does closing wait for what waits for it.
            model.close()

    Task(use).result()
