"""What Python makes of an engine that fails, and of callbacks that raise while others generate."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from testmodels import ensure

from gpt4all import Embed4All, EmbeddingError, GenerationError, GPT4All
from gpt4all._native import loader
from tests.support.abi.faults import Fault, FaultyLibrary, faulty_backend_path
from tests.support.fake.helpers import Task

PROMPTS = ["Once upon a time", "abc " * 9, "xyz", "Once upon a tree", "a"]


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(faulty_backend_path(), tmp_path_factory.mktemp("faults") / "backends")


@pytest.fixture(scope="module")
def loaded_backends() -> dict[str, Any]:
    """A library keeps the package's log callback as long as it is loaded."""
    return {}


@pytest.fixture
def library(
    backends: Path, loaded_backends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyLibrary]:
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(backends))
    monkeypatch.setattr(loader, "_loaded", loaded_backends)
    # The one that the package loads.
    library = FaultyLibrary(next((backends / "cpu").glob("libgpt4all-cpu.*")), init=False)
    yield library
    for fault in Fault:
        library.fail(fault, 0)


@pytest.fixture(params=["tiny-llama", "tiny-jamba"])
def model(request: pytest.FixtureRequest, library: FaultyLibrary) -> Iterator[GPT4All]:
    with GPT4All(ensure(request.param), n_ctx=128, n_threads=1, n_parallel=3) as model:
        yield model


def answer(model: GPT4All, prompt: str, **options: Any) -> str:
    return str(model.generate(prompt, temp=0, max_tokens=12, stop=[], **options))


def results(tasks: list[Task]) -> list[str | Exception]:
    found: list[str | Exception] = []
    for task in tasks:
        try:
            found.append(task.result())
        except Exception as error:
            found.append(error)
    return found


@pytest.mark.parametrize("nth", [1, 4])
def test_a_batch_that_fails(library: FaultyLibrary, model: GPT4All, nth: int) -> None:
    expected = [answer(model, prompt) for prompt in PROMPTS]
    library.fail(Fault.COMPUTED_IN_VAIN, nth)
    found = results([Task(partial(answer, model, prompt)) for prompt in PROMPTS])
    assert library.fail(Fault.COMPUTED_IN_VAIN, 0)
    errors = [one for one in found if isinstance(one, Exception)]
    assert errors
    assert {type(error) for error in errors} == {GenerationError}
    assert all(one == text for one, text in zip(found, expected, strict=True) if isinstance(one, str))
    assert [answer(model, prompt) for prompt in PROMPTS] == expected


def test_a_batch_that_fails_under_a_stream(library: FaultyLibrary, model: GPT4All) -> None:
    expected = answer(model, PROMPTS[0])
    stream = model.generate(PROMPTS[0], temp=0, max_tokens=10**6, stop=[], streaming=True)
    pieces = [next(stream)]
    library.fail(Fault.COMPUTE_FAILS)
    with pytest.raises(GenerationError):
        pieces += stream
    # It may have failed right after the first piece.
    text = "".join(pieces)
    assert expected.startswith(text[: len(expected)])
    assert answer(model, PROMPTS[0]) == expected


def test_generate_many_with_a_batch_that_fails(library: FaultyLibrary, model: GPT4All) -> None:
    expected = [answer(model, prompt) for prompt in PROMPTS]
    library.fail(Fault.COMPUTE_FAILS)
    completions = model.generate_many(PROMPTS, temp=0, max_tokens=12, stop=[])
    failed = [one for one in completions if one.error is not None]
    assert 0 < len(failed) <= 3
    assert {type(one.error) for one in failed} == {GenerationError}
    for one, text in zip(completions, expected, strict=True):
        assert one.error is not None or one.text == text


def test_an_engine_that_gives_up(library: FaultyLibrary, model: GPT4All) -> None:
    expected = answer(model, PROMPTS[0])
    library.fail(Fault.COMPUTE_ASSERTS)
    with pytest.raises(GenerationError, match="asked for by a test"):
        answer(model, PROMPTS[0])
    with pytest.raises(GenerationError, match="load it again"):
        answer(model, PROMPTS[0])
    path = model.config["path"]
    model.close()
    with GPT4All(path, n_ctx=128, n_threads=1) as again:
        assert answer(again, PROMPTS[0]) == expected


class UnheardError(Exception):
    """Of a callback."""


def raising(after: int) -> Callable[[int, str], bool]:
    left = [after]

    def callback(token: int, piece: str) -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise UnheardError
        return True

    return callback


@pytest.mark.parametrize("after", [0, 5])
def test_a_callback_that_raises_beside_others(model: GPT4All, after: int) -> None:
    expected = [answer(model, prompt) for prompt in PROMPTS]
    tasks = [Task(partial(answer, model, prompt)) for prompt in PROMPTS]
    raised = [Task(partial(answer, model, prompt, callback=raising(after))) for prompt in PROMPTS]
    assert {type(one) for one in results(raised)} == {UnheardError}
    assert results(tasks) == expected
    assert [answer(model, prompt) for prompt in PROMPTS] == expected


@pytest.mark.parametrize("name", ["tiny-gemma-embedding", "tiny-qwen3-embedding"])
def test_an_embedding_that_fails(library: FaultyLibrary, name: str) -> None:
    texts = ["one", "two and three", "four"]
    with Embed4All(str(ensure(name)), n_threads=2) as embedder:
        expected = embedder.embed(texts, prefix="")
        for nth in (1, 3):
            library.fail(Fault.COMPUTE_FAILS, nth)
            with pytest.raises(EmbeddingError):
                embedder.embed(texts, prefix="")
            assert embedder.embed(texts, prefix="") == expected
