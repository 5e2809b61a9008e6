"""What ``logit_bias``, ``grammar``, ``json_schema`` and ``logprobs`` make of a call, seen from the native side."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from gpt4all import GPT4All
from tests.support.fake.backend import END, TURN, text
from tests.support.fake.helpers import EngineLog, LoadFake

YES_NO = 'root ::= "yes" | "no"'
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


class Person:
    """What matters of a pydantic model class."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return SCHEMA


def whole(model: GPT4All, **options: Any) -> object:
    return model.generate("x", **options)


def streamed(model: GPT4All, **options: Any) -> object:
    return model.generate("x", streaming=True, **options)


def asynchronous(model: GPT4All, **options: Any) -> object:
    return model.agenerate("x", **options)


def in_session(model: GPT4All, **options: Any) -> object:
    with model.chat_session(prompt_template="{0}"):
        try:
            return model.generate("x", **options)
        finally:
            assert model.current_chat_session == [{"role": "system", "content": ""}]


@pytest.mark.parametrize("call", [whole, streamed, asynchronous, in_session])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grammar": "answer ::= [a]"}, "grammar"),
        ({"json_schema": {"not": {}}}, "json_schema: #: nothing matches"),
        ({"grammar": YES_NO, "json_schema": SCHEMA}, "grammar and json_schema exclude each other"),
        ({"json_schema": SCHEMA, "stop": "x"}, "stop cannot be combined with json_schema"),
        ({"logit_bias": {100_000: 1.0}}, "logit_bias has token 100000"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    loaded: LoadFake, engine_log: EngineLog, call: Callable[..., object], options: dict[str, Any], message: str
) -> None:
    model = loaded("a", END, log_calls=1)
    with pytest.raises(ValueError, match=message):
        call(model, **options)
    assert not [line for line in engine_log.lines if line.startswith("generate")]


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        ('{"type": "object"}', "not str; json.loads() makes a dict of it"),
        (Person(), "not Person; give the class Person itself"),
        (list[int], "pydantic.TypeAdapter(...).json_schema() makes a dict of other types"),
        ([Person], "pydantic.TypeAdapter(...).json_schema() makes a dict of other types"),
    ],
)
def test_what_is_no_schema_and_what_to_do(loaded: LoadFake, schema: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"^json_schema must be a dict, .*{re.escape(advice)}"):
        loaded("a", END).generate("x", json_schema=schema)


