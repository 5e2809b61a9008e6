"""Rounds of tools on the real library: its grammars, formats and parsers, with a model that says what a test wrote."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest

from gpt4all import GPT4All, ToolCall, ToolCallDelta, ToolError
from gpt4all.tools.calls import INTERRUPTED, REFUSED
from tests.support.chat.scripted import CHATML

pytestmark = pytest.mark.model

Say = Callable[..., GPT4All]


@pytest.fixture
def say(scripted: Callable[..., GPT4All]) -> Say:
    """``say(*answers)``: a model that gives these answers, one after each message of the assistant's."""

    def load(*answers: str, template: str = CHATML, **options: Any) -> GPT4All:
        return scripted(answers, template, **options)

    return load


def call(name: str, **arguments: Any) -> str:
    """A call as a model writes it whose template knows no tools."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


class Tools:
    """Functions, and what they got."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def add(self, a: int, b: int = 1) -> int:
        """Adds."""
        self.got.append((a, b))
        return a + b

    def paint(self, colour: Literal["red", "blue"]) -> str:
        """Paints."""
        self.got.append(colour)
        return f"painted {colour}"


@pytest.fixture
def tools() -> Tools:
    return Tools()


def roles(messages: list[dict[str, Any]] | None) -> list[str]:
    assert messages is not None
    return [message["role"] for message in messages]


def told(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages if message["role"] == "tool"]


def test_rounds_in_a_conversation_that_is_stored_and_resumed(say: Say, tools: Tools) -> None:
    model = say("Wait. " + call("add", a=2, b=3), call("add", a=5) + call("paint", colour="red"), "All done.", "Again.")
    deltas: list[ToolCallDelta] = []
    with model.new_chat("S") as chat:
        stream = chat.generate(
            "q", tools=[tools.add, tools.paint], temp=0, streaming=True, tool_delta_callback=deltas.append
        )
        assert "".join(stream) == "Wait. All done."
        stored = json.loads(json.dumps(chat.messages))
        assert chat.last_generation is stream.outcome
    assert tools.got == [(2, 3), (5, 1), "red"]
    assert roles(stored) == ["system", "user", *["assistant", "tool"], *["assistant", "tool", "tool"], "assistant"]
    assert told(stored) == ["5", "6", "painted red"]
    outcome = stream.outcome
    assert outcome is not None
    assert outcome.finish_reason == "stop"
    assert [each.result for each in outcome.tool_calls] == ["5", "6", "painted red"]
    assert "".join(delta.arguments for delta in deltas) == "".join(each.arguments_text for each in outcome.tool_calls)
    assert [delta.id for delta in deltas if delta.id] == [each.id for each in outcome.tool_calls]
    asked = [each["id"] for message in stored for each in message.get("tool_calls", ())]
    assert [message["tool_call_id"] for message in stored if message["role"] == "tool"] == asked
    with model.chat_session(messages=stored):
        assert model.generate("And?", tools=[tools.add], temp=0) == "Again."


def test_calls_that_the_caller_carries_out(say: Say, tools: Tools) -> None:
    model = say("Wait. " + call("add", a=2) + call("add", a=3), "All done.")
    with model.new_chat() as chat:
        assert chat.generate("q", tools=[tools.add], run_tools=False, temp=0) == "Wait. "
        assert chat.last_generation is not None
        assert chat.last_generation.finish_reason == "tool_calls"
        assert [each.arguments for each in chat.last_generation.tool_calls] == [{"a": 2}, {"a": 3}]
        replies = [each.reply("5") for each in chat.last_generation.tool_calls]
        stored = json.loads(json.dumps(chat.messages))
    assert tools.got == []
    # Days later, in another program.
    assert model.generate([*stored, *replies], tools=[tools.add], temp=0) == "All done."
    with model.new_chat(messages=stored) as chat:
        assert chat.generate(replies, tools=[tools.add], temp=0) == "All done."


def test_the_callback_changes_refuses_and_answers(say: Say, tools: Tools) -> None:
    model = say(*[call("add", a=1) + call("add", a=2) + call("add", a=3) + call("add", a=4)], "All done.")

    def decide(each: ToolCall) -> Any:
        changed = dataclasses.replace(each, arguments={"a": 30})
        return {1: None, 2: False, 3: changed, 4: {"sum": "many"}}[each.arguments["a"]]

    with model.new_chat() as chat:
        assert chat.generate("q", tools=[tools.add], tool_callback=decide, temp=0) == "All done."
        assert told(chat.messages) == ["2", REFUSED, "31", '{"sum": "many"}']
        # The history has what was asked for, also where something else was done.
        asked = [json.loads(each["function"]["arguments"])["a"] for each in chat.messages[2]["tool_calls"]]
        assert asked == [1, 2, 3, 4]
    assert tools.got == [(1, 1), (30, 1)]


