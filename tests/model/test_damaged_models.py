"""Files that look sound and are not: an error of the load, whatever is wrong, and never the end of the program."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robustness.model_mutants import Model, read_model

from gpt4all import GPT4All
from gpt4all.errors import InvalidModelError
from tests.support.fake.backend import ROOT
from tests.support.gguf.writer import STRING, TYPE_IDS, U32, Tensor, Typed

pytestmark = pytest.mark.model

_PROGRAM = """
import sys
from gpt4all import GPT4All, errors
try:
    GPT4All(sys.argv[1], n_ctx=64, n_threads=1)
except errors.ModelLoadError as error:
    print(type(error).__name__, error)
"""


def refusal(path: Path) -> str:
    """The error of a load in a process of its own, which it may end."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(path: Path, model: Model) -> Path:
    path.write_bytes(model.file())
    return path


def with_value(model: Model, key: str, value: Any) -> Model:
    return replace(model, metadata={**model.metadata, key: value})


def with_tensors(model: Model, change: Callable[[Tensor], Tensor | None]) -> Model:
    return replace(model, tensors=[changed for tensor in model.tensors if (changed := change(tensor))])


def as_phi3(model: Model) -> Model:
    """A Llama's tensors under a name whose loader takes the queries, keys and values for optional."""
    metadata = {key.replace("llama.", "phi3."): value for key, value in model.metadata.items()}
    metadata["general.architecture"] = Typed(STRING, "phi3")

    def change(tensor: Tensor) -> Tensor | None:
        if ".ffn_up." in str(tensor.name):
            return Tensor(tensor.name, [tensor.shape[0], 2 * tensor.shape[1]])
        left_out = (".attn_q.", ".attn_k.", ".attn_v.", ".ffn_gate.")
        return None if any(part in str(tensor.name) for part in left_out) else tensor

    return with_tensors(replace(model, metadata=metadata), change)


@pytest.mark.parametrize("half", ["enc", "dec"])
def test_a_tensor_that_t5_falls_back_to_is_missing(
    model_file: Callable[[str], Path], tmp_path: Path, half: str
) -> None:
    model = read_model(model_file("tiny-t5"))
    lacking = with_tensors(model, lambda tensor: None if f"{half}.blk.0.attn_rel_b." in str(tensor.name) else tensor)
    assert f"{half}.blk.0.attn_rel_b.weight" in refusal(write(tmp_path / "t5.gguf", lacking))


def test_tensors_that_the_graph_needs_are_missing(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    found = refusal(write(tmp_path / "phi3.gguf", as_phi3(read_model(model_file("tiny-llama")))))
    assert found.startswith("InvalidModelError")
    assert "lacks a tensor that its graph needs" in found


@pytest.mark.parametrize("key", ["rope.dimension_count", "rope.dimension_count_swa"])
@pytest.mark.parametrize("dimensions", [0, 7, 1000])
def test_rotated_dimensions(model_file: Callable[[str], Path], tmp_path: Path, key: str, dimensions: int) -> None:
    model = with_value(read_model(model_file("tiny-gemma3")), f"gemma3.{key}", Typed(U32, dimensions))
    assert refusal(write(tmp_path / "gemma3.gguf", model)).startswith("InvalidModelError")


def test_a_vocabulary_of_another_kind(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Its tokens are no RWKV tokens; tokenising ends all the same."""
    model = with_value(read_model(model_file("tiny-llama")), "tokenizer.ggml.model", Typed(STRING, "rwkv"))
    with GPT4All(write(tmp_path / "rwkv.gguf", model), n_ctx=64, n_threads=1) as loaded:
        assert 1 <= len(loaded.tokenize("w\u00f6rld")) <= len("w\u00f6rld".encode())


@pytest.mark.parametrize("type_name", ["Q8_0", "I8"])
def test_a_norm_of_a_type_that_nothing_multiplies(
    model_file: Callable[[str], Path], tmp_path: Path, type_name: str
) -> None:
    def change(tensor: Tensor) -> Tensor:
        is_norm = str(tensor.name) == "output_norm.weight"
        return Tensor(tensor.name, tensor.shape, TYPE_IDS[type_name]) if is_norm else tensor

    model = with_tensors(read_model(model_file("tiny-llama")), change)
    assert refusal(write(tmp_path / "llama.gguf", model)).startswith("InvalidModelError")


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-mamba", "tiny-bert"])
def test_half_precision_converts_exactly(model_file: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    """Norms, biases and the like in F16 give what the same numbers in F32 give."""

    def halves(tensor: Tensor) -> Any:
        return np.frombuffer(tensor.payload(), dtype="<f4").astype("<f2")

    def convert(tensor: Tensor) -> Tensor:
        return replace(tensor, type_id=TYPE_IDS["F16"], data=halves(tensor).tobytes()) if flat(tensor) else tensor

    def round_only(tensor: Tensor) -> Tensor:
        return replace(tensor, data=halves(tensor).astype("<f4").tobytes()) if flat(tensor) else tensor

    def flat(tensor: Tensor) -> bool:
        return tensor.type_id == TYPE_IDS["F32"] and (len(tensor.shape) == 1 or str(tensor.name).endswith("ssm_a"))

    model = read_model(model_file(name))
    results: list[Any] = []
    for number, change in enumerate((convert, round_only)):
        path = write(tmp_path / f"{number}.gguf", with_tensors(model, change))
        with GPT4All(path, n_ctx=64, n_threads=1) as loaded:
            if loaded._loaded.info.can_generate:
                results.append(loaded.generate("Hello", max_tokens=8, temp=0))
            else:
                tokens = array("i", loaded._loaded.tokenize("Hello", add_special=True))
                results.append(loaded._loaded.embed(tokens, array("i", [len(tokens)]), normalize=True))
    assert results[0] == results[1]


def test_a_file_that_is_cut_short_in_use(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    content = model_file("tiny-llama").read_bytes()
    path = tmp_path / "llama.gguf"
    path.write_bytes(content)
    with GPT4All(path, n_ctx=64, n_threads=1) as mapped:
        text = mapped.generate("Hello", max_tokens=4, temp=0)
        path.unlink()  # mapped as it was
        assert mapped.generate("Hello", max_tokens=4, temp=0) == text
    path.write_bytes(content)
    with GPT4All(path, n_ctx=64, n_threads=1) as mapped, GPT4All(path, n_ctx=64, n_threads=1, use_mmap=False) as read:
        os.truncate(path, 4096)
        with pytest.raises(InvalidModelError, match="shorter while it was in use"):
            mapped.generate("Hello", max_tokens=4)
        assert read.generate("Hello", max_tokens=4, temp=0) == text


def test_a_file_that_is_cut_short_while_it_is_loaded(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "llama.gguf"
    path.write_bytes(model_file("tiny-llama").read_bytes())

    def cut(_: float) -> bool:
        os.truncate(path, 4096)
        return True

    with pytest.raises(InvalidModelError, match="shorter while it was in use"):
        GPT4All(path, n_ctx=64, n_threads=1, progress=cut)


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gemma3", "tiny-jamba", "tiny-t5", "tiny-bert"])
def test_a_sample_of_broken_models(model_file: Callable[[str], Path], name: str) -> None:
    """What scripts/dev fuzz models does with all of them: no copy ends or hangs the process that uses it."""
    command = [sys.executable, "-m", "robustness.model_trials", "--every", "150", "--rounds", "300"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "scripts")))}
    done = subprocess.run(
        [*command, model_file(name)], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "used" in done.stdout or "refused" in done.stdout
