"""The fake's GPUs: where layers go, what they take there, and what is refused, as the real library has it."""

from __future__ import annotations

import ctypes
from ctypes import c_float
from pathlib import Path
from typing import Any

import pytest

from gpt4all._native import abi
from gpt4all._native.backend import Backend
from gpt4all._native.loader import Library as LoadedLibrary
from gpt4all._native.prototypes import bind
from tests.support.abi.client import Library, StatusError
from tests.support.fake.backend import END, FakeModel, build_fake, find_compiler
from tests.support.load_options import load_options

#: Indices; 0 is the processor.
FIRST, SECOND, INTEGRATED = 1, 2, 3
SIZES = {"n_layer": 7, "weights_bytes": 8000, "context_bytes": 8, "compute_bytes": 50}
N_LAYERS = 8  # the output counts as one


def _initialiser(kind: str, total: int, free: int, *texts: str) -> str:
    return f"{{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_{kind}, {total}, {free}, {', '.join(map(repr, texts))}}},"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    if find_compiler() is None:
        pytest.skip("the fake backend needs a C compiler (cc, gcc or clang, or CC)")
    devices = (
        _initialiser("GPU", 9000, 8000, "Vulkan0", "Fake RTX", "0000:01:00.0", "Vulkan"),
        _initialiser("GPU", 5000, 400, "Vulkan1", "Fake Radeon", "0000:02:00.0", "Vulkan"),
        _initialiser("INTEGRATED_GPU", 700, 600, "Vulkan2", "Fake Iris", "", "Vulkan"),
    )
    folder = tmp_path_factory.mktemp("fake-gpus")
    return Library(build_fake(folder, "kompute", FAKE_DEVICES="".join(devices).replace("'", '"')))


@pytest.fixture
def path(fake_model: FakeModel) -> Path:
    return fake_model("a", END, **SIZES)


def shares(*values: float) -> dict[str, Any]:
    return {"tensor_split": (c_float * len(values))(*values), "n_tensor_split": len(values)}


def layers(needs: list[abi.MemoryNeed]) -> dict[int, int]:
    return {need.device: need.n_layers for need in needs}


def test_devices_tell_their_address_and_their_driver(library: Library) -> None:
    told = [(device.name, device.id, device.api) for device in library.devices()]
    assert told == [
        (b"CPU", b"", b"CPU"),
        (b"Vulkan0", b"0000:01:00.0", b"Vulkan"),
        (b"Vulkan1", b"0000:02:00.0", b"Vulkan"),
        (b"Vulkan2", b"", b"Vulkan"),
    ]


@pytest.mark.parametrize(
    ("options", "where", "output"),
    [
        ({}, {-1: 8}, -1),
        ({"device": 0}, {-1: 8}, -1),
        ({"device": FIRST, "n_gpu_layers": 0}, {-1: 8}, -1),
        ({"device": FIRST}, {-1: 0, FIRST: 8}, FIRST),
        ({"device": SECOND, "n_gpu_layers": 3}, {-1: 5, SECOND: 3}, SECOND),
        ({"device": FIRST, **shares(1, 1)}, {-1: 0, FIRST: 4, SECOND: 4}, FIRST),
        ({"device": FIRST, "main_gpu": 1, **shares(3, 1)}, {-1: 0, FIRST: 6, SECOND: 2}, SECOND),
        ({"device": FIRST, "main_gpu": 1, "n_gpu_layers": 4, **shares(3, 1)}, {-1: 4, FIRST: 3, SECOND: 1}, SECOND),
        ({"device": FIRST, **shares(0, 1, 1)}, {-1: 0, SECOND: 4, INTEGRATED: 4}, INTEGRATED),
        # Without a GPU there is nothing to split.
        ({"main_gpu": 9, **shares(1, 1, 1, 1)}, {-1: 8}, -1),
    ],
)
def test_layers_are_placed(
    library: Library, path: Path, options: dict[str, Any], where: dict[int, int], output: int
) -> None:
    assert layers(library.memory(path, **options)) == where
    with library.load(path, **options) as model:
        info = model.info()
        assert (info.n_layers_offloaded, info.device) == (N_LAYERS - where[-1], output)


def test_need_is_in_proportion_to_the_layers(library: Library, path: Path) -> None:
    host, gpu = library.memory(path, device=FIRST, n_gpu_layers=6, n_ctx=128)
    assert (host.weights, host.context, host.compute) == (2000, 256, 50)
    assert (gpu.weights, gpu.context, gpu.compute) == (6000, 768, 50)
    assert (gpu.memory_total, gpu.memory_free) == (9000, 8000)
    with library.load(path, device=FIRST, n_gpu_layers=6, n_ctx=128) as model:
        assert model.info().device_bytes == 6818


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"main_gpu": 3, **shares(1, 1)}, "main_gpu"),
        ({"main_gpu": -1}, "main_gpu"),
        (shares(1, 1, 1, 1), "tensor_split"),
        (shares(0, 0), "tensor_split"),
        (shares(1, -1), "tensor_split"),
        (shares(float("nan")), "tensor_split"),
    ],
)
def test_a_split_that_cannot_be_is_refused(library: Library, path: Path, options: dict[str, Any], named: str) -> None:
    for call in (library.load, library.memory):
        with pytest.raises(StatusError, match=named) as failure:
            call(path, device=FIRST, **options)
        assert failure.value.status == abi.ERROR_INVALID_ARGUMENT


def test_the_facade_asks_again_where_the_devices_are_many(library: Library, path: Path, mocker: Any) -> None:
    mocker.patch("gpt4all._native.device_memory._FEW_DEVICES", 1)
    backend = Backend(LoadedLibrary("kompute", library.path, bind(ctypes.CDLL(str(library.path)))))
    needs = backend.model_memory(path, load_options(n_ctx=128, tensor_split=(1, 1)), device=FIRST)
    assert [(need.device, need.n_layers) for need in needs] == [(None, 0), (FIRST, 4), (SECOND, 4)]
    assert needs[1].total == needs[1].weights + needs[1].context + needs[1].compute
    assert [device.type for device in backend.devices()] == ["cpu", "gpu", "gpu", "integrated"]
    backend.silence()
