"""Calls of the engine that fail: those concerned end with an error, and the model goes on or says that it does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from ctypes import byref, c_int32, cast
from pathlib import Path
from typing import Any

import pytest
from testmodels import ensure

from gpt4all._native import abi
from tests.native.conftest import REAL_SUBJECTS
from tests.native.test_requests import start_costly
from tests.support.abi.client import Model, Request, Run
from tests.support.abi.faults import Fault, FaultyLibrary, faulty_backend_path

N_CTX = 64
#: What ends a batch, and leaves the engine's state known.
FAILING_BATCHES = [
    Fault.COMPUTE_FAILS,
    Fault.COMPUTED_IN_VAIN,
    Fault.COMPUTE_NO_MEMORY,
    Fault.DECODE_NO_ROOM,
    Fault.DECODE_REFUSES,
]
#: Which sequences it has moved, nobody knows then, so all end.
SHIFT_FAILED = "K-shift"
JOBS: list[tuple[str, dict[str, Any]]] = [
    ("Once upon a time", {"max_tokens": 12}),
    ("abc " * 9, {"max_tokens": 9, "n_batch": 7, "keep_context": 1}),
    ("Once upon a time there was", {"max_tokens": 6, "keep_context": 1}),
    # Until the context is full, and once more.
    ("xyz", {"max_tokens": 70}),
    ("Once upon a tree", {"max_tokens": 20, "temperature": 0.8, "top_p": 1.0, "seed": 7}),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> FaultyLibrary:
    # A copy: another clone may build its own meanwhile.
    folder = shutil.copytree(faulty_backend_path(), tmp_path_factory.mktemp("faults") / "backends")
    return FaultyLibrary(next((folder / "cpu").glob("libgpt4all-cpu.*")))


@pytest.fixture(autouse=True)
def _nothing_left_to_fail(library: FaultyLibrary) -> Iterator[None]:
    yield
    for fault in Fault:
        library.fail(fault, 0)


@pytest.fixture(scope="module", params=REAL_SUBJECTS)
def path(request: pytest.FixtureRequest) -> Path:
    return ensure(request.param)


@pytest.fixture
def model(library: FaultyLibrary, path: Path) -> Iterator[Model]:
    with load(library, path) as model:
        yield model


def load(library: FaultyLibrary, path: Path) -> Model:
    return library.load(path, n_ctx=N_CTX, n_sequences=3)


def jobs_of(model: Model) -> list[tuple[list[int], dict[str, Any]]]:
    return [(model.tokenize(text), dict(options)) for text, options in JOBS]


@pytest.fixture(scope="module")
def alone(library: FaultyLibrary, path: Path) -> list[Run]:
    """What each job gives on a model that nothing else is asked of."""
    runs = []
    for place in range(len(JOBS)):
        with library.load(path, n_ctx=N_CTX) as model:
            tokens, options = jobs_of(model)[place]
            runs.append(model.generate(tokens, **options))
    assert all(run.status == abi.OK for run in runs)
    return runs


def start_all(model: Model) -> list[Request]:
    return [model.start(tokens, **options) for tokens, options in jobs_of(model)]


def finish_all(requests: list[Request]) -> list[Run]:
    runs = [request.finish() for request in requests]
    for request in requests:
        request.free()
    return runs


def check_each(runs: list[Run], alone: list[Run], status: int) -> int:
    """Each says what it says alone, or the beginning of it and what is wrong; how many of the latter."""
    for run, whole in zip(runs, alone, strict=True):
        if run.status == abi.OK:
            assert run.calls == whole.calls
        else:
            assert run.status == status or SHIFT_FAILED in run.message
            assert run.message
            assert run.calls == whole.calls[: len(run.calls)]
    return sum(run.status != abi.OK for run in runs)


@pytest.mark.parametrize("fault", FAILING_BATCHES)
def test_a_batch_that_fails_ends_those_in_it(
    library: FaultyLibrary, model: Model, alone: list[Run], fault: Fault
) -> None:
    nth, has_failed = 1, True
    while has_failed:
        library.fail(fault, nth)
        runs = finish_all(start_all(model))
        has_failed = library.fail(fault, 0)
        failed = check_each(runs, alone, abi.ERROR_DECODE)
        assert (failed > 0) == has_failed
        # And the model knows what it holds.
        assert check_each(finish_all(start_all(model)), alone, abi.OK) == 0, nth
        # All of the first ones, which read prompts.
        nth += 1 + nth // 4
    assert nth > 30


def test_an_encoder_that_fails(library: FaultyLibrary, model: Model, alone: list[Run]) -> None:
    if not model.info().traits & abi.TRAIT_ENCODER:
        pytest.skip("has none")
    for nth in range(1, len(JOBS) + 1):
        library.fail(Fault.ENCODE_FAILS, nth)
        assert check_each(finish_all(start_all(model)), alone, abi.ERROR_DECODE) == 1
    assert check_each(finish_all(start_all(model)), alone, abi.OK) == 0


@pytest.mark.parametrize("nth", [1, 9])
def test_an_engine_that_gives_up_says_so_from_then_on(
    library: FaultyLibrary, path: Path, model: Model, alone: list[Run], nth: int
) -> None:
    tokens, options = jobs_of(model)[3]
    library.fail(Fault.COMPUTE_ASSERTS, nth)
    run = model.generate(tokens, **options)
    assert (run.status, run.calls) == (abi.ERROR_INTERNAL, alone[3].calls[: len(run.calls)])
    assert "asked for by a test" in run.message
    again = model.generate(tokens, **options)
    assert again.status == abi.ERROR_INTERNAL
    assert "load it again" in again.message
    model.free()
    with load(library, path) as fresh:
        assert check_each(finish_all(start_all(fresh)), alone, abi.OK) == 0


def test_an_engine_that_gives_up_ends_all(library: FaultyLibrary, model: Model) -> None:
    """Those that wait for a place as well: nobody knows what state it is in."""
    # None of them ends before it is read.
    requests = [model.start(model.tokenize(text), max_tokens=10**6) for text, _ in JOBS]
    library.fail(Fault.COMPUTE_ASSERTS)
    runs = finish_all(requests)
    assert {run.status for run in runs} == {abi.ERROR_INTERNAL}
    assert all("asked for by a test" in run.message for run in runs)


@pytest.mark.parametrize("fault", [Fault.REMOVE_FAILS, Fault.SAVE_FAILS, Fault.LOAD_FAILS, Fault.REMOVE_TOO_MUCH])
def test_a_memory_that_cannot_do_what_it_should_is_computed_again(
    library: FaultyLibrary, path: Path, alone: list[Run], fault: Fault
) -> None:
    # Where a full context cannot be moved, what stays of it is computed anew, which gives another text.
    few = [place for place, (_, options) in enumerate(JOBS) if options["max_tokens"] < N_CTX]
    wholes = [alone[place] for place in few]
    nth, has_failed = 0, True
    while has_failed:
        nth += 1
        with load(library, path) as model:
            jobs = [jobs_of(model)[place] for place in few]
            # More contexts to keep than sequences, so that some are displaced and come back.
            for _ in range(2):
                library.fail(fault, nth)
                requests = [model.start(tokens, **options) for tokens, options in jobs]
                assert check_each(finish_all(requests), wholes, abi.OK) == 0
                for (tokens, options), whole in zip(jobs, wholes, strict=True):
                    run = model.generate(tokens, **{**options, "keep_context": 1})
                    assert (run.status, run.calls) == (abi.OK, whole.calls)
                has_failed = library.fail(fault, 0)
    assert nth > 1 or "t5" in path.name


@pytest.mark.parametrize("fault", FAILING_BATCHES)
def test_one_that_sits_out_notices_nothing(library: FaultyLibrary, path: Path, model: Model, fault: Fault) -> None:
    if model.info().traits & abi.TRAIT_ENCODER:
        pytest.skip("answers one at a time")
    prompt, other = model.tokenize("abc"), model.tokenize("Once upon a time")
    with library.load(path, n_ctx=N_CTX) as single:
        whole = single.generate(prompt, max_tokens=500)
    with model.start(prompt, max_tokens=500) as idle:
        # As many steps as it computes ahead of its reader.
        assert len(model.generate(other, max_tokens=300, reuse_prefix=0).calls) == 300
        for nth in (1, 3):
            library.fail(fault, nth)
            assert model.generate(other, max_tokens=9, reuse_prefix=0).status == abi.ERROR_DECODE
        run = idle.finish()
    assert (run.status, run.calls) == (abi.OK, whole.calls)


@pytest.mark.parametrize("fault", [Fault.COMPUTED_IN_VAIN, Fault.DECODE_REFUSES])
def test_one_whose_grammar_is_at_work_notices_nothing(library: FaultyLibrary, model: Model, fault: Fault) -> None:
    """It has no token in the batch, but logits of its own."""
    if model.info().traits & abi.TRAIT_ENCODER:
        pytest.skip("answers one at a time")
    with start_costly(model, 9) as request:
        alone = request.finish()
    other = model.tokenize("Once upon a time")
    with start_costly(model, 9) as request:
        for nth in (2, 3, 5):
            library.fail(fault, nth)
            # One of the two ends, or both.
            run = model.generate(other, max_tokens=8)
            assert library.fail(fault, 0)
            if run.status != abi.OK:
                assert run.status == abi.ERROR_DECODE
        run = request.finish()
    assert run.calls == alone.calls[: len(run.calls)]
    assert run.status in (abi.OK, abi.ERROR_DECODE)
    with start_costly(model, 9) as request:
        assert request.finish().calls == alone.calls


@pytest.mark.parametrize("name", ["tiny-gemma-embedding", "tiny-qwen3-embedding"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_embedding_that_fails(library: FaultyLibrary, name: str, n_threads: int) -> None:
    with library.load(ensure(name), n_threads_batch=n_threads) as model:
        texts = [model.tokenize("Once upon a time " * n) for n in (1, 3, 2, 1, 4, 2, 1, 3)]
        rows = model.embed(texts).rows
        for fault in (*FAILING_BATCHES, Fault.ENCODE_FAILS):
            # Models without a memory are asked to encode, the others to decode.
            has_failed = 0
            places = (1, 4, len(texts))
            for nth in places:
                library.fail(fault, nth)
                done = model.embed(texts)
                if library.fail(fault, 0):
                    has_failed += 1
                    assert done.status == abi.ERROR_DECODE
                    assert done.message
                else:
                    assert (done.status, done.rows) == (abi.OK, rows)
                assert model.embed(texts).rows == rows
            decodes = {Fault.DECODE_NO_ROOM, Fault.DECODE_REFUSES}
            others = decodes if name == "tiny-gemma-embedding" else {Fault.ENCODE_FAILS}
            assert has_failed == (0 if fault in others else len(places))
        library.fail(Fault.COMPUTE_ASSERTS)
        assert model.embed(texts).status == abi.ERROR_INTERNAL
        assert "load it again" in model.embed(texts).message


def test_a_callback_that_throws_ends_its_call(library: FaultyLibrary, model: Model, alone: list[Run]) -> None:
    """Nobody else notices, and it says nothing more: pieces were lost, and the rest would be a text with a hole."""
    callback = cast(library.c.gpt4all_test_throw, abi.TokenCallback)
    result = library.new_result()
    others = start_all(model)
    with model.start(model.tokenize("abc"), max_tokens=10**6) as request:
        status = library.c.gpt4all_request_read(request.handle, -1, callback, None, byref(result))
        assert (status, library.last_error()) == (abi.ERROR_INTERNAL, "thrown")
        run = request.finish()
        assert (run.status, run.result.finish_reason, run.calls) == (abi.OK, abi.FINISH_CANCELLED, [])
    assert check_each(finish_all(others), alone, abi.OK) == 0
    tokens, options = jobs_of(model)[0]
    given, ids = library.generate_options(**options), (c_int32 * len(tokens))(*tokens)
    status = library.c.gpt4all_generate(model.handle, ids, len(ids), byref(given), callback, None, byref(result))
    assert (status, library.last_error()) == (abi.ERROR_INTERNAL, "thrown")
    assert check_each(finish_all(start_all(model)), alone, abi.OK) == 0
