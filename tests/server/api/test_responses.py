"""``/v1/responses``, by OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.support.http.served import Running

pytestmark = pytest.mark.model

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}

USER: Any = {"role": "user", "content": "x"}
THOUGHT: Any = {"type": "reasoning", "id": "rs_1", "summary": []}
CALL: Any = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}


class Capital(BaseModel):
    city: str
    country: str


def test_responses(server: Running, client: OpenAI) -> None:
    whole = client.responses.create(
        model=server.chat, input="What is the capital of France?", temperature=0, max_output_tokens=8
    )
    assert whole.status == "incomplete"
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert whole.usage is not None
    assert whole.usage.output_tokens == 8
    assert [item.status for item in whole.output] == ["incomplete"]  # type: ignore[union-attr]
    kinds, text = [], ""
    for event in client.responses.create(
        model=server.chat, input="What is the capital of France?", temperature=0, max_output_tokens=8, stream=True
    ):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.output_item.done":
            assert event.item.status == "incomplete"  # type: ignore[union-attr]
        assert event.sequence_number == len(kinds) - 1
    assert text == whole.output_text
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    parsed = client.responses.parse(
        model=server.chat, input="What is the capital of France?", text_format=Capital, temperature=0
    )
    assert isinstance(parsed.output_parsed, Capital)
    with pytest.raises(openai.BadRequestError, match="previous_response_id cannot be honoured"):
        client.responses.create(model=server.chat, input="x", previous_response_id="resp_1")


def test_a_loop_with_a_tool(server: Running, client: OpenAI) -> None:
    asked: Any = {"model": server.chat, "tools": [WEATHER], "temperature": 0, "max_output_tokens": 100}
    history: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
    first = client.responses.create(input=history, tool_choice="required", **asked)
    assert first.status == "completed"
    (call,) = first.output
    assert call.type == "function_call"
    assert call.name == "get_weather"
    assert json.loads(call.arguments)["city"] in ("Paris", "Rome")
    # As the client's own users do.
    history += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    assert client.responses.create(input=history, tool_choice="none", **asked).output_text


def test_a_streamed_call(server: Running, client: OpenAI) -> None:
    choice: Any = {"type": "function", "name": "get_weather"}
    with client.responses.stream(
        model=server.chat,
        input="What is the weather in Rome?",
        tools=[WEATHER],
        tool_choice=choice,
        temperature=0,
        max_output_tokens=100,
    ) as stream:
        seen = list(stream)
        (call,) = stream.get_final_response().output
    kinds = [event.type for event in seen if event.type != "response.function_call_arguments.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    text = "".join(event.delta for event in seen if event.type == "response.function_call_arguments.delta")
    assert call.type == "function_call"
    assert text == call.arguments
    assert json.loads(text)["city"] in ("Paris", "Rome")


def test_log_probabilities(server: Running, client: OpenAI) -> None:
    asked: Any = {"model": server.chat, "input": "Name a colour.", "temperature": 0, "max_output_tokens": 6}
    asked |= {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    whole = client.responses.create(**asked)
    (message,) = whole.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs
    assert "".join(token.token for token in part.logprobs) == whole.output_text
    assert all(len(token.top_logprobs) == 2 for token in part.logprobs)
    deltas = [event for event in client.responses.create(**asked, stream=True) if event.type.endswith("text.delta")]
    assert deltas
    assert all("".join(token.token for token in event.logprobs) == event.delta for event in deltas)


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("tools", {"tools": [{"type": "web_search"}]}),
        ("tools", {"tools": ["x"]}),
        ("tools", {"tools": [WEATHER, WEATHER]}),
        ("tool_choice", {"tool_choice": "required"}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": {"type": "file_search"}}),
        ("include", {"include": ["file_search_call.results"]}),
        ("input[0].type", {"input": [{"type": "item_reference", "id": "x"}]}),
        ("input[0].arguments", {"input": [{"type": "function_call", "call_id": "1", "name": "f"}]}),
        ("input[2].arguments", {"input": [USER, CALL, {**CALL, "arguments": "{"}]}),
        ("input[3].role", {"input": [THOUGHT, CALL, CALL, {"role": "x", "content": "y"}]}),
        ("input[1]['content']", {"input": [THOUGHT, {"role": "user", "content": 1}]}),
        ("input[2]", {"input": [THOUGHT, USER, {"role": "assistant", "content": "y"}]}),
        ("input[0].call_id", {"input": [{"type": "function_call_output", "output": "x"}]}),
        ("input", {"input": {}}),
        ("conversation", {"conversation": "c"}),
    ],
)
def test_what_makes_no_sense_is_named(server: Running, field: str, more: dict[str, Any]) -> None:
    answer = server.post("/v1/responses", {"model": server.chat, "input": "x", **more})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["param"] or error["message"]).startswith(field), error
