"""Hyper-parameters that the engine would divide by, index with or never get done with are refused by the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt4all.errors import InvalidModelError
from gpt4all.gguf import engine_facts as engine
from gpt4all.gguf.preflight import preflight
from tests.support.gguf.samples import TENSORS
from tests.support.gguf.writer import write_gguf

DIVIDED = [(key, architecture) for key, users in engine.DIVISORS.items() for architecture in sorted(users)]


def model(path: Path, architecture: str, **numbers: Any) -> Path:
    own = {f"{architecture}.{key.replace('__', '.')}": value for key, value in numbers.items()}
    divisors = {f"{architecture}.{key}": 1 for key, users in engine.DIVISORS.items() if architecture in users}
    used = {}
    if architecture in engine.EXPERT_SIZE_DIVIDES:
        used = {f"{architecture}.expert_count": 2, f"{architecture}.expert_used_count": 1}
    width = {f"{architecture}.embedding_length": 64}
    metadata = {"general.architecture": architecture, **width, **divisors, **used, **own}
    return write_gguf(
        path / "model.gguf", {key: value for key, value in metadata.items() if value is not None}, TENSORS
    )


def refused(path: Path) -> str:
    with pytest.raises(InvalidModelError) as raised:
        preflight(path)
    return str(raised.value)


@pytest.mark.parametrize("architecture", sorted(engine.ARCHITECTURES - engine.COMPANION_ARCHITECTURES.keys()))
def test_sound_numbers_pass(tmp_path: Path, architecture: str) -> None:
    preflight(model(tmp_path, architecture))


@pytest.mark.parametrize(("key", "architecture"), DIVIDED)
def test_a_divisor_is_not_zero(tmp_path: Path, key: str, architecture: str) -> None:
    name = key.replace(".", "__")
    assert f"{architecture}.{key} is 0 " in refused(model(tmp_path, architecture, **{name: 0}))
    assert f"{architecture}.{key} is (0, 2) " in refused(model(tmp_path, architecture, **{name: [0, 2]}))
    missing = model(tmp_path, architecture, **{name: None})
    if key in engine.DEFAULTED_DIVISORS:
        preflight(missing)
    else:
        assert f"{architecture}.{key} is None " in refused(missing)


def test_a_number_that_others_divide_by_may_be_zero(tmp_path: Path) -> None:
    preflight(model(tmp_path, "plamo2", ssm__group_count=0))
    preflight(model(tmp_path, "mamba", attention__head_count=0))


@pytest.mark.parametrize("architecture", sorted(engine.EXPERT_SIZE_DIVIDES))
def test_experts_of_unknown_size(tmp_path: Path, architecture: str) -> None:
    none: dict[str, Any] = {"expert_count": None, "expert_used_count": None}
    assert f"{architecture}.expert_used_count is None" in refused(model(tmp_path, architecture, **none))
    assert "expert_used_count is None" in refused(model(tmp_path, architecture, **none, expert_feed_forward_length=0))
    assert "(2, 0)" in refused(model(tmp_path, architecture, expert_used_count=[2, 0]))
    preflight(model(tmp_path, architecture, expert_used_count=[2, 0], expert_feed_forward_length=32))


def test_rwkv_heads_are_no_wider_than_the_model(tmp_path: Path) -> None:
    preflight(model(tmp_path, "rwkv7", wkv__head_size=64))
    assert "rwkv7.wkv.head_size is 65 and must be at most 64" in refused(model(tmp_path, "rwkv7", wkv__head_size=65))


def test_rounds_are_bounded(tmp_path: Path) -> None:
    key = "hyper_connection__sinkhorn_iterations"
    preflight(model(tmp_path, "glm5-next", **{key: 20}))
    assert "must be at most 1000" in refused(model(tmp_path, "glm5-next", **{key: (1 << 31) - 1}))


@pytest.mark.parametrize("value", [-1.0, -1e-6, float("nan")])
@pytest.mark.parametrize("key", ["attention.layer_norm_rms_epsilon", "attention.group_norm_epsilon"])
def test_epsilons(tmp_path: Path, key: str, value: float) -> None:
    name = key.replace(".", "__")
    shown = refused(model(tmp_path, "llama", **{name: value}))
    assert f"llama.{key} is " in shown
    assert "must be 0 or more" in shown
    preflight(model(tmp_path, "llama", **{name: 0.0}))


def test_pooling(tmp_path: Path) -> None:
    preflight(model(tmp_path, "bert", pooling_type=0xFFFFFFFF))
    assert "bert.pooling_type is 0" in refused(model(tmp_path, "bert", pooling_type=0))
    assert "bert.pooling_type is 7" in refused(model(tmp_path, "bert", pooling_type=7))
    preflight(model(tmp_path, "qwen3", pooling_type=0))
