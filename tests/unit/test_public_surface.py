"""What programs see of the package before they call it: names, type hints and signatures."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpt4all
from gpt4all import Embed4All, GPT4All
from gpt4all.embed4all import EmbedArguments
from gpt4all.embeddings.vectors import NumpyEmbeddings, SingleEmbedding
from gpt4all.engine.handle import ModelHandle
from gpt4all.options import GenerateArguments
from tests.support.surface import GIVEN, members, public_classes, public_functions

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS: dict[str, Callable[..., Any]] = {function.__qualname__: function for function in public_functions()} | {
    f"{cls.__name__}: {member.qualified_name}": member.function
    for cls in public_classes()
    for member in members(cls, special=True)
    if member.function is not None
}


def test_the_public_names() -> None:
    errors = {name for name in gpt4all.__all__ if name.endswith("Error")}
    assert set(gpt4all.__all__) - errors == {
        *("GPT4All", "Embed4All", "__version__"),
        *(
            "Generation",
            "AsyncGeneration",
            "Chat",
            "Completion",
            "Outcome",
            "ToolCall",
            "ToolCallDelta",
            "DownloadProgress",
        ),
        "system_info",
    }
    assert errors == set(gpt4all.errors.__all__)
    assert set(gpt4all.__all__) <= set(dir(gpt4all))


@pytest.mark.parametrize(
    "cls",
    [*public_classes(), GenerateArguments, EmbedArguments, SingleEmbedding, NumpyEmbeddings],
    ids=lambda cls: cls.__name__,
)
def test_type_hints_of_a_class(cls: type) -> None:
    typing.get_type_hints(cls)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_type_hints_of_a_function(function: Callable[..., Any]) -> None:
    hints = typing.get_type_hints(function)
    parameters = list(inspect.signature(function).parameters)
    if function.__qualname__.count(".") and parameters[:1] in (["self"], ["cls"]):
        parameters = parameters[1:]
    assert set(parameters) | {"return"} <= set(hints)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="overloads cannot be asked for")
@pytest.mark.parametrize("function", [GPT4All.generate, Embed4All.embed])
def test_type_hints_of_overloads(function: Callable[..., Any]) -> None:
    overloads = typing.get_overloads(function)  # type: ignore[attr-defined]
    assert len(overloads) > 2
    for overload in overloads:
        assert "return" in typing.get_type_hints(overload)


def test_type_hints_need_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None; import typing; from gpt4all import Embed4All; "
        "from gpt4all.embeddings.vectors import NumpyEmbeddings; "
        "typing.get_type_hints(NumpyEmbeddings); print(typing.get_type_hints(Embed4All.embed)['return'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "typing.Any\n"


@pytest.mark.parametrize("cls", [GPT4All, Embed4All])
def test_entering_gives_the_same_class(cls: type) -> None:
    returned = typing.get_type_hints(cls.__enter__)["return"]  # type: ignore[attr-defined]
    assert returned.__name__ == "Self" if hasattr(returned, "__name__") else "Self" in str(returned)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_signatures_tell_only_what_is_taken(function: Callable[..., Any]) -> None:
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.annotation not in ("NoReturn", typing.NoReturn), parameter
        assert not parameter.name.startswith("_"), parameter


@pytest.mark.parametrize("cls", [cls for cls in public_classes() if cls not in GIVEN], ids=lambda cls: cls.__name__)
def test_a_class_has_the_signature_of_its_constructor(cls: type) -> None:
    if issubclass(cls, BaseException) and "__init__" not in vars(cls):
        return  # those of Python, which take any
    constructor = list(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]
    assert list(inspect.signature(cls).parameters) == constructor[1:]


def test_classes_say_where_2_8_had_them() -> None:
    assert (GPT4All.__module__, GPT4All.__qualname__) == ("gpt4all.gpt4all", "GPT4All")
    assert repr(GPT4All) == "<class 'gpt4all.gpt4all.GPT4All'>"
    assert b"gpt4all.gpt4all" in pickle.dumps(GPT4All, protocol=0)
    assert gpt4all.gpt4all.Embed4All is Embed4All


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_classes_can_be_pickled_by_name(cls: type) -> None:
    assert pickle.loads(pickle.dumps(cls)) is cls


def test_the_class_of_the_attribute_model() -> None:
    assert {member.name for member in members(ModelHandle)} == {
        *("model_path", "backend", "device", "n_ctx", "token_eos", "set_thread_count", "thread_count"),
        *("count_prompt_tokens", "close"),
    }
