"""What ggml would abort on: whichever of its threads meets it, the call fails and everything goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from robustness.model_mutants import read_model
from testmodels.greedy import greedy

from gpt4all._native.backend import NativeModel, load_backend
from gpt4all.errors import GenerationError
from tests.support.fake.helpers import Task
from tests.support.gguf.writer import F32, STRING, U32, Tensor, Typed
from tests.support.load_options import load_options

pytestmark = pytest.mark.model

ModelFile = Callable[[str], Path]

#: Positions that the model below has a vector for.
N_POSITIONS = 8

SHORT, LONG = [5] * N_POSITIONS, [5] * (3 * N_POSITIONS)


@pytest.fixture
def few_positions(model_file: ModelFile, tmp_path: Path) -> Path:
    """A model that meets an assertion for each token past its last position, which the last threads look up."""
    model = read_model(model_file("tiny-llama"))
    metadata = {key.replace("llama.", "mpt."): value for key, value in model.metadata.items()}
    metadata |= {
        "general.architecture": Typed(STRING, "mpt"),
        "mpt.context_length": Typed(U32, N_POSITIONS),
        "mpt.attention.layer_norm_epsilon": Typed(F32, 1e-5),
    }
    tensors = [Tensor(tensor.name, tensor.shape) for tensor in model.tensors if "attn_" not in str(tensor.name)]
    tensors.append(Tensor("position_embd.weight", [64, N_POSITIONS]))
    for layer in range(2):
        tensors.append(Tensor(f"blk.{layer}.attn_norm.weight", [64]))
        tensors.append(Tensor(f"blk.{layer}.attn_qkv.weight", [64, 128]))
        tensors.append(Tensor(f"blk.{layer}.attn_output.weight", [64, 64]))
    kept = [tensor for tensor in tensors if ".ffn_gate." not in str(tensor.name)]
    path = tmp_path / "positions.gguf"
    path.write_bytes(replace(model, metadata=metadata, tensors=kept).file())
    return path


def load(path: Path, n_threads: int) -> NativeModel:
    return load_backend("cpu").load_model(path, load_options(n_ctx=64, n_threads=n_threads))


def fail(model: NativeModel) -> None:
    with pytest.raises(GenerationError, match="i01 < ne01"):
        greedy(model, LONG)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_a_computation_fails_and_the_model_goes_on(few_positions: Path, n_threads: int) -> None:
    model = load(few_positions, n_threads)
    expected, _ = greedy(model, SHORT, max_tokens=1)
    before = threading_tasks()
    for _ in range(20):
        fail(model)
        assert greedy(model, SHORT, max_tokens=1)[0] == expected
    assert threading_tasks() == before
    model.close()


def test_other_models_are_not_touched(few_positions: Path, model_file: ModelFile) -> None:
    sound, failing = load(model_file("tiny-llama"), 2), load(few_positions, 2)
    expected, _ = greedy(sound, "Hello")

    def fail_often() -> None:
        for _ in range(20):
            fail(failing)

    thread = Task(fail_often)
    texts = [greedy(sound, "Hello")[0] for _ in range(20)]
    thread.result()
    assert texts == [expected] * 20
    failing.close()
    sound.close()


def threading_tasks() -> int:
    """Threads of this process, ggml's among them."""
    return len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 0
