"""Fixtures for tests on a Vulkan device: a GPU where there is one, else Mesa's llvmpipe, which runs on the processor.

``GPT4ALL_REQUIRE_GPU=1`` turns skipping into failing, for machines that are meant to run them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import testmodels

from gpt4all._native.backend import Backend, NativeModel, load_backend
from gpt4all._native.device_memory import Device
from gpt4all._native.loader import library_file_name
from gpt4all.errors import BackendLoadError
from tests.gpu.engine import ALLOW_SOFTWARE, Load
from tests.support.fake.backend import ROOT
from tests.support.load_options import load_options

LIBRARY = ROOT / "gpt4all" / "_native" / "lib" / "kompute" / library_file_name("kompute")


def _skip(why: str) -> NoReturn:
    if os.environ.get("GPT4ALL_REQUIRE_GPU") == "1":
        pytest.fail(f"GPT4ALL_REQUIRE_GPU=1, but {why}")
    pytest.skip(why)


@pytest.fixture(autouse=True, scope="module")
def _allowed() -> Iterator[None]:
    """For the processes that tests here start; no other test of the run gets to see it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ALLOW_SOFTWARE, "1")
        yield


@pytest.fixture(scope="session")
def kompute() -> Backend:
    if not LIBRARY.is_file():
        _skip("no kompute backend is built (./build_backends.sh kompute)")
    # Read once, when the library looks for devices.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ALLOW_SOFTWARE, "1")
        try:
            return load_backend("kompute")
        except BackendLoadError as error:
            _skip(f"the kompute backend does not load: {error}")


@pytest.fixture(scope="session")
def gpu(kompute: Backend) -> Device:
    """The first Vulkan device."""
    for device in kompute.devices():
        if device.type != "cpu":
            return device
    _skip("there is no Vulkan device, not even a software one (Debian: apt-get install mesa-vulkan-drivers)")


@pytest.fixture(scope="session")
def model_file() -> Callable[[str], Path]:
    return testmodels.ensure


@pytest.fixture
def load(kompute: Backend, gpu: Device, model_file: Callable[[str], Path]) -> Iterator[Load]:
    """``load(name, **arguments)``: a model on the GPU, closed after the test."""
    loaded = []

    def load(name: str = "tiny-llama", **arguments: Any) -> NativeModel:
        device = arguments.pop("device", gpu.index)
        options = load_options(**{"n_ctx": 256, **arguments})
        model = kompute.load_model(model_file(name), options, device=device)
        loaded.append(model)
        return model

    yield load
    for model in loaded:
        model.close()


@pytest.fixture(scope="session")
def cpu() -> Backend:
    """The processor's own backend, to compare with."""
    return load_backend("cpu")