def test_biases_reach_the_engine(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", END, log_calls=1)
    model.generate("x", logit_bias={7: 1.5, 3: -math.inf})
    biases = [line for line in engine_log.lines if line.startswith("generate logit_bias")]
    assert biases == ["generate logit_bias=7:1.5", "generate logit_bias=3:-inf"]


@pytest.mark.parametrize("schema", [SCHEMA, Person])
def test_a_schema_reaches_the_engine_as_a_grammar(loaded: LoadFake, engine_log: EngineLog, schema: Any) -> None:
    model = loaded("a", END, log_calls=1)
    model.generate("x", json_schema=schema)
    grammar = engine_log.lines[engine_log.lines.index("generate grammar:") + 1]
    assert '"\\"name\\"" ":" ws string' in grammar
    assert "\nroot ::= " in grammar


@pytest.mark.parametrize("constraint", [{"grammar": YES_NO}, {"json_schema": SCHEMA}])
def test_a_constraint_turns_off_what_would_distort_it(
    loaded: LoadFake, engine_log: EngineLog, constraint: dict[str, Any]
) -> None:
    model = loaded("a", END, log_calls=1)
    model.generate("x", **constraint)
    model.generate("x", repeat_penalty=1.3, **constraint)
    model.generate("x")
    model.generate("x", repeat_penalty=1.18, **constraint)
    calls = [line for line in engine_log.lines if line.startswith("generate n_tokens")]
    assert ["repeat_penalty=1 " in calls[0], "repeat_penalty=1.3 " in calls[1]] == [True, True]
    assert ["n_stop=0 " in call for call in calls] == [True, True, False, True]
    # What the caller asks for is done, though it is the default elsewhere.
    assert ["repeat_penalty=1.18 " in call for call in calls] == [False, False, True, True]


def test_a_grammar_may_have_stops_of_its_own(loaded: LoadFake, engine_log: EngineLog) -> None:
    model = loaded("a", END, log_calls=1)
    model.generate("x", grammar=YES_NO, stop="e")
    assert "generate stop=e" in engine_log.lines


@pytest.mark.parametrize(
    ("arguments", "opening", "closing"),
    [({}, None, "</think>"), ({"enable_thinking": False}, "<think>", "</think>")],
)
def test_a_reasoning_model_thinks_outside_the_grammar(
    loaded: LoadFake, engine_log: EngineLog, arguments: dict[str, Any], opening: str | None, closing: str
) -> None:
    steps = [text("hm</think>yes") if not arguments else text("yes"), END]
    model = loaded(*steps, chat_template="<think> </think>", log_calls=1)
    with model.chat_session(template_args=arguments):
        assert model.generate("x", grammar=YES_NO) == "yes"
    marks = [line for line in engine_log.lines if line.startswith("generate thinking")]
    wanted = [f"generate thinking_open={opening}"] if opening else []
    assert marks == [*wanted, f"generate thinking_close={closing}"]


def test_without_asking_there_are_no_logprobs(loaded: LoadFake) -> None:
    model = loaded("a", END)
    model.generate("x")
    assert model.last_generation is not None
    assert model.last_generation.logprobs is None


def test_logprobs_have_the_shape_of_openai(loaded: LoadFake) -> None:
    model = loaded(" a", b"\xc3", b"\xa9", END)
    assert model.generate("x", logprobs=2) == " aé"
    assert model.last_generation is not None
    logprobs = model.last_generation.logprobs
    assert logprobs is not None
    assert list(logprobs) == ["content"]
    assert len(logprobs["content"]) == model.last_generation.completion_tokens == 3
    first, half, _ = logprobs["content"]
    assert first["token"] == " a"
    assert first["bytes"] == list(b" a")
    assert first["logprob"] == pytest.approx(math.log(1 / 2))
    assert [alternative["token"] for alternative in first["top_logprobs"]] == [" a", "�"]
    assert first["top_logprobs"][1]["logprob"] == pytest.approx(math.log(1 / 4))
    assert (half["token"], half["bytes"]) == ("�", [0xC3])
    assert set(first) == {"token", "logprob", "bytes", "top_logprobs"}
    assert set(first["top_logprobs"][0]) == {"token", "logprob", "bytes"}


def test_logprobs_without_alternatives(loaded: LoadFake) -> None:
    model = loaded("a", END)
    model.generate("x", logprobs=0)
    assert model.last_generation is not None
    assert model.last_generation.logprobs is not None
    assert [entry["top_logprobs"] for entry in model.last_generation.logprobs["content"]] == [[]]


def test_logprobs_of_every_kind_of_call(loaded: LoadFake) -> None:
    model = loaded("a", "b", END, TURN, "c", END)

    def tokens() -> list[str]:
        assert model.last_generation is not None
        assert model.last_generation.logprobs is not None
        return [entry["token"] for entry in model.last_generation.logprobs["content"]]

    assert list(model.generate("x", streaming=True, logprobs=1)) == ["a", "b"]
    assert tokens() == ["a", "b"]

    async def ask() -> str:
        return await model.agenerate("x", logprobs=1)

    assert asyncio.run(ask()) == "c"
    assert tokens() == ["c"]
    with model.chat_session(prompt_template="{0}"):
        model.generate("x", logprobs=1)
    assert tokens() == ["c"]


def test_the_end_of_a_stop_text_counts_as_a_token(loaded: LoadFake) -> None:
    model = loaded("a", "stop", "b", END)
    assert model.generate("x", stop="stop", logprobs=0) == "a"
    assert model.last_generation is not None
    assert model.last_generation.logprobs is not None
    assert [entry["token"] for entry in model.last_generation.logprobs["content"]] == ["a", "stop"]
