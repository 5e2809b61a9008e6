"""Memory or threads that are not to be had: a status, and the model lives on."""

from __future__ import annotations

import os
import subprocess
import sys
from ctypes import CDLL, byref, c_float, c_int, c_int32, c_int64, c_long, cast, sizeof
from ctypes import c_void_p as pointer
from pathlib import Path

import pytest
from testmodels import ModelError, ensure

from gpt4all._native import abi
from tests.support.abi.client import Library, Model
from tests.support.fake.backend import ROOT, build_fail_malloc

#: One text, whose steps the threads share, and many, of which each thread takes whole ones.
KINDS = {"one text": [40], "many texts": [4, 30, 12, 7, 30, 30, 21, 30, 30, 30, 9, 30, 30]}

KINDS_OF_MEMORY = ("tiny-llama", "tiny-gemma3", "tiny-mamba", "tiny-jamba")


def embed_without(model: Model, lengths: list[int], nth: int) -> tuple[int, bool]:
    """The status with allocation ``nth`` failing, and whether there were that many."""
    options, failed = abi.EmbedOptions(), c_int()
    model.library.check(model.c.gpt4all_embed_options_init(byref(options), sizeof(options)))
    tokens = [5 + n % 50 for n in range(sum(lengths))]
    width = model.info().n_embd_out
    vectors = (c_float * (len(lengths) * width))()
    function = CDLL(None).embed_without
    function.argtypes = [
        c_long,
        pointer,
        pointer,
        pointer,
        pointer,
        pointer,
        c_int64,
        pointer,
        pointer,
        c_int64,
    ]
    status = function(
        nth,
        cast(byref(failed), pointer),
        cast(model.c.gpt4all_embed, pointer),
        model.handle,
        cast((c_int32 * len(tokens))(*tokens), pointer),
        cast((c_int32 * len(lengths))(*lengths), pointer),
        len(lengths),
        cast(byref(options), pointer),
        cast(vectors, pointer),
        len(vectors),
    )
    assert status != abi.OK or any(vectors[-width:]), "a row is missing"
    return status, bool(failed.value)


def fail_each_of_embedding(backend: Library, path: Path) -> None:
    for kind, lengths in KINDS.items():
        nth, statuses, more = 0, set(), True
        while more:
            nth += 1
            # A fresh model each time, whose buffers still have to be made.
            with backend.load(path, n_threads_batch=3) as model:
                status, more = embed_without(model, lengths, nth)
                statuses.add(status)
                assert embed_without(model, lengths, 0) == (abi.OK, False)
        assert statuses == {abi.OK, abi.ERROR_OUT_OF_MEMORY}, (kind, statuses)
        assert nth > 10, (kind, nth)


def set_threads_without(model: Model, n_threads: int, nth: int) -> tuple[int, bool]:
    """As ``embed_without``."""
    failed = c_int()
    function = CDLL(None).set_threads_without
    function.argtypes = [c_long, pointer, pointer, pointer, c_int32]
    set_threads = cast(model.c.gpt4all_model_set_threads, pointer)
    return function(nth, cast(byref(failed), pointer), set_threads, model.handle, n_threads), bool(failed.value)


def fail_each_of_new_threads(backend: Library, path: Path) -> None:
    nth, statuses, more = 0, set(), True
    while more:
        nth += 1
        with backend.load(path, n_threads=2) as model:
            prompt = model.tokenize("Hello")
            expected = model.generate(prompt, max_tokens=2, temperature=0.0).tokens
            status, more = set_threads_without(model, 3, nth)
            statuses.add(status)
            assert model.generate(prompt, max_tokens=2, temperature=0.0).tokens == expected
    assert statuses == {abi.OK, abi.ERROR_OUT_OF_MEMORY}, statuses


