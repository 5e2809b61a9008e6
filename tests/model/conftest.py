"""Fixtures with the real library and real or tiny random weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testmodels

from gpt4all import GPT4All
from tests.support.fake.helpers import ignore_open_models

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


@pytest.fixture(scope="session")
def reference_program() -> Path:
    """llama.cpp's own ``llama-completion``, built from the same source as the library."""
    directory = os.environ.get(REFERENCE_VARIABLE)
    if directory is None:
        pytest.skip(f"{REFERENCE_VARIABLE} does not say where llama-completion is; scripts/test builds it and does")
    path = Path(directory, "llama-completion")
    assert path.is_file(), f"{REFERENCE_VARIABLE} names {directory}, which has no llama-completion"
    return path