def test_what_tools_raise(say: Say) -> None:
    def broken(kind: str) -> None:
        raise ToolError("enough") if kind == "caller" else KeyError(kind)

    calls = call("broken", kind="model"), call("broken", kind="caller")
    model = say(*calls, "Never.", *calls)
    with model.new_chat() as chat:
        with pytest.raises(ToolError, match="enough"):
            chat.generate("q", tools=[broken], temp=0)
        assert roles(chat.messages) == ["system", "user", *["assistant", "tool"] * 2, "assistant"]
        assert told(chat.messages) == ["Error: KeyError: 'model'", "Error: ToolError: enough"]
        with pytest.warns(UserWarning, match="max_tool_rounds"):
            chat.generate("q", tools=[broken], temp=0, max_tool_rounds=1)
        assert told(chat.messages)[2:] == ["Error: KeyError: 'model'"]


@pytest.mark.parametrize("wish", [call("remove", a=1), call("add", a="x"), call("add", b=2), call("add", a=1, c=2)])
def test_what_does_not_fit_cannot_be_written(say: Say, tools: Tools, wish: str) -> None:
    """The model wants nothing else, but the grammar holds from where the call begins."""
    model = say(wish, "All done.")
    model.generate("q", tools=[tools.add], temp=0, max_tokens=40, max_tool_rounds=1, run_tools=False)
    outcome = model.last_generation
    assert outcome is not None
    for each in outcome.tool_calls:
        assert each.name == "add"
        assert set(each.arguments) <= {"a", "b"}
        assert isinstance(each.arguments["a"], int)
    assert bool(outcome.tool_calls) != (outcome.finish_reason == "length")


def test_too_many_rounds(say: Say, tools: Tools) -> None:
    model = say(*[call("add", a=number) for number in range(4)])
    with model.new_chat() as chat:
        with pytest.warns(UserWarning, match="max_tool_rounds"):
            assert chat.generate("q", tools=[tools.add], max_tool_rounds=2, temp=0) == ""
        assert chat.last_generation is not None
        assert chat.last_generation.finish_reason == "tool_calls"
        assert [each.result for each in chat.last_generation.tool_calls] == ["1", "2", None]
        assert roles(chat.messages)[-1] == "assistant"
    assert tools.got == [(0, 1), (1, 1)]


def test_a_call_that_is_cut_off(say: Say, tools: Tools) -> None:
    answer = "Wait. " + call("add", a=1) + call("add", a=123456789, b=987654321)
    model = say(answer, "Never.")
    reached = set()
    for limit in range(2, 30):
        chat = model.new_chat()
        text = chat.generate("q", tools=[tools.add], max_tokens=limit, temp=0, run_tools=False)
        outcome = chat.last_generation
        assert outcome is not None
        if outcome.finish_reason == "tool_calls":
            break
        assert (outcome.finish_reason, outcome.tool_calls) == ("length", ())
        assert all("cut off" in (each.error or "") for each in outcome.refused_calls)
        assert chat.messages[-1] == {"role": "assistant", "content": text}
        reached.add(len(outcome.refused_calls))
    else:
        pytest.fail("the answer never came to its end")
    assert reached == {0, 1, 2}
    assert model.generate("q", tools=[tools.add], max_tokens=limit - 1, temp=0) == "Wait. "
    assert tools.got == []


@pytest.mark.parametrize(("parallel", "calls"), [(None, 2), (True, 2), (False, 1)])
def test_several_calls_in_a_round(say: Say, tools: Tools, parallel: bool | None, calls: int) -> None:
    model = say(call("add", a=1) + call("add", a=2))
    model.generate("q", tools=[tools.add], parallel_tool_calls=parallel, run_tools=False, temp=0)
    assert model.last_generation is not None
    assert [each.arguments["a"] for each in model.last_generation.tool_calls] == [1, 2][:calls]


def test_choices(say: Say, tools: Tools) -> None:
    both = [tools.add, tools.paint]
    model = say("No. " + call("add", a=1), "All done.")

    def names(choice: Any) -> list[str]:
        model.generate("q", tools=both, tool_choice=choice, run_tools=False, temp=1, top_p=1, seed=1)
        assert model.last_generation is not None
        return [each.name for each in model.last_generation.tool_calls]

    assert names("paint") == ["paint"]
    assert names({"type": "function", "function": {"name": "paint"}}) == ["paint"]
    assert names("required")[0] in ("add", "paint")
    assert model.generate("q", tools=both, tool_choice="none", temp=0) == "No. " + call("add", a=1)
    assert model.generate("q", tools=both, tool_choice="auto", temp=0, run_tools=False) == "No. "
    assert tools.got == []
    # After a call that was asked for the model may say what it wants.
    assert model.generate("q", tools=both, tool_choice="paint", temp=1, top_p=1, seed=1) == "All done."
    assert tools.got[-1] in ("red", "blue")


