"""Devices by name on the real kompute backend; on Mesa's llvmpipe where there is no GPU, which is allowed here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpt4all import DeviceError, GPT4All, InsufficientMemoryError
from gpt4all._native.device_memory import Device
from gpt4all.devices import probe
from gpt4all.devices.gpu import Gpu
from gpt4all.devices.probe import SOFTWARE_VARIABLE
from gpt4all.devices.selection import best_first

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def best(gpu: Device) -> Iterator[Gpu]:
    """The GPU that ``device="gpu"`` takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_answers", {})
        yield best_first(probe.probe("kompute").usable)[0]


@pytest.fixture(scope="module")
def tiny_model(model_file: Callable[[str], Path]) -> Path:
    return model_file("tiny-llama")


def test_everything_is_known_about_it(best: Gpu) -> None:
    assert best.index is not None
    assert best.vendor
    assert best.type in ("discrete", "integrated", "virtual", "software")
    assert best.driver
    assert best.api_version.startswith("Vulkan 1.")
    assert 0 < best.memory_free <= best.memory_total
    assert best.full_name in GPT4All.list_gpus()


@pytest.mark.parametrize("how", ["gpu", "kompute", "vulkan", "index", "name", "full name", "auto"])
def test_every_way_to_ask_for_it(best: Gpu, tiny_model: Path, how: str) -> None:
    request = {"index": f"kompute:{best.index}", "name": best.name, "full name": best.full_name}.get(how, how)
    with GPT4All(tiny_model, device=request, n_ctx=64) as model:
        if how == "auto" and model.backend == "cuda":
            pytest.skip("there is a better backend")
        assert (model.backend, model.device) == ("kompute", best.name)
        assert model._loaded.info.n_layers_offloaded == model._loaded.info.n_layer + 1
        assert model._loaded.info.device_bytes > 0
        assert (model.fallback_reason is None) == (how != "auto")
        assert model.generate("Hello", max_tokens=3) is not None
        assert model.last_generation is not None
        assert model.last_generation.completion_tokens > 0


def test_too_little_memory_is_found_before_anything_is_allocated(best: Gpu, model_file: Callable[[str], Path]) -> None:
    with pytest.raises(InsufficientMemoryError) as caught:
        # Some 22 KiB of context a token.
        GPT4All(model_file("smollm2"), device="gpu", n_ctx=best.memory_total // 20_000)
    error = caught.value
    assert best.full_name in str(error)
    assert error.required is not None
    assert error.free is not None
    assert error.required > error.free > 0
    assert error.max_ngl is not None
    assert error.max_n_ctx is not None
    assert 0 < error.max_n_ctx < best.memory_total // 20_000


def test_a_context_that_cannot_even_be_measured(best: Gpu, model_file: Callable[[str], Path]) -> None:
    """The engine makes no tensor that is larger than the largest buffer a shader may see."""
    if best.type != "software":
        pytest.skip(f"how large that is on {best.name} is not known; it is 128 MiB on llvmpipe")
    with pytest.raises(InsufficientMemoryError, match="cannot hold it") as caught:
        # 384 MiB for a layer's keys.
        GPT4All(model_file("smollm2"), device="gpu", n_ctx=2**20)
    assert caught.value.max_n_ctx is not None
    assert 1024 < caught.value.max_n_ctx < 2**20


def test_a_software_device_is_not_used_unless_allowed(best: Gpu, tiny_model: Path) -> None:
    """In a process of its own, since a loaded library has looked once and for all."""
    if best.type != "software":
        pytest.skip(f"{best.name} is a GPU")
    program = """
import sys
from gpt4all import DeviceError, GPT4All
print(GPT4All.list_gpus())
try:
    GPT4All(sys.argv[1], device="gpu")
except DeviceError as error:
    print(error)
with GPT4All(sys.argv[1], device="auto") as model:
    print(model.backend)
"""
    environment = {name: value for name, value in os.environ.items() if name != SOFTWARE_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_model)], env=environment, capture_output=True, text=True, check=True
    )
    first, *between, last = done.stdout.splitlines()
    assert (first, last) == ("[]", "cpu")
    assert f"{SOFTWARE_VARIABLE}=1" in "\n".join(between)
    assert best.full_name in "\n".join(between)


def test_another_name(best: Gpu, tiny_model: Path) -> None:
    with pytest.raises(DeviceError, match="none of this name") as caught:
        GPT4All(tiny_model, device="no such GPU")
    assert best.full_name in str(caught.value)
