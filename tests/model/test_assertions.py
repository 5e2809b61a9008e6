"""What ggml would abort on: whichever of its threads meets it, the call fails and everything goes on."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from testmodels.greedy import greedy

from gpt4all._native.backend import NativeModel, load_backend
from gpt4all.errors import GenerationError

pytestmark = pytest.mark.model

ModelFile = Callable[[str], Path]


@pytest.fixture
def negative_epsilon(model_file: ModelFile, tmp_path: Path) -> Path:
    """A model that loads, and meets an assertion in each computation, on whichever thread norms a row."""
    key = b"llama.attention.layer_norm_rms_epsilon" + struct.pack("<I", 6)
    content = bytearray(model_file("tiny-llama").read_bytes())
    place = content.index(key) + len(key)
    content[place : place + 4] = struct.pack("<f", -1.0)
    path = tmp_path / "epsilon.gguf"
    path.write_bytes(content)
    return path


def load(path: Path, n_threads: int) -> NativeModel:
    # Below the package's own look at the header, which refuses such a file.
    return load_backend("cpu").load_model(path, n_ctx=64, n_threads=n_threads)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_a_computation_fails_and_the_model_goes_on(negative_epsilon: Path, n_threads: int) -> None:
    model = load(negative_epsilon, n_threads)
    before = threading_tasks()
    for _ in range(20):
        with pytest.raises(GenerationError, match=r"eps >= 0"):
            greedy(model, "Hello")
    assert threading_tasks() == before
    assert model.tokenize("Hello", add_special=True, parse_special=False)
    model.close()


def test_other_models_are_not_touched(negative_epsilon: Path, model_file: ModelFile) -> None:
    sound, damaged = load(model_file("tiny-llama"), 2), load(negative_epsilon, 2)
    expected, _ = greedy(sound, "Hello")
    failures: list[Exception] = []

    def fail() -> None:
        for _ in range(20):
            try:
                greedy(damaged, "Hello")
            except GenerationError as error:
                failures.append(error)

    thread = threading.Thread(target=fail)
    thread.start()
    texts = [greedy(sound, "Hello")[0] for _ in range(20)]
    thread.join()
    assert texts == [expected] * 20
    assert len(failures) == 20
    damaged.close()
    sound.close()


def threading_tasks() -> int:
    """Threads of this process, ggml's among them."""
    return len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 0