def test_asyncio(say: Say) -> None:
    threads: dict[str, threading.Thread] = {}

    async def wait(x: int) -> str:
        threads["wait"] = threading.current_thread()
        await asyncio.sleep(0)
        return "waited"

    def work(x: int) -> str:
        threads["work"] = threading.current_thread()
        return "worked"

    async def decide(each: ToolCall) -> None:
        threads["decide"] = threading.current_thread()

    model = say(call("wait", x=1) + call("work", x=2), "All done.")

    async def main() -> None:
        answer = model.agenerate("q", tools=[wait, work], tool_callback=decide, temp=0)
        assert await answer == "All done."
        assert answer.outcome is not None
        assert [each.result for each in answer.outcome.tool_calls] == ["waited", "worked"]

    asyncio.run(main())
    main_thread = threading.main_thread()
    assert threads["wait"] is threads["decide"] is main_thread
    assert threads["work"] is not main_thread
    assert model.generate("q", tools=[wait, work], temp=0) == "All done."
    assert threads["work"] is main_thread


def test_a_stream_that_is_closed_during_a_tool(say: Say) -> None:
    """By another task; the function goes on, and its result has nowhere to go."""
    model = say("Wait. " + call("slow", x=1) + call("slow", x=2), "Never.")
    begun, go_on = threading.Event(), threading.Event()

    def slow(x: int) -> str:
        begun.set()
        go_on.wait()
        return "late"

    async def main() -> list[dict[str, Any]]:
        chat = model.new_chat()
        stream = chat.agenerate("q", tools=[slow], temp=0)

        async def read() -> list[str]:
            return [piece async for piece in stream]

        task = asyncio.create_task(read())
        await asyncio.to_thread(begun.wait)
        await stream.aclose()
        go_on.set()
        assert "".join(await task) == "Wait. "
        return chat.messages

    messages = asyncio.run(main())
    assert roles(messages) == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert told(messages) == [INTERRUPTED, INTERRUPTED]


def test_ctrl_c_during_a_tool(say: Say, tools: Tools) -> None:
    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    model = say("Wait. " + call("add", a=1) + call("stop") + call("add", a=2), "Never.", "Go on.")
    with model.new_chat() as chat:
        for streaming in (False, True):
            with pytest.raises(KeyboardInterrupt):
                "".join(chat.generate("q", tools=[tools.add, stop], temp=0, streaming=streaming))
            assert told(chat.messages) == ["2", INTERRUPTED, INTERRUPTED]
            stored, chat.messages = chat.messages, []
        chat.messages = stored
        assert chat.generate("Now?", tools=[tools.add], temp=0) == "Go on."


def test_a_callback_that_ends_the_answer_in_a_call(say: Say, tools: Tools) -> None:
    model = say("Wait. " + call("add", a=1), "Never.")
    with model.new_chat() as chat:
        assert chat.generate("q", tools=[tools.add], temp=0, tool_delta_callback=lambda _: False) == "Wait. "
        assert chat.last_generation is not None
        assert chat.last_generation.finish_reason == "cancelled"
        assert chat.messages[-1] == {"role": "assistant", "content": "Wait. "}
    assert tools.got == []


def test_many_conversations(say: Say, tools: Tools) -> None:
    model = say("Wait. " + call("add", a=1), "All done.", n_parallel=2)
    asked = [f"question {number}" for number in range(5)]
    completions = model.generate_many(asked, tools=[tools.add], temp=0)
    assert [completion.text for completion in completions] == ["All done."] * 5
    assert len(tools.got) == 5
    for completion in completions:
        assert completion.outcome is not None
        assert [each.result for each in completion.outcome.tool_calls] == ["2"]

    def broken(a: int) -> int:
        raise ToolError("enough")

    broken.__name__ = "add"
    (completion,) = model.generate_many(["q"], tools=[broken], temp=0)
    assert isinstance(completion.error, ToolError)


def test_what_is_narrowed_is_said_once(say: Say) -> None:
    numbers = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"lucky_numbers": numbers}}
    offered = {"type": "function", "function": {"name": "draw", "parameters": schema}}
    model = say("Hello.")
    with pytest.warns(UserWarning, match=r"tools\[0\] \('draw'\).*\n.*lucky_numbers.*uniqueItems") as warned:
        model.generate("q", tools=[offered], temp=0)
    assert len(warned) == 1
    # Warnings are errors here.
    model.generate("q", tools=[offered], temp=0)
