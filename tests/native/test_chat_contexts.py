"""Whose session a call belongs to: the context's that entered one, or the only one there is."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import ExitStack
from functools import partial

import pytest

from gpt4all import GPT4All
from gpt4all.chat.messages import Message
from tests.support.fake.backend import ECHO, END, FakeModel
from tests.support.fake.helpers import LoadFake, Task
from tests.support.interruptions import at_every_place

TEMPLATE = "<{0}>"


@pytest.fixture
def model(loaded: LoadFake) -> GPT4All:
    return loaded(ECHO, END)


def system(name: str) -> list[Message]:
    return [{"role": "system", "content": name}]


def name_of(model: GPT4All) -> str | None:
    history = model.current_chat_session
    return None if history is None else history[0]["content"]


def sent(name: str, *messages: str) -> str:
    """What the fake repeats of a conversation in which each answer was ``-``."""
    return name + "".join(f"<{message}>" for message in messages)


def test_tasks_have_sessions_of_their_own(model: GPT4All) -> None:
    everybody_in = asyncio.Event()
    inside = 0

    async def talk(name: str) -> list[Message] | None:
        nonlocal inside
        with model.chat_session(prompt_template=TEMPLATE, messages=system(name)):
            inside += 1
            if inside == 8:
                everybody_in.set()
            await everybody_in.wait()
            assert await model.agenerate(f"from {name}") == f"{name}<from {name}>"
            return model.current_chat_session

    async def main() -> list[list[Message] | None]:
        return await asyncio.gather(*(talk(str(number)) for number in range(8)))

    for number, history in enumerate(asyncio.run(main())):
        assert [message["content"] for message in history or []][:2] == [str(number), f"from {number}"]
    assert model.current_chat_session is None


class Formatting(GPT4All):
    def _format_chat_prompt_template(
        self, messages: list[Message], default_prompt_header: str = "", default_prompt_footer: str = ""
    ) -> str:
        return f"{name_of(self)}:{self._current_prompt_template}{messages[0]['content']}"


@pytest.mark.usefixtures("fake_backend")
def test_what_a_call_calls_back_sees_its_session(fake_model: FakeModel) -> None:
    model = Formatting(fake_model(ECHO, END), n_ctx=512, n_threads=1)
    everybody_in = asyncio.Event()
    inside = 0
    seen: list[tuple[str, str | None]] = []

    async def talk(name: str) -> None:
        nonlocal inside
        with model.chat_session(prompt_template=f"{name}{{0}}", messages=system(name)):
            inside += 1
            if inside == 2:
                everybody_in.set()
            await everybody_in.wait()

            def callback(token: int, piece: str) -> None:
                seen.append((name, name_of(model)))

            with pytest.warns(DeprecationWarning, match="_format_chat_prompt_template"):
                answer = model.agenerate("hi", callback=callback)
            assert await answer == f"{name}{name}:{name}{{0}}hi"

    async def main() -> None:
        await asyncio.gather(talk("a"), talk("b"))

    with model:
        asyncio.run(main())
    assert set(seen) == {("a", "a"), ("b", "b")}


def test_threads_have_sessions_of_their_own(model: GPT4All) -> None:
    barrier = threading.Barrier(8, timeout=30)

    def talk(name: str) -> None:
        with model.chat_session(prompt_template=TEMPLATE, messages=system(name)):
            barrier.wait()
            assert model.generate("hi") == f"{name}<hi>"
            assert "".join(model.generate("x", streaming=True)) == f"{name}<hi>{name}<hi>\n\n<x>"
            barrier.wait()
            assert name_of(model) == name
            model.current_chat_session = system(f"new {name}")
            barrier.wait()
            assert name_of(model) == f"new {name}"

    for task in [Task(partial(talk, str(number))) for number in range(8)]:
        task.result()


def test_where_only_one_is_open_all_threads_see_it(model: GPT4All) -> None:
    with model.chat_session("S", TEMPLATE):
        assert Task(lambda: name_of(model)).result() == "S"
        assert Task(lambda: model.generate("x")).result() == "S<x>"
        with model.chat_session("inner", TEMPLATE):
            assert Task(lambda: name_of(model)).result() == "inner"
        assert Task(lambda: name_of(model)).result() == "S"


def test_where_several_are_open_others_see_none(model: GPT4All) -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with model.chat_session("other", TEMPLATE):
            entered.set()
            assert leave.wait(30)
            assert name_of(model) == "other"

    with model.chat_session("mine", TEMPLATE):
        task = Task(other)
        assert entered.wait(30)
        assert name_of(model) == "mine"
        assert Task(lambda: name_of(model)).result() is None
        assert Task(lambda: model.generate("plain")).result() == "plain"
    # This thread has none of its own any more, and one is open.
    assert name_of(model) == "other"
    leave.set()
    task.result()
    assert name_of(model) is None


def test_nested_sessions_stack_and_the_outer_one_comes_back(model: GPT4All) -> None:
    with model.chat_session("outer", TEMPLATE):
        with model.chat_session("inner", TEMPLATE):
            assert model.generate("a") == "inner<a>"
        assert model.generate("b") == "outer<b>"


def test_a_task_inherits_the_session_it_was_made_in(model: GPT4All) -> None:
    async def inner() -> tuple[str | None, str | None]:
        with model.chat_session("own", TEMPLATE):
            own = name_of(model)
            await asyncio.sleep(0)
        return own, name_of(model)

    async def main() -> None:
        with model.chat_session("around", TEMPLATE):
            assert list(await asyncio.gather(inner(), inner())) == [("own", "around")] * 2
            assert await asyncio.to_thread(name_of, model) == "around"

    asyncio.run(main())


def test_sessions_of_two_models_do_not_meet(model: GPT4All, loaded: LoadFake) -> None:
    other = loaded(ECHO, END)
    with model.chat_session("one", TEMPLATE):
        assert other.current_chat_session is None
        with other.chat_session("two", TEMPLATE):
            assert (name_of(model), name_of(other)) == ("one", "two")


def test_a_session_may_be_left_in_another_context(model: GPT4All) -> None:
    session = model.chat_session("S", TEMPLATE)
    assert contextvars.copy_context().run(session.__enter__) is model
    assert name_of(model) == "S"
    Task(lambda: session.__exit__(None, None, None)).result()
    assert name_of(model) is None


def test_an_exit_stack_holds_a_session(model: GPT4All) -> None:
    with ExitStack() as stack:
        assert stack.enter_context(model.chat_session("S", TEMPLATE)) is model
        assert name_of(model) == "S"
    assert name_of(model) is None


def test_a_session_is_entered_once(model: GPT4All) -> None:
    session = model.chat_session("S", TEMPLATE)
    with session, pytest.raises(RuntimeError, match="chat_session"):
        session.__enter__()
    with pytest.raises(RuntimeError, match="chat_session"):
        session.__enter__()


def test_left_sessions_leave_nothing(model: GPT4All) -> None:
    for _ in range(50):
        with model.chat_session("S", TEMPLATE):
            pass
    assert model._contexts == []
    assert len(model._entered_contexts) == 1


@pytest.mark.parametrize("ends", ["well", "with an exception"])
def test_an_interrupt_leaves_no_session_open(model: GPT4All, ends: str) -> None:
    """Wherever it comes: while a session is made, entered or left."""

    def session() -> None:
        try:
            with model.chat_session("S", TEMPLATE):
                if ends != "well":
                    raise KeyError
        except KeyError:
            pass

    def check(interrupted: bool) -> None:
        assert model.current_chat_session is None
        assert model.generate("x") == "x"

    assert at_every_place(("methods.py", "test_chat_contexts.py"), session, check) > 20
