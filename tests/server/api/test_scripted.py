"""Answers that a test writes, by real model files: thinking, calls, and several models side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat.scripted import CHATML, write_scripted_model
from tests.support.http.served import Running, running, until

pytestmark = pytest.mark.model

THINKS = CHATML + "{# <think> </think> #}"
THOUGHT, ANSWER = "Two and two. ", "It is four."
CALLS = [{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "add", "arguments": {"a": 3, "b": 4}}]
ADD: dict[str, Any] = {
    "name": "add",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}
MESSAGES: Any = [{"role": "user", "content": "2 + 2?"}]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("scripted")
    calls = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in CALLS)
    files = [
        write_scripted_model(folder / "thinker.gguf", [f"<think>{THOUGHT}</think>{ANSWER}"], THINKS),
        write_scripted_model(folder / "caller.gguf", [f"One moment.{calls}"]),
    ]
    with running("--n-ctx", "2048", models=files) as server:
        yield server


def test_thinking_is_apart(scripted: Running) -> None:
    client: Any = scripted.client()
    whole = client.chat.completions.create(model="thinker", messages=MESSAGES, temperature=0)
    message = whole.choices[0].message
    assert (message.reasoning_content.strip(), message.content.strip()) == (THOUGHT.strip(), ANSWER)
    assert whole.usage.completion_tokens_details.reasoning_tokens
    chunks = list(
        client.chat.completions.create(
            model="thinker", messages=MESSAGES, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thought == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content
    usage = chunks[-1].usage
    assert usage.completion_tokens_details == whole.usage.completion_tokens_details
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


def test_thinking_in_a_response(scripted: Running) -> None:
    asked: Any = {"model": "thinker", "input": "2 + 2?", "temperature": 0}
    client: Any = scripted.client()
    whole = client.responses.create(**asked)
    assert [item.type for item in whole.output] == ["reasoning", "message"]
    assert whole.output_text.strip() == ANSWER
    assert whole.usage.output_tokens_details.reasoning_tokens
    with client.responses.stream(**asked) as stream:
        thought = "".join(event.delta for event in stream if event.type == "response.reasoning_text.delta")
        final = stream.get_final_response()
    assert thought.strip() == THOUGHT.strip()
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert final.output_text == whole.output_text


@pytest.mark.parametrize("stream", [False, True])
def test_only_the_last_of_a_response_that_was_cut_off_is_incomplete(scripted: Running, stream: bool) -> None:
    asked: Any = {"model": "thinker", "input": "2 + 2?", "temperature": 0}
    client: Any = scripted.client()
    all_of_it = client.responses.create(**asked).usage.output_tokens
    for n_tokens, expected in (
        (all_of_it - 1, [("reasoning", "completed"), ("message", "incomplete")]),
        (2, [("reasoning", "incomplete")]),
    ):
        answer = client.responses.create(**asked, max_output_tokens=n_tokens, stream=stream)
        final = list(answer)[-1].response if stream else answer
        assert final.status == "incomplete"
        assert [(item.type, item.status) for item in final.output] == expected


def test_a_text_and_several_calls(scripted: Running) -> None:
    client: Any = scripted.client()
    asked: Any = {"model": "caller", "messages": MESSAGES, "tools": [{"type": "function", "function": ADD}]}
    whole = client.chat.completions.create(**asked, temperature=0).choices[0]
    assert whole.finish_reason == "tool_calls"
    told = whole.message.tool_calls
    assert [json.loads(call.function.arguments) for call in told] == [call["arguments"] for call in CALLS]
    assert len({call.id for call in told}) == 2
    with client.chat.completions.stream(**asked, temperature=0) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.message.content == whole.message.content
    streamed = final.message.tool_calls
    assert [call.function.arguments for call in streamed] == [call.function.arguments for call in told]


def test_a_response_with_a_text_and_several_calls(scripted: Running) -> None:
    asked: Any = {"model": "caller", "input": "2 + 2?", "tools": [{"type": "function", **ADD}], "temperature": 0}
    client: Any = scripted.client()
    whole = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        final = stream.get_final_response()
    for response in (whole, final):
        message, *calls = response.output
        assert message.type == "message"
        assert response.output_text.strip() == "One moment."
        assert [json.loads(call.arguments) for call in calls] == [call["arguments"] for call in CALLS]


def loaded(server: Running) -> set[str]:
    mark = "gpt4all_model_loaded{model="
    return {name[len(mark) + 1 : -2] for name, value in server.metrics().items() if name.startswith(mark) and value}


def test_unused_models_are_unloaded(tmp_path: Path) -> None:
    files = [write_scripted_model(tmp_path / f"{name}.gguf", [f"I am {name}."]) for name in ("one", "other")]
    with running("--n-ctx", "512", "--unload-after", "1", models=files) as server:
        client = server.client()
        for name in ("one", "other", "one"):
            answer = client.chat.completions.create(model=name, messages=MESSAGES, temperature=0)
            assert (answer.choices[0].message.content, answer.model) == (f"I am {name}.", name)
        until(lambda: not loaded(server))
        answer = client.chat.completions.create(model="other", messages=MESSAGES, temperature=0)
        assert answer.choices[0].message.content == "I am other."
