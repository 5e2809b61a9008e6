"""Fixtures for tests against a real shared library without an engine."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from testmodels import ModelError, ensure, find

from gpt4all import GPT4All
from gpt4all._native import abi, loader
from gpt4all._native.backend import NativeModel
from tests.support.abi.client import CONTROL, N_CTX, Library, Model, Subject
from tests.support.fake.backend import FakeModel, Piece, build_fake, find_compiler, write_fake_model
from tests.support.fake.helpers import EngineLog, LoadFake, ignore_open_models, wait_until, worker_threads

#: A tiny random model of each kind of memory that the real library generates with, and a control token of it.
REAL_SUBJECTS = {
    "tiny-llama": CONTROL,
    "tiny-gemma3": "<end_of_turn>",
    "tiny-mamba": CONTROL,
    "tiny-jamba": CONTROL,
    "tiny-t5": "<pad>",
}


def _gpu_defaults(library: Library) -> dict[str, int]:
    """All layers on the first Vulkan device, which may be a software one."""
    gpus = [index for index, device in enumerate(library.devices()) if device.type != abi.DEVICE_CPU]
    if not gpus:
        pytest.skip("there is no Vulkan device, not even a software one (Debian: apt-get install mesa-vulkan-drivers)")
    return {"device": gpus[0], "n_gpu_layers": 100}


def _copied_library(directory: Path, backend: str) -> Library:
    built = next((place.path for place in loader.candidates(backend) if place.path.is_file()), None)
    if built is None:
        pytest.skip(f"no {backend} backend is built (./build_backends.sh {backend})")
    # A copy of its own: its log callback and state are not those of the package in this process.
    return Library(Path(shutil.copytree(built.parent, directory / backend), built.name))


@pytest.fixture(scope="session")
def real_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return _copied_library(tmp_path_factory.mktemp("real"), "cpu")


@pytest.fixture(scope="session")
def gpu_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    # Read once, when the library looks for devices; other tests run without it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPT4ALL_ALLOW_SOFTWARE_GPU", "1")
        library = _copied_library(tmp_path_factory.mktemp("real"), "kompute")
        library.defaults.update(_gpu_defaults(library))
    return library


#: All of ``subject`` but the fake, which holds one context and no more.
ENGINES = (*REAL_SUBJECTS, pytest.param("kompute", marks=pytest.mark.gpu))


@pytest.fixture(scope="session", params=["fake", *ENGINES])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    if request.param != "fake":
        on_gpu = request.param == "kompute"
        spec = find("tiny-llama" if on_gpu else request.param)
        try:
            model = ensure(spec.name)
        except ModelError as error:
            pytest.skip(f"no tiny model: {error}")
        library = request.getfixturevalue("gpu_library" if on_gpu else "real_library")
        # T5's vocabulary knows neither line ends nor control codes.
        all_text = spec.vocabulary != "ugm"
        return Subject(library, model, spec.architecture, spec.n_ctx_train, REAL_SUBJECTS[spec.name], all_text)
    directory = tmp_path_factory.mktemp("subject-fake")
    steps = [" It", " was", " a", " d", "ar", "k", " and", " stormy", " ni", "ght", "."]
    control = ["<|im_start|>", CONTROL]
    path = write_fake_model(
        directory / "model.gguf", *steps, control=control, chat_template="{{ '' }}", log=("info", "hello")
    )
    return Subject(request.getfixturevalue("fake"), path, "llama", 2048, CONTROL)


@pytest.fixture
def model(subject: Subject) -> Iterator[Model]:
    with subject.library.load(subject.model, n_ctx=N_CTX) as model:
        yield model


@pytest.fixture
def prompt(model: Model) -> list[int]:
    return model.tokenize("Once upon a")


#: A tiny random model of each way in which the real library embeds: our own encoder, the engine's, and a decoder.
REAL_EMBEDDERS = ("tiny-bert-cls", "tiny-gemma-embedding", "tiny-qwen3-embedding")


@pytest.fixture(scope="session", params=["fake", *REAL_EMBEDDERS])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A library with a model that embeds."""
    if request.param == "fake":
        path = tmp_path_factory.mktemp("embedder-fake") / "model.gguf"
        write_fake_model(path, architecture="bert", traits="encoder embedding")
        return Subject(request.getfixturevalue("fake"), path, "bert", 2048, CONTROL)
    spec = find(request.param)
    try:
        model = ensure(spec.name)
    except ModelError as error:
        pytest.skip(f"no tiny model: {error}")
    return Subject(request.getfixturevalue("real_library"), model, spec.architecture, spec.n_ctx_train, "")


@pytest.fixture(autouse=True)
def _models_of_wider_scopes() -> None:
    ignore_open_models()


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake ``cpu`` backend, compiled once."""
    if find_compiler() is None:
        pytest.skip("the fake backend needs a C compiler (cc, gcc or clang, or CC)")
    return build_fake(tmp_path_factory.mktemp("fake"))


@pytest.fixture(scope="session")
def _fake_backends() -> dict[str, Any]:
    """The package's backends loaded from the fake: a library keeps their log callbacks as long as it is loaded."""
    return {}


@pytest.fixture
def fake_backend(
    fake_library: Path, _fake_backends: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Makes the package's loader find the fake; returns the directory that ``GPT4ALL_BACKEND_PATH`` names."""
    directory = fake_library.parent.parent
    # No catalogue of this machine's user.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(directory))
    monkeypatch.setattr(loader, "_loaded", _fake_backends)
    return directory


@pytest.fixture
def fake_model(tmp_path: Path) -> FakeModel:
    """``fake_model(*steps, **directives)`` writes a scripted model and returns its path; see the fake's backend.py."""
    numbers = count(1)

    def write(*steps: Piece, **directives: Any) -> Path:
        return write_fake_model(tmp_path / f"fake-{next(numbers)}.gguf", *steps, **directives)

    return write


@pytest.fixture
def loaded(fake_backend: Path, fake_model: FakeModel) -> Iterator[LoadFake]:
    """``loaded(*steps, **directives)`` loads a scripted model and closes it later; ``options=`` go to ``GPT4All``."""
    models: list[GPT4All] = []

    def load(*steps: Piece, options: dict[str, Any] | None = None, **directives: Any) -> GPT4All:
        models.append(GPT4All(fake_model(*steps, **directives), **{"n_ctx": 512, "n_threads": 1, **(options or {})}))
        return models[-1]

    yield load
    for model in models:
        model.close()
    # A model that a test has just dropped may still be ending.
    wait_until(lambda: not worker_threads())


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch) -> list[NativeModel]:
    """Every native model that is made, to be found freed or not."""
    made: list[NativeModel] = []
    init = NativeModel.__init__

    def note(model: NativeModel, *arguments: Any) -> None:
        made.append(model)
        init(model, *arguments)

    monkeypatch.setattr(NativeModel, "__init__", note)
    return made


@pytest.fixture
def engine_log() -> Iterator[EngineLog]:
    """The engine's lines, which tests can wait for."""
    log = EngineLog()
    logger = logging.getLogger("gpt4all")
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(1)
    yield log
    logger.removeHandler(log)
    logger.setLevel(level)


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory, fake_library: Path) -> Library:
    """The fake through the plain C interface; a second copy, so that its log callback is not the package's."""
    copy = tmp_path_factory.mktemp("fake-abi") / fake_library.name
    return Library(Path(shutil.copy(fake_library, copy)))