def fail_each_of_requests(backend: Library, path: Path) -> None:
    """On the scheduler's thread: the requests end with an error, and the model goes on or says that it does not."""
    refuse = CDLL(None).refuse_elsewhere
    refuse.argtypes, refuse.restype = [c_long], c_long
    statuses, nth, more = set(), 0, True
    while more:
        with backend.load(path, n_threads=1, n_sequences=2, n_ctx=64) as model:
            prompts = [model.tokenize("Once upon a time"), model.tokenize("abc" * 5)]
            expected = [model.generate(prompt, max_tokens=6, reuse_prefix=0).calls for prompt in prompts]
            usable = True
            while more and usable:
                nth += 1
                requests = [model.start(prompts[0], max_tokens=6, reuse_prefix=0)]
                refuse(nth)
                requests.append(model.start(prompts[1], max_tokens=6))
                runs = [request.finish() for request in requests]
                more = refuse(0) <= 0
                for request, run, calls in zip(requests, runs, expected, strict=True):
                    request.free()
                    statuses.add(run.status)
                    assert calls[: len(run.calls)] == run.calls
                    assert run.status != abi.OK or run.calls == calls
                    assert run.status == abi.OK or run.message
                again = [model.generate(prompt, max_tokens=6) for prompt in prompts]
                usable = again[0].status == abi.OK
                if usable:
                    assert [run.calls for run in again] == expected, nth
                else:
                    assert all("load it again" in run.message for run in again), again
    assert {abi.OK, abi.ERROR_OUT_OF_MEMORY} <= statuses
    assert nth > 50, nth


def ask_for_too_many_threads(backend: Library, path: Path) -> None:
    import resource

    with backend.load(path, n_threads=2) as model:
        prompt = model.tokenize("Hello")
        expected = model.generate(prompt, max_tokens=2, temperature=0.0).tokens
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (256 << 20), resource.RLIM_INFINITY))
        status = model.c.gpt4all_model_set_threads(model.handle, 500, 500)
        assert (status, "500 threads" in backend.last_error()) == (abi.ERROR_OUT_OF_MEMORY, True)
        assert model.generate(prompt, max_tokens=2, temperature=0.0).tokens == expected


def refuse_first_of_each_thread(backend: Library, path: Path) -> None:
    """A C library without memory for a thread's own variables ends the process: threads get them when they start."""
    with backend.load(path, n_threads=3) as model:
        prompt = model.tokenize("Hello")
        # The model's own thread is there from the first call on.
        model.generate(prompt, max_tokens=1)
        CDLL(None).set_refuse_beginners(1)
        tokens = model.generate(prompt, max_tokens=2, temperature=0.0).tokens
        CDLL(None).set_refuse_beginners(0)
        assert model.generate(prompt, max_tokens=2, temperature=0.0).tokens == tokens


def refuse_first_of_embedding_threads(backend: Library, path: Path) -> None:
    """Where there is nothing left for threads that begin, fewer do the same work."""
    lengths = KINDS["many texts"]
    with backend.load(path, n_threads_batch=3) as model:
        assert embed_without(model, lengths, 0) == (abi.OK, False)
        assert embed_without(model, lengths, -1) == (abi.OK, False)


CHILDREN = {
    **{f"requests, {name}": (name, fail_each_of_requests) for name in KINDS_OF_MEMORY},
    "embedding": ("tiny-bert-cls", fail_each_of_embedding),
    "new threads": ("tiny-llama", fail_each_of_new_threads),
    "too many threads": ("tiny-llama", ask_for_too_many_threads),
    "first of each embedding thread": ("tiny-bert-cls", refuse_first_of_embedding_threads),
    "first of each thread": ("tiny-llama", refuse_first_of_each_thread),
}


@pytest.mark.skipif(sys.platform != "linux", reason="preloads a library for glibc")
@pytest.mark.parametrize("what", CHILDREN)
def test_allocations_that_fail(real_library: Library, tmp_path: Path, what: str) -> None:
    try:
        path = ensure(CHILDREN[what][0])
    except ModelError as error:
        pytest.skip(f"no tiny model: {error}")
    environment = {**os.environ, "LD_PRELOAD": str(build_fail_malloc(tmp_path / "fail_malloc.so"))}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
    program = [sys.executable, "-m", __name__, what, str(real_library.path), str(path)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")


if __name__ == "__main__":
    CHILDREN[sys.argv[1]][1](Library(Path(sys.argv[2])), Path(sys.argv[3]))
