"""Layers really are on the device, compute there what the CPU computes, and take the memory that was foretold."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from testmodels.greedy import distance, greedy, logits_after

from gpt4all._native.backend import Backend, NativeModel
from gpt4all._native.device_memory import Device
from tests.gpu.engine import Load
from tests.support.load_options import load_options

pytestmark = [pytest.mark.gpu, pytest.mark.model]

PROMPT = "Once upon a time there was a model that looked twice."
TINY_LAYERS = 3  # 2 and the output

#: Largest difference of two logits of the same position, computed on the CPU
#: and on the device, whose kernels add up in another order and partly in half
#: precision. Logits have a standard deviation of 6 (tiny models) and 3 (SmolLM2);
#: the largest differences seen on llvmpipe were half of these.
TOLERANCE = {"tiny-llama": 0.1, "tiny-gemma3": 0.1, "tiny-mamba": 0.1, "tiny-jamba": 0.1, "smollm2": 1.2}


@pytest.fixture
def on_cpu(cpu: Backend, model_file: Callable[[str], Path]) -> Callable[[str], NativeModel]:
    return lambda name: cpu.load_model(model_file(name), load_options(n_ctx=256, n_threads=2))


@pytest.mark.parametrize(("ngl", "offloaded"), [(0, 0), (1, 1), (2, 2), (3, 3), (100, 3)])
def test_as_many_layers_as_asked_for(gpu: Device, load: Load, ngl: int, offloaded: int) -> None:
    info = load(n_gpu_layers=ngl).info
    assert info.n_layers_offloaded == offloaded
    assert info.device == (gpu.index if offloaded else None)
    assert (info.device_bytes > 0) == (offloaded > 0)


def test_without_a_device_the_gpu_is_left_alone(load: Load) -> None:
    info = load(device=-1).info
    assert (info.n_layers_offloaded, info.device, info.device_bytes) == (0, None, 0)


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gemma3", "tiny-mamba", "tiny-jamba"])
@pytest.mark.parametrize("ngl", [1, 100])
def test_logits_are_those_of_the_cpu(on_cpu: Callable[[str], NativeModel], load: Load, name: str, ngl: int) -> None:
    reference = on_cpu(name)
    expected = logits_after(reference, PROMPT)
    reference.close()
    assert distance(expected, logits_after(load(name, n_gpu_layers=ngl), PROMPT)) < TOLERANCE[name]


@pytest.mark.slow
def test_logits_of_real_weights(on_cpu: Callable[[str], NativeModel], load: Load) -> None:
    reference = on_cpu("smollm2")
    model = load("smollm2", n_ctx=128, n_batch=64)
    assert model.info.n_layers_offloaded == 31
    prompt = "The capital of France is"
    assert distance(logits_after(reference, prompt), logits_after(model, prompt)) < TOLERANCE["smollm2"]
    expected, _ = greedy(reference, prompt, 3)
    reference.close()
    assert greedy(model, prompt, 3)[0] == expected


@pytest.mark.parametrize("ngl", [0, 2, 100])
@pytest.mark.parametrize("n_ctx", [64, 1024])
def test_the_memory_is_what_was_foretold(
    kompute: Backend, gpu: Device, model_file: Callable[[str], Path], load: Load, ngl: int, n_ctx: int
) -> None:
    needs = kompute.model_memory(
        model_file("tiny-llama"), load_options(n_ctx=n_ctx, n_gpu_layers=ngl), device=gpu.index
    )
    assert [need.device for need in needs] == ([None, gpu.index] if ngl else [None])
    assert sum(need.n_layers for need in needs) == TINY_LAYERS
    on_device = sum(need.total for need in needs[1:])
    assert on_device == load(n_ctx=n_ctx, n_gpu_layers=ngl).info.device_bytes


def test_need_grows_with_layers_and_context(kompute: Backend, gpu: Device, model_file: Callable[[str], Path]) -> None:
    def need(ngl: int, n_ctx: int) -> tuple[int, int]:
        host, device = kompute.model_memory(
            model_file("smollm2"), load_options(n_ctx=n_ctx, n_gpu_layers=ngl), device=gpu.index
        )
        assert host.memory_total > 0
        assert device.memory_total > 0
        assert device.n_layers == ngl
        return device.weights, device.context

    (few, some, most), contexts = zip(*(need(ngl, 512) for ngl in (5, 10, 15)), strict=True)
    # The first of them is the output, which is larger and has no cache.
    assert most - some == pytest.approx(some - few, rel=0.1)
    assert contexts[0] // 4 == contexts[1] // 9 == contexts[2] // 14
    assert need(10, 1024) == (some, 2 * contexts[1])


def test_a_context_too_long_to_be_made_is_reckoned(
    kompute: Backend, gpu: Device, model_file: Callable[[str], Path]
) -> None:
    def context(n_ctx: int) -> int:
        needs = kompute.model_memory(model_file("tiny-llama"), load_options(n_ctx=n_ctx), device=gpu.index)
        return needs[1].context

    assert context(2**30) == 2**10 * context(2**20) == 2**20 * context(2**10)


def test_two_models_at_once(load: Load) -> None:
    expected = greedy(load(), PROMPT, 24)[0]
    found: dict[int, list[int]] = {}

    def work(number: int, model: NativeModel) -> None:
        found[number] = greedy(model, PROMPT, 24)[0]

    models = [load(), load(n_gpu_layers=1), load(device=-1)]
    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(models)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(len(models)), expected)


def test_models_are_loaded_side_by_side(load: Load) -> None:
    models: list[NativeModel] = []
    threads = [threading.Thread(target=lambda: models.append(load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [model.info.n_layers_offloaded for model in models] == [TINY_LAYERS] * 4


def test_a_prefix_is_reused_on_the_device(load: Load) -> None:
    model = load()
    first, _ = greedy(model, PROMPT, 12)
    again, outcome = greedy(model, PROMPT, 12, reuse=True)
    assert outcome.cached_tokens == outcome.prompt_tokens - 1
    assert again == first


def test_a_prompts_seconds_are_those_of_its_computation(load: Load) -> None:
    """A driver only takes note of a batch, and computes while the caller goes on."""
    prompt = [token % 200 + 10 for token in range(200)]
    _, outcome = greedy(load(), prompt, 1)
    # One token more is chosen, not computed.
    assert outcome.prompt_seconds > outcome.completion_seconds


@pytest.mark.parametrize("kv_type", ["f16", "f32", "q8_0"])
def test_kv_cache_types(load: Load, kv_type: str) -> None:
    # Rows of a quantised cache are multiples of 32, which the tiny models' heads are not.
    model = load("smollm2", n_ctx=64, n_batch=32, n_gpu_layers=1, kv_type=kv_type)
    assert greedy(model, "The", 1)[1].completion_tokens == 1
