"""OpenAI's own client, unchanged."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.support.http.served import Running

pytestmark = pytest.mark.model

QUESTION: Any = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


class Capital(BaseModel):
    city: str
    country: str


def test_models_are_listed_and_found(server: Running, client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [server.chat, server.embed]
    assert client.models.retrieve(server.chat).owned_by == "local"
    with pytest.raises(openai.NotFoundError, match="there is no model 'nobody'"):
        client.models.retrieve("nobody")


def test_a_chat(server: Running, client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=server.chat,
        messages=QUESTION,
        temperature=0,
        max_completion_tokens=5,
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "length"
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    again = client.chat.completions.create(
        model=server.chat,
        messages=QUESTION,
        temperature=0,
        max_completion_tokens=5,
    )
    assert again.choices[0].message.content == choice.message.content
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens == answer.usage.prompt_tokens - 1


def test_a_stream_says_what_a_whole_answer_does(server: Running, client: OpenAI) -> None:
    arguments = {"model": server.chat, "messages": QUESTION, "temperature": 0, "max_tokens": 12}
    whole = client.chat.completions.create(**arguments)
    chunks = list(client.chat.completions.create(**arguments, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in chunks[1:-1])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    # Usage is in one more chunk, without choices, and nowhere else.
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_without_usage_has_none(server: Running) -> None:
    body = {"model": server.chat, "messages": QUESTION, "stream": True, "max_tokens": 2}
    lines = [line for line in server.post("/v1/chat/completions", body).text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert '"usage"' not in "".join(lines)
    assert all(line.startswith("data: ") and '"choices":[{' in line for line in lines[:-1])


def test_several_answers(server: Running, client: OpenAI) -> None:
    def ask(seed: int) -> list[str | None]:
        answer = client.chat.completions.create(
            model=server.chat,
            messages=[{"role": "user", "content": "Invent a name for a cat."}],
            n=6,
            seed=seed,
            temperature=1.5,
            max_tokens=8,
        )
        assert [choice.index for choice in answer.choices] == list(range(6))
        return [choice.message.content for choice in answer.choices]

    first = ask(7)
    assert len(set(first)) > 1
    assert ask(7) == first


def test_log_probabilities(server: Running, client: OpenAI) -> None:
    def ask(**more: object) -> object:
        return client.chat.completions.create(  # type: ignore[call-overload]
            model=server.chat, messages=QUESTION, temperature=0, max_tokens=3, **more
        )

    plain = ask(logprobs=True).choices[0].logprobs.content  # type: ignore[attr-defined]
    assert [token.top_logprobs for token in plain] == [[], [], []]
    answer = ask(logprobs=True, top_logprobs=2).choices[0]  # type: ignore[attr-defined]
    content = answer.logprobs.content
    assert "".join(token.token for token in content) == answer.message.content
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in content)
    chunks = list(ask(logprobs=True, top_logprobs=2, stream=True))  # type: ignore[call-overload]
    streamed = [token for chunk in chunks for token in getattr(chunk.choices[0].logprobs, "content", None) or []]
    assert [token.token for token in streamed] == [token.token for token in content]
    for chunk in chunks:
        # Each comes with its text, not only in the end.
        text = "".join(token.token for token in getattr(chunk.choices[0].logprobs, "content", None) or [])
        assert text == (chunk.choices[0].delta.content or "")
    with pytest.raises(openai.BadRequestError, match="top_logprobs needs logprobs"):
        ask(top_logprobs=2)


def test_an_answer_in_a_pydantic_model(server: Running, client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=server.chat,
        messages=QUESTION,
        response_format=Capital,
        temperature=0,
        max_tokens=100,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(answer.choices[0].message.parsed, Capital)


def test_a_json_object(server: Running, client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=server.chat,
        messages=[{"role": "user", "content": "Give me JSON with a name."}],
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=200,
    )
    assert (answer.choices[0].message.content or "").startswith("{")
    # As llama-server takes it.
    described: Any = {"type": "json_object", "schema": {"const": "42"}}
    answer = client.chat.completions.create(model=server.chat, messages=QUESTION, response_format=described)
    assert answer.choices[0].message.content == '"42"'


def test_stops_biases_and_completions(server: Running, client: OpenAI) -> None:
    answer = client.completions.create(
        model=server.chat, prompt=["1, 2, 3,", "The capital of France is"], temperature=0, max_tokens=6, stop=["."]
    )
    assert [choice.text for choice in answer.choices] == [" 4, 5,", " Paris"]
    assert [choice.finish_reason for choice in answer.choices] == ["length", "stop"]
    paris = server.post("/tokenize", {"model": server.chat, "content": " Paris"}).json()["tokens"]
    other = client.completions.create(
        model=server.chat,
        prompt="The capital of France is",
        temperature=0,
        max_tokens=2,
        logit_bias={str(paris[0]): -100},
        logprobs=1,
        echo=False,
    )
    assert "Paris" not in other.choices[0].text
    assert other.choices[0].logprobs is not None
    assert "".join(other.choices[0].logprobs.tokens or []) == other.choices[0].text
    with_logprobs: Any = {"model": server.chat, "prompt": "1, 2, 3,", "max_tokens": 6, "temperature": 0, "logprobs": 1}
    told = client.completions.create(**with_logprobs).choices[0].logprobs
    pieces = [chunk.choices[0] for chunk in client.completions.create(**with_logprobs, stream=True)]
    assert all("".join(piece.logprobs.tokens) == piece.text for piece in pieces if piece.text)
    assert [offset for piece in pieces if piece.logprobs for offset in piece.logprobs.text_offset] == told.text_offset
    echoed = client.completions.create(model=server.chat, prompt="1, 2, 3,", max_tokens=1, temperature=0, echo=True)
    assert echoed.choices[0].text == "1, 2, 3, "
    streamed = client.completions.create(model=server.chat, prompt="1, 2, 3,", max_tokens=6, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == " 4, 5,"


def test_embeddings(server: Running, client: OpenAI) -> None:
    texts = ["The cat has had young.", "Shares fell on Monday."]
    # The client asks for base64 by itself, and for numbers only when it is told to.
    packed = client.embeddings.create(model=server.embed, input=texts)
    plain = client.embeddings.create(model=server.embed, input=texts, encoding_format="float")
    assert [len(entry.embedding) for entry in packed.data] == [384, 384]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert packed.usage.prompt_tokens == 11
    with pytest.raises(openai.BadRequestError, match="dimensions must be 384"):
        client.embeddings.create(model=server.embed, input="x", dimensions=64)
    with pytest.raises(openai.BadRequestError, match="token ids"):
        client.embeddings.create(model=server.embed, input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError, match="generates text"):
        client.embeddings.create(model=server.chat, input="x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 9),
        ("top_p", "much"),
        ("n", 0),
        ("frequency_penalty", 2.5),
        ("stop", [""]),
        ("seed", 1.5),
        ("logit_bias", {"x": 1}),
        ("max_tokens", -1),
        ("response_format", {"type": "xml"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}),
        ("response_format", {"type": "json_object", "schema": "hiccup"}),
        ("modalities", ["audio"]),
        ("store", True),
        ("stream", "yes"),
        ("messages", []),
        ("messages", [{"role": "robot", "content": "x"}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]),
    ],
)
def test_a_field_that_cannot_be_honoured_is_named(server: Running, field: str, value: object) -> None:
    answer = server.post("/v1/chat/completions", {"model": server.chat, "messages": QUESTION, field: value})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or error["message"]).startswith(field), error


@pytest.mark.parametrize(
    ("path", "field", "more"),
    [
        ("completions", "prompt", {"prompt": [999999]}),
        ("completions", "prompt", {"prompt": "word " * 2000}),
        ("responses", "input", {"input": "word " * 2000}),
        ("chat/completions", "messages", {"messages": [{"role": "user", "content": "word " * 2000}]}),
        ("chat/completions", "chat_template_kwargs", {"chat_template_kwargs": {"messages": 1}}),
        ("chat/completions", "chat_template_kwargs", {"chat_template_kwargs": {"number": 10**400}}),
        ("chat/completions", "logit_bias", {"logit_bias": {"999999": 1}}),
        ("chat/completions", "grammar", {"grammar": "root ::= ["}),
        (
            "chat/completions",
            "response_format",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "foo"}}}},
        ),
    ],
)
def test_errors_call_fields_as_requests_do(server: Running, path: str, field: str, more: dict[str, Any]) -> None:
    answer = server.post(f"/v1/{path}", {"model": server.chat, "messages": QUESTION, **more})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == field
    assert not re.search(r"args_json|\bids\b|json_schema|template_args|n_ctx", error["message"]), error


def test_unknown_fields_and_null_are_ignored(server: Running) -> None:
    body = {"model": server.chat, "messages": QUESTION, "max_tokens": 1, "flavour": "sweet", "stop": None, "n": None}
    assert server.post("/v1/chat/completions", body).status_code == 200


@pytest.mark.parametrize(
    ("path", "model", "body"),
    [
        ("chat/completions", "chat", {"messages": QUESTION, "max_tokens": 1}),
        ("completions", "chat", {"prompt": "1, 2, 3,", "max_tokens": 1}),
        ("responses", "chat", {"input": "Say yes.", "max_output_tokens": 1}),
        ("embeddings", "embed", {"input": "a cat"}),
    ],
)
def test_without_a_model_the_first_that_can_do_it(server: Running, path: str, model: str, body: dict[str, Any]) -> None:
    assert server.post(f"/v1/{path}", body).json()["model"] == getattr(server, model)


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_does_not_fit_is_an_error(client: OpenAI, server: Running, stream: bool) -> None:
    turns: Any = [{"role": role, "content": "word " * 300} for _ in range(3) for role in ("user", "assistant")]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=server.chat, messages=[*turns, *QUESTION], stream=stream)
    assert caught.value.code == "context_length_exceeded"


def test_an_answer_ends_where_the_context_is_full(client: OpenAI, server: Running) -> None:
    answer = client.completions.create(
        model=server.chat, prompt="word " * 1000, max_tokens=500, temperature=0, logit_bias={"0": -100, "2": -100}
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens <= 1024


def test_the_address_without_a_version(server: Running) -> None:
    with OpenAI(base_url=server.url, api_key="any") as client:
        assert [model.id for model in client.models.list()] == [server.chat, server.embed]
        assert client.embeddings.create(model=server.embed, input="a cat").data


def test_plain_endpoints(server: Running) -> None:
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    counted = server.post("/tokenize", {"content": "Hello, world!"}).json()
    assert counted == {"tokens": [19556, 28, 905, 17], "count": 4, "max_model_len": 1024}
    assert httpx.get(f"{server.url}/openapi.json").json()["openapi"] == "3.1.0"
    missing = httpx.get(f"{server.url}/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert httpx.get(f"{server.url}/v1/chat/completions").status_code == 405
    page = httpx.get(f"{server.url}/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert httpx.get(f"{server.url}/app.js").headers["content-type"].startswith("text/javascript")


WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_a_loop_with_a_tool(server: Running, client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
    arguments: Any = {"model": server.chat, "tools": [WEATHER], "temperature": 0, "max_tokens": 100}
    asked = client.chat.completions.create(messages=messages, tool_choice="required", **arguments)
    (choice,) = asked.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    # As the client writes it: with null for what is not there.
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert client.chat.completions.create(messages=messages, tool_choice="none", **arguments).choices[0].message.content


def test_null_for_what_is_not_there(server: Running) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief.", "name": None},
        {"role": "assistant", "content": None, "tool_calls": None, "refusal": None, "audio": None},
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call], "function_call": None},
        {"role": "tool", "content": "sunny", "tool_call_id": None},
    ]
    body = {"model": server.chat, "messages": messages, "tools": None, "tool_choice": None, "max_tokens": 1}
    answer = server.post("/v1/chat/completions", {**body, "logprobs": None, "top_logprobs": None, "stream": None})
    assert answer.status_code == 200, answer.text


def test_a_streamed_call_names_its_tool_once(server: Running, client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=server.chat,
            messages=[{"role": "user", "content": "What is the weather in Rome?"}],
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            temperature=0,
            max_tokens=100,
            stream=True,
        )
    )
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [delta.index for delta in deltas] == [0] * len(deltas)
    assert [bool(delta.id) for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert deltas[0].function
    assert deltas[0].function.name == "get_weather"
    assert all(delta.function and delta.function.name is None for delta in deltas[1:])
    text = "".join((delta.function and delta.function.arguments) or "" for delta in deltas)
    assert json.loads(text)["city"] in ("Paris", "Rome")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("tools", {"tools": [{"type": "web"}]}),
        ("tools", {"tools": [WEATHER, WEATHER]}),
        ("tool_choice", {"tool_choice": "required"}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": "often"}),
        ("function_call", {"function_call": "auto"}),
    ],
)
def test_tools_that_make_no_sense_are_named(server: Running, field: str, more: dict[str, Any]) -> None:
    answer = server.post("/v1/chat/completions", {"model": server.chat, "messages": QUESTION, **more})
    assert answer.status_code == 400
    assert (answer.json()["error"]["param"] or answer.json()["error"]["message"]).startswith(field)
