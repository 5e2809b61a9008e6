"""The objects themselves: what they show, why they cannot be pickled, and what they say to other libraries' names."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

from gpt4all import Embed4All, GPT4All
from gpt4all.checks import _ELSEWHERE, refuse_unknown
from gpt4all.options import GenerateArguments
from tests.support.fake.backend import END, FakeModel
from tests.support.fake.helpers import LoadFake


def test_repr(loaded: LoadFake) -> None:
    model = loaded("a", END)
    shown = repr(model)
    assert shown == f"GPT4All({model.model.model_path!r}, backend='cpu', device=None, n_ctx={model._loaded.info.n_ctx})"
    model.close()
    assert repr(model) == shown[:-1] + ", closed)"


def test_repr_of_what_failed_to_load(tmp_path: Path) -> None:
    model = object.__new__(GPT4All)
    with pytest.raises(FileNotFoundError):
        model.__init__(str(tmp_path / "nowhere.gguf"), allow_download=False)  # type: ignore[misc]
    assert repr(model) == "<GPT4All that failed to load>"


@pytest.mark.usefixtures("fake_backend")
def test_repr_of_an_embedder(fake_model: FakeModel) -> None:
    path = fake_model(architecture="bert", traits="encoder embedding", name="all-MiniLM-L6-v2")
    with Embed4All(path, n_threads=1) as model:
        assert repr(model) == f"Embed4All('all-MiniLM-L6-v2', gpt4all={model.gpt4all!r})"
        with pytest.raises(TypeError, match="can be neither pickled nor copied"):
            pickle.dumps(model)
    with pytest.raises(ValueError, match="closed"), model:
        pass


def test_pickling_says_what_to_do(loaded: LoadFake) -> None:
    model = loaded("a", END)
    for action in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"Load the model where it is used, as GPT4All\(model.config\['path'\]\)"):
            action(model)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temperature", r"generate\(\) has no argument 'temperature'; did you mean temp=\?"),
        ("max_new_tokens", r"did you mean max_tokens=\?"),
        ("stream", r"did you mean streaming=\?"),
        ("Temperature", r"did you mean temp=\?"),
        ("temprature", r"did you mean temp=\?"),
        ("max_token", r"did you mean max_tokens=\?"),
        ("repetition_penalty", r"did you mean repeat_penalty=\?"),
        ("messages", r"did you mean prompt=, which takes a list of messages too\?"),
        ("zzz", "it takes prompt, max_tokens, temp, "),
    ],
)
def test_generate_knows_other_names(loaded: LoadFake, name: str, hint: str) -> None:
    model = loaded("a", END)
    arguments: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=hint):
        model.generate("x", **arguments)
    if name == "stream":
        hint = "leave it out: async for over agenerate"

    async def call() -> None:
        with pytest.raises(TypeError, match=hint.replace(r"generate\(\)", r"agenerate\(\)")):
            model.agenerate("x", **arguments)

    asyncio.run(call())


def test_generate_many_lists_all_that_it_takes(loaded: LoadFake) -> None:
    wrong: Any = {"zz": 1}
    with pytest.raises(TypeError, match="it takes prompts, as_completed, progress, max_tokens, "):
        loaded("a", END).generate_many(["x"], **wrong)


def test_one_message_is_no_prompt(loaded: LoadFake) -> None:
    prompt: Any = {"role": "user", "content": "x"}
    with pytest.raises(TypeError, match="prompt must be a str or a list of messages, not dict"):
        loaded("a", END).generate(prompt)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("system", r"chat_session\(\) has no argument 'system'; did you mean chat_session\(system_prompt=...\)"),
        ("history", r"did you mean chat_session\(messages=...\)"),
        ("temp", "it takes system_prompt, prompt_template, messages, template_args"),
    ],
)
def test_chat_session_knows_other_names(loaded: LoadFake, name: str, hint: str) -> None:
    wrong: Any = {name: 1}
    with pytest.raises(TypeError, match=hint):
        loaded("a", END).chat_session(**wrong)


@pytest.mark.usefixtures("fake_backend")
def test_the_constructors_know_other_names(fake_model: FakeModel) -> None:
    path = fake_model(architecture="bert", traits="encoder embedding")
    for kind in (GPT4All, Embed4All):
        for name, hint in (
            ("n_gpu_layers", "ngl="),
            ("n_thread", "n_threads="),
            ("temperature", "it takes model_name"),
        ):
            wrong: Any = {name: 1}
            with pytest.raises(TypeError, match=hint):
                kind(path, **wrong)
        wrong = {"zz": 1}
        with pytest.raises(TypeError, match=rf"^{kind.__name__}\(\) has no argument 'zz'; it takes model_name, "):
            kind(path, **wrong)
    with Embed4All(path, n_threads=1) as model:
        for name, hint in (
            ("dimensions", "dimensionality="),
            ("batch_size", "it takes text, "),
            ("normalize", "'; leave it out"),
        ):
            wrong = {name: 1}
            with pytest.raises(TypeError, match=hint):
                model.embed("x", **wrong)


def test_every_advice_names_an_argument_there_is() -> None:
    arguments: set[str] = set(GenerateArguments.__annotations__) | {"streaming"}
    for function in (GPT4All.__init__, GPT4All.chat_session, Embed4All.embed):
        arguments |= set(inspect.signature(function).parameters)
    for name, advice in _ELSEWHERE.items():
        assert name not in GenerateArguments.__annotations__
        if "(" not in advice and " " not in advice:
            assert advice.partition("=")[0] in arguments, advice


def test_nothing_unknown_is_refused() -> None:
    refuse_unknown(GPT4All.generate, {})
