"""Fixtures with the real library and real or tiny random weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import testmodels

from gpt4all import GPT4All
from gpt4all._native.backend import NativeModel, load_backend
from tests.support.chat.scripted import write_scripted_model
from tests.support.fake.helpers import ignore_open_models
from tests.support.load_options import load_options

#: What a model is loaded with unless a test says otherwise.
N_CTX = 1024

#: The directory of llama.cpp's own programs, built from the same source as the library.
REFERENCE_VARIABLE = "GPT4ALL_REFERENCE_DIR"


@pytest.fixture(autouse=True, scope="session")
def _needs_library() -> None:
    from gpt4all._native import loader

    loader.load("cpu")


@pytest.fixture(autouse=True)
def _models_of_wider_scopes() -> None:
    ignore_open_models()


@pytest.fixture(scope="session")
def model_file() -> Callable[[str], Path]:
    """``model_file(name)``: the verified file of a model in ``scripts/testmodels``, fetched or written if missing."""
    return testmodels.ensure


@pytest.fixture(scope="session")
def smollm2(model_file: Callable[[str], Path]) -> Iterator[GPT4All]:
    with GPT4All(model_file("smollm2"), n_ctx=N_CTX) as model:
        yield model


@pytest.fixture(scope="module")
def model(model_file: Callable[[str], Path]) -> Iterator[NativeModel]:
    """SmolLM2 without Python around it: for templates and grammars, so its context is short."""
    model = load_backend("cpu").load_model(model_file("smollm2"), load_options(n_ctx=64))
    yield model
    model.close()


@pytest.fixture(scope="session")
def gemma3(model_file: Callable[[str], Path]) -> Iterator[GPT4All]:
    with GPT4All(model_file("gemma3"), n_ctx=N_CTX) as model:
        yield model


@pytest.fixture(scope="session")
def tiny(model_file: Callable[[str], Path]) -> Iterator[Callable[..., GPT4All]]:
    """``tiny(name, **options)``: a tiny random model, loaded once per set of options."""
    loaded: dict[object, GPT4All] = {}

    def load(name: str = "tiny-llama", **options: object) -> GPT4All:
        key = (name, tuple(sorted(options.items())))
        if key not in loaded:
            loaded[key] = GPT4All(model_file(name), **{"n_ctx": 256, **options})  # type: ignore[arg-type]
        return loaded[key]

    yield load
    for model in loaded.values():
        model.close()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., GPT4All]]:
    """``scripted(answers, template, **options)``: a model that says what a test wrote, one answer for each message."""
    opened: list[GPT4All] = []

    def load(answers: Sequence[str], template: str, *, piece: int = 7, **options: Any) -> GPT4All:
        path = write_scripted_model(tmp_path / f"{len(opened)}.gguf", answers, template, piece)
        opened.append(GPT4All(path, n_ctx=4096, n_threads=1, **options))
        return opened[-1]

    yield load
    for model in opened:
        model.close()


@pytest.fixture(scope="session")
def reference_program() -> Path:
    """llama.cpp's own ``llama-completion``, built from the same source as the library."""
    directory = os.environ.get(REFERENCE_VARIABLE)
    if directory is None:
        pytest.skip(f"{REFERENCE_VARIABLE} does not say where llama-completion is; scripts/test builds it and does")
    path = Path(directory, "llama-completion")
    assert path.is_file(), f"{REFERENCE_VARIABLE} names {directory}, which has no llama-completion"
    return path
