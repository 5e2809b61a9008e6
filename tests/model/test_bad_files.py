"""Files that are no usable model: each its own error that says what to do, and the process lives on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4all import (
    CancellationError,
    GPT4All,
    InvalidModelError,
    ModelLoadError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from tests.support.failed_loads import fifty_failed_loads
from tests.support.gguf.writer import Tensor, write_gguf

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def _a_sound_model_still_answers(tiny: Callable[..., GPT4All]) -> object:
    yield
    assert tiny().generate("Hello", max_tokens=3, temp=0)


def load(path: Path) -> None:
    GPT4All(path, n_ctx=64, allow_download=False).close()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"nothing-here\.gguf"):
        load(tmp_path / "nothing-here.gguf")


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").mkdir()
    with pytest.raises((ModelLoadError, ModelNotFoundError), match=r"model\.gguf"):
        load(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"tjgg\x03\x00\x00\x00" + bytes(64), "GGML"),
        (b"GGUF\x63\x00\x00\x00" + bytes(64), "99"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 64, "tensors"),
        (os.urandom(4096), "GGUF"),
    ],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=words):
        load(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_truncated_model(tmp_path: Path, model_file: Callable[[str], Path], share: float) -> None:
    data = model_file("tiny-llama").read_bytes()
    path = tmp_path / "model.gguf"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidModelError, match="truncated|cut|incomplete|ends"):
        load(path)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, {"general.architecture": "nosuchthing"}, [Tensor("output.weight", (32,))])
    with pytest.raises(UnsupportedModelError, match="nosuchthing"):
        load(path)


def write_what_only_the_engine_refuses(directory: Path) -> Path:
    path = directory / "model.gguf"
    write_gguf(
        path,
        {"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 64},
        [Tensor("output.weight", (32,))],
    )
    return path


def test_what_only_the_engine_can_find_wrong(tmp_path: Path) -> None:
    path = write_what_only_the_engine_refuses(tmp_path)
    with pytest.raises(ModelLoadError, match="llama"):
        load(path)


def test_no_permission_to_read(tmp_path: Path, model_file: Callable[[str], Path]) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(model_file("tiny-llama"), path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ModelLoadError, match="permission"):
        load(path)


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-nomic-bert"])
@pytest.mark.parametrize("streaming", [False, True])
def test_an_embedding_model_loads_and_does_not_generate(
    tiny: Callable[..., GPT4All], name: str, streaming: bool
) -> None:
    model = tiny(name)
    with pytest.raises(UnsupportedModelError, match="embedding model"):
        list(model.generate("Hello", streaming=streaming))


def test_a_path_with_a_difficult_name(tmp_path: Path, model_file: Callable[[str], Path]) -> None:
    directory = tmp_path / "模型 🦙 %s"
    directory.mkdir()
    shutil.copy(model_file("tiny-llama"), directory / "ламa 'x'.gguf")
    with GPT4All("ламa 'x'", model_path=directory, n_ctx=64, allow_download=False) as model:
        assert model.config["filename"] == "ламa 'x'.gguf"
        assert model.generate("Hello", max_tokens=3)


def test_a_failed_load_leaves_no_thread_and_no_file_open(tmp_path: Path) -> None:
    path = write_what_only_the_engine_refuses(tmp_path)
    with pytest.raises(ModelLoadError):
        load(path)

    def counts() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    files, threads = counts()
    for _ in range(20):
        with pytest.raises(ModelLoadError):
            load(path)
    files_after, threads_after = counts()
    # One thread more may be about to end; a leak would be twenty.
    assert files_after <= files + 1
    assert threads_after <= threads + 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("error", [ModelLoadError, CancellationError])
def test_fifty_failed_loads_leave_nothing(
    tmp_path: Path, model_file: Callable[[str], Path], error: type[Exception]
) -> None:
    """The engine's refusal of a file, and a load that is stopped when half of the weights are there."""
    good = model_file("tiny-llama")
    path = write_what_only_the_engine_refuses(tmp_path) if error is ModelLoadError else good
    growth, threads = fifty_failed_loads(path, error=error, good=good)
    assert growth < 1_000_000
    # Those of the last load may be about to end; a leak would be fifty.
    assert threads < 10
