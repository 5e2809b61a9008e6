"""Loading on the fake backend: progress, failures, and what they leave behind; failures while generating."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpt4all
from gpt4all import GPT4All
from gpt4all._native.backend import NativeModel
from gpt4all.engine import at_exit
from gpt4all.engine.loading import Load
from tests.support.fake.backend import END, FakeModel
from tests.support.fake.helpers import EngineLog, LoadFake, is_idle, worker_threads

pytestmark = pytest.mark.usefixtures("fake_backend")


def test_progress_is_told_on_the_calling_thread(fake_model: FakeModel) -> None:
    told: list[tuple[float, int]] = []
    path = fake_model("a", progress_steps=4)
    with GPT4All(path, progress=lambda fraction: told.append((fraction, threading.get_ident()))):
        pass
    assert [fraction for fraction, _ in told] == [0, 0.25, 0.5, 0.75, 1]
    assert {thread for _, thread in told} == {threading.get_ident()}


@pytest.mark.parametrize("go_on", [None, True, 1, 0, "no"])
def test_progress_goes_on_unless_false(fake_model: FakeModel, go_on: Any) -> None:
    with GPT4All(fake_model("a", END), progress=lambda fraction: go_on) as model:
        assert model.generate("x") == "a"


@pytest.mark.parametrize("last", [0.0, 0.5, 1.0])
def test_progress_false_stops_the_load(fake_model: FakeModel, handles: list[NativeModel], last: float) -> None:
    told: list[float] = []

    def until(fraction: float) -> bool:
        told.append(fraction)
        return fraction < last

    with pytest.raises(gpt4all.CancellationError, match="progress callback stopped"):
        GPT4All(fake_model("a"), progress=until)
    assert told[-1] == last
    assert not handles
    assert not worker_threads()


@pytest.mark.parametrize("error", [KeyError("own"), KeyboardInterrupt(), SystemExit(2)])
@pytest.mark.parametrize("last", [0.0, 1.0])
def test_an_exception_in_progress(
    fake_model: FakeModel, handles: list[NativeModel], error: BaseException, last: float
) -> None:
    def fail(fraction: float) -> None:
        if fraction == last:
            raise error

    with pytest.raises(type(error)) as caught:
        GPT4All(fake_model("a"), progress=fail)
    assert caught.value is error
    assert error.__context__ is None
    assert not handles
    assert not worker_threads()
    with GPT4All(fake_model("a", END)) as model:
        assert model.generate("x") == "a"


def test_an_interrupt_in_the_last_moment_frees_the_model(
    fake_model: FakeModel, handles: list[NativeModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of the native load and the model's arrival on the calling thread."""

    def interrupted(load: Load) -> Any:
        load.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(Load, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GPT4All(fake_model("a"))
    assert [model._handle.value for model in handles] == [None]


LOAD_FAILURES: dict[str, tuple[type[Exception], type[Exception]]] = {
    "INTERNAL": (gpt4all.ModelLoadError, RuntimeError),
    "INVALID_ARGUMENT": (ValueError, ValueError),
    "OUT_OF_MEMORY": (gpt4all.InsufficientMemoryError, ValueError),
    "MODEL_LOAD": (gpt4all.ModelLoadError, RuntimeError),
    "UNSUPPORTED_MODEL": (gpt4all.UnsupportedModelError, RuntimeError),
    "UNSUPPORTED_CPU": (gpt4all.BackendLoadError, RuntimeError),
    "DECODE": (gpt4all.GenerationError, RuntimeError),
}


@pytest.mark.parametrize("status", LOAD_FAILURES)
def test_failures_of_a_load(fake_model: FakeModel, handles: list[NativeModel], status: str) -> None:
    expected, builtin = LOAD_FAILURES[status]
    path = fake_model("a", fail_load=(status.encode(), "the reason, with ünïcode"))
    with pytest.raises(expected, match="the reason, with ünïcode") as caught:
        GPT4All(path)
    assert isinstance(caught.value, builtin)
    assert not handles
    assert not worker_threads()


GENERATE_FAILURES: dict[str, type[Exception]] = {
    "INTERNAL": gpt4all.GenerationError,
    "DECODE": gpt4all.GenerationError,
    "BUSY": gpt4all.GenerationError,
    "OUT_OF_MEMORY": gpt4all.InsufficientMemoryError,
    "UNSUPPORTED_MODEL": gpt4all.UnsupportedModelError,
    "INVALID_ARGUMENT": ValueError,
}


@pytest.mark.parametrize("position", [0, 2])
@pytest.mark.parametrize("status", GENERATE_FAILURES)
def test_failures_of_a_generation(loaded: LoadFake, status: str, position: int) -> None:
    model = loaded("a", fail_at=(position, status.encode(), "the reason"))
    expected = GENERATE_FAILURES[status]
    with pytest.raises(expected, match="the reason"):
        model.generate("x")
    pieces: list[str] = []
    with pytest.raises(expected, match="the reason"):
        pieces.extend(model.generate("x", streaming=True))
    assert pieces == ["a"] * position
    assert is_idle(model)
    # The failure has not broken the model.
    assert model.generate("x", max_tokens=position) == "a" * position


@pytest.mark.parametrize("traits", [("encoder", "embedding"), ("encoder",), ("decoder", "embedding"), ("diffusion",)])
def test_a_model_that_does_not_generate(loaded: LoadFake, traits: tuple[str, ...]) -> None:
    model = loaded("a", traits=tuple(trait.encode() for trait in traits))
    for streaming in (False, True):
        # At the call, not at the first piece.
        with pytest.raises(gpt4all.UnsupportedModelError, match=r"fake-1\.gguf is .*cannot\s+generate text"):
            model.generate("x", streaming=streaming)
    assert model.detokenize(model.tokenize("x")) == "x"


@pytest.mark.parametrize(("n_ctx", "expected"), [(0, 96), (None, 96), (8, 8), (96, 96)])
def test_context_size(loaded: LoadFake, n_ctx: int | None, expected: int) -> None:
    assert loaded("a", n_ctx_train=96, options={"n_ctx": n_ctx})._loaded.info.n_ctx == expected


def test_a_context_beyond_the_training_length_is_a_warning(loaded: LoadFake) -> None:
    with pytest.warns(UserWarning, match=r"n_ctx=97 .* 96 tokens") as caught:
        model = loaded("a", n_ctx_train=96, options={"n_ctx": 97})
    assert caught[0].filename.endswith("conftest.py"), "the warning should point to the caller"
    assert model._loaded.info.n_ctx == 97


def test_a_warning_made_an_error_leaves_nothing(fake_model: FakeModel, handles: list[NativeModel]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            GPT4All(fake_model("a", n_ctx_train=96), n_ctx=97)
    refs = [model._handle for model in handles]
    handles.clear()
    gc.collect()
    assert [handle.value for handle in refs] == [None]


def test_options_reach_the_engine(loaded: LoadFake, engine_log: EngineLog) -> None:
    options = {
        "n_ctx": 64,
        "n_threads": 3,
        "ngl": 7,
        "kv_type": "q8_0",
        "flash_attention": True,
        "main_gpu": 1,
        "tensor_split": [0.25, 0.75],
        "use_mmap": False,
    }
    model = loaded("a", log_calls=1, options=options)
    line = engine_log.wait_for("load n_ctx")
    for part in (
        "n_ctx=64 ",
        "n_threads=3 n_threads_batch=3",
        "n_gpu_layers=7",
        "kv_type=q8_0",
        "flash_attention=1",
        "main_gpu=1",
        "n_tensor_split=2",
        "use_mmap=0",
    ):
        assert part in line
    model.model.set_thread_count(5)
    assert "n_threads=5 n_threads_batch=5" in engine_log.wait_for("set_threads")
    assert model.model.thread_count() == 5
    model.generate(
        "x",
        max_tokens=9,
        temp=0.5,
        top_k=3,
        top_p=0.25,
        min_p=0.125,
        repeat_penalty=1.5,
        repeat_last_n=-1,
        presence_penalty=-0.5,
        frequency_penalty=2,
        n_batch=11,
        seed=2**32 - 1,
        stop=["Ü", "end"],
    )
    line = engine_log.wait_for("generate n_tokens")
    assert line.startswith(
        "generate n_tokens=2 max_tokens=9 n_batch=11 top_k=3 temperature=0.5 top_p=0.25 min_p=0.125 "
        "repeat_penalty=1.5 repeat_last_n=-1 presence_penalty=-0.5 frequency_penalty=2 seed=4294967295"
    )
    stops = [line.partition("stop=")[2] for line in engine_log.lines if line.startswith("generate stop=")]
    assert stops[:2] == ["Ü", "end"]
    assert len(stops) == 8


def test_a_path_with_an_emoji(loaded: LoadFake, fake_model: FakeModel, tmp_path: Path) -> None:
    path = tmp_path / "modèle 🐑" / "ü.gguf"
    path.parent.mkdir()
    fake_model("a", END).rename(path)
    with GPT4All(path) as model:
        assert model.generate("x") == "a"
        assert model.config["path"] == str(path)


def test_forgotten_models_are_freed(fake_model: FakeModel, handles: list[NativeModel]) -> None:
    path = fake_model("a", END)
    known = len(at_exit.open_models)
    make: list[Callable[[], object]] = [
        lambda: GPT4All(path),
        lambda: GPT4All(path).generate("x"),
        lambda: next(GPT4All(path).generate("x", streaming=True)),
    ]
    for forget in make:
        forget()
    owned = [model._handle for model in handles]
    handles.clear()
    # By reference counting alone.
    assert [handle.value for handle in owned] == [None] * 3
    cycle: list[object] = [GPT4All(path)]
    cycle.append(cycle)
    owned = [model._handle for model in handles]
    handles.clear()
    del cycle
    gc.collect()
    assert [handle.value for handle in owned] == [None]
    assert len(at_exit.open_models) == known
