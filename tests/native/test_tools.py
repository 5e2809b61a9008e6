"""Tools in ``generate``: what is carried out, what the model and the caller are told, and what stays in a history."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pickle
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from gpt4all import (
    CancellationError,
    ContextWindowExceededError,
    GPT4All,
    ToolCall,
    ToolCallDelta,
    ToolError,
)
from gpt4all._native.backend import NativeModel
from gpt4all.generation.call import Call
from gpt4all.tools.calls import INTERRUPTED, REFUSED
from tests.support.fake.backend import END
from tests.support.fake.helpers import LoadFake
from tests.support.fake.scripted_answers import ScriptedAnswers, call

JINJA = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


class Subject:
    """A model whose answers a test writes, and the calls that its tools got."""

    def __init__(self, model: GPT4All, script: ScriptedAnswers) -> None:
        self.model = model
        self.script = script
        self.got: list[Any] = []

    def add(self, a: int, b: int = 1) -> int:
        """Adds.

        Args:
            a: the first.
            b: the second.
        """
        self.got.append((a, b))
        return a + b

    @property
    def told(self) -> list[str]:
        """The results that the last prompt had."""
        return [message["content"] for message in self.script.sent[-1][0] if message["role"] == "tool"]


Script = Callable[..., Subject]


@pytest.fixture
def script(loaded: LoadFake, monkeypatch: pytest.MonkeyPatch) -> Script:
    def write(*answers: Any) -> Subject:
        scripted = ScriptedAnswers(answers)
        monkeypatch.setattr(
            NativeModel, "prepare_chat", lambda native, *given, **named: scripted.prepare_chat(*given, **named)
        )
        monkeypatch.setattr(NativeModel, "generate", lambda native, *given, **named: scripted.generate(*given, **named))
        return Subject(loaded("x", END, chat_template=JINJA, options={"n_ctx": 2048}), scripted)

    return write


def roles(messages: list[dict[str, Any]] | None) -> list[str]:
    assert messages is not None
    return [message["role"] for message in messages]


def test_calls_are_carried_out_and_their_results_sent_back(script: Script) -> None:
    subject = script("Wait. " + call("add", a=2, b=3), "It is 5.")
    assert subject.model.generate("2 + 3?", tools=[subject.add]) == "It is 5."
    assert subject.got == [(2, 3)]
    messages, tools = subject.script.sent[0]
    assert roles(messages) == ["user"]
    assert tools["choice"] == "auto"
    assert tools["parallel"] is True
    assert tools["tools"][0]["function"]["name"] == "add"
    messages, _ = subject.script.sent[1]
    assert roles(messages) == ["user", "assistant", "tool"]
    assert messages[1]["content"] == "Wait. "
    function = messages[1]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("add", {"a": 2, "b": 3})
    assert messages[2]["content"] == "5"
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]
    outcome = subject.model.last_generation
    assert outcome is not None
    assert outcome.finish_reason == "stop"
    assert [(each.name, each.arguments, each.result) for each in outcome.tool_calls] == [("add", {"a": 2, "b": 3}, "5")]
    assert outcome.prompt_seconds == 2.0  # of both rounds
    assert subject.model.current_chat_session is None


def test_a_session_keeps_calls_and_results(script: Script) -> None:
    subject = script(call("add", a=2), call("add", a=3) + call("add", a=4), "Done.", "Fine.", "Again.")
    with subject.model.chat_session("S"):
        assert subject.model.generate("q", tools=[subject.add]) == "Done."
        history = subject.model.current_chat_session
        assert roles(history) == ["system", "user", *["assistant", "tool"], *["assistant", "tool", "tool"], "assistant"]
        assert subject.model.generate("q2", tools=[subject.add]) == "Fine."
        history = json.loads(json.dumps(subject.model.current_chat_session))
    assert subject.got == [(2, 1), (3, 1), (4, 1)]
    chat = subject.model.new_chat(messages=history)
    assert chat.generate("q3", tools=[subject.add]) == "Again."
    assert subject.script.sent[-1][0] == [*history, {"role": "user", "content": "q3"}]


def test_streams_give_the_text_of_all_rounds(script: Script) -> None:
    subject = script("Wait. " + call("add", a=2), "It is 3.")
    deltas: list[ToolCallDelta] = []
    stream = subject.model.generate("q", tools=[subject.add], streaming=True, tool_delta_callback=deltas.append)
    assert next(stream) == "Wait"
    assert subject.got == []
    assert "".join(stream) == ". It is 3."
    assert subject.got == [(2, 1)]
    assert "".join(delta.arguments for delta in deltas) == '{"a": 2}'
    assert [delta.name for delta in deltas if delta.name] == ["add"]
    assert stream.outcome is not None
    assert [delta.id for delta in deltas if delta.id] == [stream.outcome.tool_calls[0].id]


def test_calls_for_the_caller(script: Script) -> None:
    subject = script("Wait. " + call("add", a=2) + call("add", a=3), "Done.")
    with subject.model.new_chat() as chat:
        assert chat.generate("q", tools=[subject.add], run_tools=False) == "Wait. "
        outcome = chat.last_generation
        assert outcome is not None
        assert outcome.finish_reason == "tool_calls"
        assert [each.arguments for each in outcome.tool_calls] == [{"a": 2}, {"a": 3}]
        assert [each.arguments_text for each in outcome.tool_calls] == ['{"a": 2}', '{"a": 3}']
        assert [each.result for each in outcome.tool_calls] == [None, None]
        replies = [each.reply("5") for each in outcome.tool_calls]
        assert chat.generate(replies, tools=[subject.add]) == "Done."
        assert roles(chat.messages) == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert subject.got == []


DICT = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


def test_tools_without_a_function_wait_for_the_caller(script: Script) -> None:
    subject = script(call("add", a=2) + call("now"), "Done.")
    with subject.model.new_chat() as chat:
        assert chat.generate("q", tools=[subject.add, DICT]) == ""
        outcome = chat.last_generation
        assert outcome is not None
        assert outcome.finish_reason == "tool_calls"
        assert [(each.name, each.result) for each in outcome.tool_calls] == [("add", "3"), ("now", None)]
        assert roles(chat.messages) == ["system", "user", "assistant", "tool"]
        assert chat.generate([outcome.tool_calls[1].reply("noon")], tools=[subject.add, DICT]) == "Done."


def test_the_callback_answers_changes_and_refuses(script: Script) -> None:
    subject = script(call("add", a=1) + call("add", a=2) + call("add", a=3) + call("now"), "Done.")
    seen: list[ToolCall] = []

    def decide(each: ToolCall) -> Any:
        seen.append(each)
        if each.name == "now":
            return "noon"
        return {1: None, 2: False, 3: dataclasses.replace(each, arguments={"a": 30})}[each.arguments["a"]]

    assert subject.model.generate("q", tools=[subject.add, DICT], tool_callback=decide) == "Done."
    assert subject.got == [(1, 1), (30, 1)]
    assert subject.told == ["2", REFUSED, "31", "noon"]
    assert [each.name for each in seen] == ["add", "add", "add", "now"]
    outcome = subject.model.last_generation
    assert outcome is not None
    assert [each.result for each in outcome.tool_calls] == ["2", "31", "noon"]
    assert [each.result for each in outcome.refused_calls] == [REFUSED]


@pytest.mark.parametrize("wrong", [{"a": "x"}, {"a": 1, "c": 1}])
def test_a_changed_call_is_checked(script: Script, wrong: dict[str, Any]) -> None:
    subject = script(call("add", a=1), "Done.")
    with pytest.raises(ValueError, match="do not match"):
        subject.model.generate(
            "q", tools=[subject.add], tool_callback=lambda each: dataclasses.replace(each, arguments=wrong)
        )
    assert subject.got == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (call("remove", a=1), "there is no tool 'remove'"),
        (call("add", a="x"), "do not match"),
        (call("add", b=1), "do not match"),
        (call("add", a=1, c=2), "do not match"),
        ("<call add>[1]</call>", "no JSON object"),
        ("<call add>{oops</call>", "Expecting"),
        ("<call add>{", "cut off"),
    ],
)
def test_what_does_not_fit_never_reaches_a_function(script: Script, text: str, words: str) -> None:
    subject = script(text, "Sorry.")
    seen: list[ToolCall] = []
    assert subject.model.generate("q", tools=[subject.add], tool_callback=seen.append) == "Sorry."
    assert subject.got == seen == []
    assert words in subject.told[0]
    outcome = subject.model.last_generation
    assert outcome is not None
    assert outcome.tool_calls == ()
    assert words in (outcome.refused_calls[0].error or "")
    subject = script(text)
    subject.model.generate("q", tools=[subject.add], run_tools=False)
    outcome = subject.model.last_generation
    assert outcome is not None
    assert (outcome.finish_reason, outcome.tool_calls) == ("stop", ())
    assert words in (outcome.refused_calls[0].error or "")


@pytest.mark.parametrize("run_tools", [True, False])
def test_an_answer_that_was_cut_off(script: Script, run_tools: bool) -> None:
    subject = script(("Wait. " + call("add", a=1) + "<call add>{", "length"))
    with subject.model.new_chat() as chat:
        assert chat.generate("q", tools=[subject.add], run_tools=run_tools) == "Wait. "
        outcome = chat.last_generation
        assert outcome is not None
        assert (outcome.finish_reason, outcome.tool_calls) == ("length", ())
        assert ["cut off" in (each.error or "") for each in outcome.refused_calls] == [True, True]
        assert chat.messages[-1] == {"role": "assistant", "content": "Wait. "}
    assert subject.got == []


def test_a_tool_that_fails(script: Script) -> None:
    def broken(x: int) -> int:
        raise KeyError(x)

    subject = script(call("broken", x=1), "Sorry.")
    assert subject.model.generate("q", tools=[broken]) == "Sorry."
    assert subject.told == ["Error: KeyError: 1"]


class TextlessError(Exception):
    def __str__(self) -> str:
        raise KeyError("text")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        # A file's name that is no UTF-8, as os.listdir gives it.
        (
            FileNotFoundError(2, "No such file", "caf\udce9"),
            "Error: FileNotFoundError: [Errno 2] No such file: 'caf\\udce9'",
        ),
        (ValueError("caf\udce9"), "Error: ValueError: caf?"),
        (TextlessError(), "Error: TextlessError: (its text cannot be had: KeyError)"),
    ],
)
def test_what_a_tool_raises_is_told_whatever_it_is(script: Script, raised: Exception, told: str) -> None:
    def broken() -> None:
        raise raised

    subject = script(call("broken"), "Sorry.")
    assert subject.model.generate("q", tools=[broken]) == "Sorry."
    assert subject.told == [told]


@pytest.mark.parametrize("value", [TextlessError(), [TextlessError()]])
def test_a_result_that_cannot_be_written_out(script: Script, value: object) -> None:
    def odd() -> object:
        return value

    subject = script(call("odd"), "Sorry.")
    assert subject.model.generate("q", tools=[odd]) == "Sorry."
    assert subject.told == ["Error: KeyError: 'text'"]


@pytest.mark.parametrize("kind", [ToolError, type("Own", (ToolError,), {})])
def test_a_tool_that_tells_the_caller(script: Script, kind: type[Exception]) -> None:
    def broken() -> None:
        raise kind("enough")

    subject = script(call("broken"), "Again.")
    with subject.model.chat_session("S"):
        with pytest.raises(kind, match="enough"):
            subject.model.generate("q", tools=[broken])
        assert roles(subject.model.current_chat_session) == ["system"]
        assert subject.model.generate("q", tools=[broken]) == "Again."


def test_an_exception_of_the_callback(script: Script) -> None:
    def refuse(each: ToolCall) -> None:
        raise KeyError(each.name)

    subject = script(call("add", a=1))
    with subject.model.chat_session("S"):
        with pytest.raises(KeyError):
            subject.model.generate("q", tools=[subject.add], tool_callback=refuse)
        assert roles(subject.model.current_chat_session) == ["system"]


def test_interrupts_between_rounds(script: Script) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    subject = script(call("add", a=1) + call("stop") + call("add", a=2), "Never.")
    with subject.model.chat_session("S"):
        with pytest.raises(KeyboardInterrupt):
            subject.model.generate("q", tools=[subject.add, stop])
        history = subject.model.current_chat_session
    assert roles(history) == ["system", "user", "assistant", "tool", "tool", "tool", "assistant"]
    assert history is not None
    assert [message["content"] for message in history[3:]] == ["2", INTERRUPTED, INTERRUPTED, ""]
    assert subject.got == [(1, 1)]


def test_a_stream_that_is_closed_before_its_calls(script: Script) -> None:
    subject = script("Wait. " + call("add", a=1), "Never.")
    with subject.model.chat_session("S"):
        stream = subject.model.generate("q", tools=[subject.add], streaming=True)
        next(stream)
        stream.close()
        history = subject.model.current_chat_session
    assert history is not None
    assert history[1:] == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "Wait"}]
    assert subject.got == []


def test_a_stream_that_is_closed_in_a_later_round(script: Script) -> None:
    subject = script("Wait. " + call("add", a=1), "It is 2.")
    with subject.model.chat_session("S"):
        stream = subject.model.generate("q", tools=[subject.add], streaming=True)
        for piece in stream:
            if piece == "is":
                break
        stream.close()
        history = subject.model.current_chat_session
    assert roles(history) == ["system", "user", "assistant", "tool", "assistant"]
    assert history is not None
    assert history[-1]["content"] == "It is"


def test_the_engine_fails_in_a_later_round(script: Script) -> None:
    subject = script(call("add", a=1), ("broken", "error"))
    with subject.model.chat_session("S"):
        with pytest.raises(RuntimeError, match="broken"):
            subject.model.generate("q", tools=[subject.add])
        assert roles(subject.model.current_chat_session) == ["system", "user", "assistant", "tool", "assistant"]


def test_too_many_rounds(script: Script) -> None:
    subject = script(*[call("add", a=number) for number in range(4)])
    with subject.model.chat_session("S"):
        with pytest.warns(UserWarning, match="max_tool_rounds"):
            assert subject.model.generate("q", tools=[subject.add], max_tool_rounds=3) == ""
        history = subject.model.current_chat_session
    assert subject.got == [(0, 1), (1, 1), (2, 1)]
    outcome = subject.model.last_generation
    assert outcome is not None
    assert outcome.finish_reason == "tool_calls"
    assert [each.result for each in outcome.tool_calls] == ["1", "2", "3", None]
    assert history is not None
    assert history[-1]["tool_calls"][0]["function"]["arguments"] == '{"a": 3}'


@pytest.mark.parametrize("choice", ["required", "add"])
def test_a_call_is_asked_for_once(script: Script, choice: str) -> None:
    subject = script(call("add", a=1), "Done.")
    assert subject.model.generate("q", tools=[subject.add], tool_choice=choice) == "Done."
    assert [tools["choice"] for _, tools in subject.script.sent] == [
        choice if choice == "required" else {"name": choice},
        "auto",
    ]
    # A small model that has to call would not stop calling.
    assert [tools["parallel"] for _, tools in subject.script.sent] == [False, True]


def test_thinking_is_apart(script: Script) -> None:
    subject = script("[hm]Wait. " + call("add", a=1), "[so]Done.")
    thoughts: list[str] = []
    assert subject.model.generate("q", tools=[subject.add], reasoning_callback=thoughts.append) == "Done."
    assert "".join(thoughts) == "hmso"


def test_asyncio(script: Script) -> None:
    subject = script(call("wait", x=1) + call("add", a=2), "Done.")
    threads: list[threading.Thread] = []

    async def wait(x: int) -> str:
        threads.append(threading.current_thread())
        await asyncio.sleep(0)
        return "waited"

    def add(a: int) -> int:
        threads.append(threading.current_thread())
        return subject.add(a)

    async def decide(each: ToolCall) -> None:
        await asyncio.sleep(0)

    async def main() -> str:
        answer = subject.model.agenerate("q", tools=[wait, add], tool_callback=decide)
        text = await answer
        assert answer.outcome is not None
        assert [each.result for each in answer.outcome.tool_calls] == ["waited", "3"]
        return text

    assert asyncio.run(main()) == "Done."
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threading.main_thread()
    assert subject.told == ["waited", "3"]


def test_asyncio_streams(script: Script) -> None:
    subject = script("Wait. " + call("add", a=2), "Done.")

    async def main() -> str:
        return "".join([piece async for piece in subject.model.agenerate("q", tools=[subject.add])])

    assert asyncio.run(main()) == "Wait. Done."


def test_a_task_that_is_cancelled_in_a_tool(script: Script) -> None:
    subject = script("Wait. " + call("forever"), "Never.")
    begun = asyncio.Event()
    ended: list[bool] = []

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> list[str]:
        chat = subject.model.new_chat("S")
        task = asyncio.ensure_future(_text(chat.agenerate("q", tools=[forever])))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [message["content"] for message in chat.messages] == ["S", "q", "Wait. ", INTERRUPTED, ""]
        return roles(chat.messages)

    assert asyncio.run(main()) == ["system", "user", "assistant", "tool", "assistant"]
    assert ended == [True]


def test_a_function_that_hangs_does_not_keep_a_cancelled_task(script: Script) -> None:
    subject = script(call("hang"), "Never.")
    begun, release, left = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        # With an end, for this test to fail and not to hang where it is waited for.
        release.wait(20)
        left.set()

    async def main() -> None:
        task = asyncio.ensure_future(_text(subject.model.agenerate("q", tools=[hang])))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not left.is_set()
    release.set()
    assert left.wait(20)


def test_a_function_that_raises_stop_iteration(script: Script) -> None:
    """As next() does where it finds nothing; no future of asyncio takes it."""

    def find() -> int:
        return next(iter([]))

    subject = script(call("find"), "Sorry.")

    async def main() -> str:
        return await asyncio.wait_for(_text(subject.model.agenerate("q", tools=[find])), 20)

    assert asyncio.run(main()) == "Sorry."
    assert subject.told == ["Error: StopIteration: "]


async def _text(generation: Any) -> str:
    return str(await generation)


def test_async_tools_without_asyncio(script: Script) -> None:
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    subject = script(call("double", x=4), "Done.", call("double", x=5), "Done.")
    assert subject.model.generate("q", tools=[double]) == "Done."
    assert subject.told == ["8"]

    async def main() -> str:
        return subject.model.generate("q", tools=[double])

    assert asyncio.run(main()) == "Done."
    assert subject.told == ["10"]


def test_a_tool_may_use_the_model_itself(script: Script) -> None:
    subject = script(call("ask", question="why"), "Because.", "He says because.")

    def ask(question: str) -> str:
        return subject.model.generate([{"role": "user", "content": question}], tools=[subject.add])

    with subject.model.chat_session("S"):
        assert subject.model.generate("q", tools=[ask]) == "He says because."


def test_many_prompts(script: Script) -> None:
    subject = script(call("add", a=2), "Done.")
    completions = subject.model.generate_many(["q"], tools=[subject.add])
    assert [completion.text for completion in completions] == ["Done."]
    outcome = completions[0].outcome
    assert outcome is not None
    assert outcome.tool_calls[0].result == "3"


def test_many_prompts_whose_model_is_closed_by_a_tool(script: Script) -> None:
    subject = script("Yes.", call("leave"), *["Never."] * 9)

    def leave() -> None:
        subject.model.close()

    answered, *others = subject.model.generate_many(["q"] * 6, tools=[leave])
    assert (answered.text, answered.error) == ("Yes.", None)
    assert len(others) == 5
    assert all(isinstance(completion.error, CancellationError) for completion in others)
    assert all("closed during this call" in str(completion.error) for completion in others)
    with pytest.raises(ValueError, match="the model is closed"):
        subject.model.generate_many(["q"])


def test_many_prompts_of_a_model_that_is_closed_while_one_is_submitted(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = script("Yes.", "No.", *["Never."] * 9)
    made, new_run = [0], Call.new_run

    def closing(call: Call, **given: Any) -> Any:
        made[0] += 1
        if made[0] == 4:
            subject.model.close()
        return new_run(call, **given)

    monkeypatch.setattr(Call, "new_run", closing)
    answered, *others = subject.model.generate_many(["q"] * 6)
    assert answered.text == "Yes."
    assert len(others) == 5
    assert all(isinstance(completion.error, CancellationError) for completion in others[2:])


def test_prompts_without_end_of_a_model_that_is_closed(script: Script) -> None:
    subject = script("Yes.", call("leave"), *["Never."] * 9)

    def leave() -> None:
        subject.model.close()

    completions = subject.model.generate_many(("q" for _ in count()), tools=[leave], as_completed=True)
    # What was under way is not kept back by what comes after it.
    assert sorted(next(completions)[0] for _ in range(4)) == [0, 1, 2, 3]
    completions.close()


WAYS: dict[str, Callable[..., Any]] = {
    "text": lambda owner, **given: owner.generate("q", **given),
    "stream": lambda owner, **given: "".join(owner.generate("q", streaming=True, **given)),
    "asyncio": lambda owner, **given: asyncio.run(_text(owner.agenerate("q", **given))),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_closed_by_a_tool(script: Script, way: str) -> None:
    subject = script(call("leave"), "Never.")

    def leave() -> str:
        subject.model.close()
        return "left"

    chat = subject.model.new_chat()
    with pytest.raises(CancellationError, match="closed during this call"):
        WAYS[way](chat, tools=[leave])
    assert roles(chat.messages) == ["system", "user", "assistant", "tool", "assistant"]
    assert chat.messages[3]["content"] == "left"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("in_session", [True, False])
def test_a_result_that_is_too_long(script: Script, way: str, in_session: bool) -> None:
    def read() -> str:
        subject.got.append("read")
        return "x " * 5000

    subject = script(call("add", a=2) + call("read"), "Next.")
    model = subject.model
    context: Any = model.chat_session("S") if in_session else model.new_chat("S")
    with context as owner:
        with pytest.raises(
            ContextWindowExceededError, match="^with the result of the tool 'read' the prompt"
        ) as raised:
            WAYS[way](owner, tools=[subject.add, read])
        assert raised.value.tool == "read"
        assert pickle.loads(pickle.dumps(raised.value)).tool == "read"
        history = owner.current_chat_session if in_session else owner.messages
        note = "Error: the result was too long for the context: 10000 characters."
        assert roles(history) == ["system", "user", "assistant", "tool", "tool", "assistant"]
        assert [message["content"] for message in history[3:]] == ["3", note, ""]
        assert owner.generate("q2", tools=[subject.add], context_shift=False) == "Next."
        assert roles(subject.script.sent[-1][0]) == [*roles(history), "user"]
    assert subject.got == [(2, 1), "read"]


def test_a_reply_of_the_callers_own_that_is_too_long(script: Script) -> None:
    subject = script(call("add", a=2), "Never.")
    chat = subject.model.new_chat()
    chat.generate("q", tools=[subject.add], run_tools=False)
    assert chat.last_generation is not None
    (made,) = chat.last_generation.tool_calls
    reply = made.reply("x " * 5000)
    del reply["name"]
    with pytest.raises(ContextWindowExceededError, match="the tool 'add'"):
        chat.generate([reply], tools=[subject.add])
    assert roles(chat.messages) == ["system", "user", "assistant"]


def test_a_message_that_is_longer_than_the_result(script: Script) -> None:
    subject = script(call("add", a=2), "Never.")
    chat = subject.model.new_chat()
    limit = subject.model._loaded.prompt_limit
    with pytest.raises(ContextWindowExceededError, match="^the prompt has") as raised:
        # Bytes are tokens here; a few are left for the template.
        chat.generate("q" * (limit - 40), tools=[subject.add])
    assert raised.value.tool is None
    assert [message["content"] for message in chat.messages[3:]] == ["3", ""]


def test_an_error_after_calls_that_were_not_carried_out(script: Script) -> None:
    broken = ("broken", "error")
    subject = script(call("nothing"), broken, call("add", a=1), broken)
    chat = subject.model.new_chat("S")

    def refuse(call: ToolCall) -> bool:
        return False

    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            chat.generate("q", tools=[subject.add], tool_callback=refuse)
        assert roles(chat.messages) == ["system"]


def test_an_error_after_a_call_that_was_carried_out(script: Script) -> None:
    def broken() -> None:
        raise ToolError("enough")

    subject = script(call("add", a=2) + call("broken"))
    chat = subject.model.new_chat()
    with pytest.raises(ToolError):
        chat.generate("q", tools=[subject.add, broken])
    assert [message["content"] for message in chat.messages[3:]] == ["3", "Error: ToolError: enough", ""]


def test_none_offers_no_tool(loaded: LoadFake) -> None:
    model = loaded("x", END, chat_template=JINJA)
    assert model.generate("q", tools=[DICT], tool_choice="none") == "x"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tools": [DICT], "tool_choice": "other"}, "tool_choice"),
        ({"tool_choice": "required"}, "no tools"),
        ({"tools": [DICT], "max_tool_rounds": 0}, "max_tool_rounds"),
        ({"tools": [DICT], "json_schema": {"type": "string"}}, "json_schema cannot be combined with tools"),
        ({"tools": [DICT], "grammar": 'root ::= "x"'}, "grammar cannot be combined with tools"),
        ({"tools": [DICT], "run_tools": False, "tool_callback": print}, "run_tools"),
        ({"tools": "f"}, "tools must be"),
        ({"tools": [DICT], "tool_callback": 5}, "tool_callback"),
        ({"tools": [DICT], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ],
)
def test_arguments_that_make_no_sense(loaded: LoadFake, arguments: dict[str, Any], words: str) -> None:
    model = loaded("x", END, chat_template=JINJA)
    with pytest.raises((TypeError, ValueError), match=words):
        model.generate("q", **arguments)


def test_templates_of_the_old_style_have_no_tools(loaded: LoadFake) -> None:
    model = loaded("x", END)
    with model.chat_session("S", "{0}"), pytest.raises(ValueError, match="Jinja"):
        model.generate("q", tools=[DICT])
