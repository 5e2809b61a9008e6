"""Embeddings on the device point where those of the CPU do, and are computed by layers that really are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gpt4all import CancellationError, Embed4All
from gpt4all._native.device_memory import Device
from gpt4all.devices import probe

pytestmark = [pytest.mark.gpu, pytest.mark.model]

TEXTS = [
    "A llama is an animal.",
    "The capital of France is Paris.",
    "Lamas sind Tiere, die in den Anden leben.",
    "x",
    "one two three four five " * 20,
]
KINDS = ("tiny-bert", "tiny-bert-cls", "tiny-nomic-bert", "tiny-qwen3-embedding", "tiny-gemma-embedding")


@pytest.fixture(autouse=True)
def _asked_afresh(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether software devices are allowed was perhaps another when other tests asked."""
    monkeypatch.setattr(probe, "_answers", {})


@pytest.fixture(scope="module")
def embed_on_cpu(model_file: Callable[[str], Path]) -> Iterator[Callable[..., list[list[float]]]]:
    """``embed_on_cpu(name, prefix=None)``: vectors of ``TEXTS``."""
    made: dict[str, Embed4All] = {}

    def embed(name: str, prefix: str | None = None) -> list[list[float]]:
        if name not in made:
            made[name] = Embed4All(model_file(name), device="cpu", n_threads=1)
        return made[name].embed(TEXTS, prefix=prefix)

    yield embed
    for embedder in made.values():
        embedder.close()


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def check_vectors(found: list[list[float]], expected: list[list[float]]) -> None:
    assert [dot(vector, vector) for vector in found] == pytest.approx([1.0] * len(expected), abs=1e-5)
    assert min(dot(*pair) for pair in zip(found, expected, strict=True)) >= 0.9999
    # The bar is no empty one: different texts are farther apart.
    assert dot(expected[0], expected[1]) < 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("ngl", [100, 3])
def test_real_weights(
    embed_on_cpu: Callable[..., list[list[float]]], gpu: Device, model_file: Callable[[str], Path], ngl: int
) -> None:
    expected = embed_on_cpu("minilm")
    with Embed4All(model_file("minilm"), device="kompute", ngl=ngl, n_threads=1) as embedder:
        assert embedder.gpt4all.backend == "kompute"
        info = embedder.gpt4all._loaded.info
        # 6, and what comes after them.
        assert info.n_layers_offloaded == min(ngl, 7)
        assert info.device == gpu.index
        assert info.device_bytes > 0
        check_vectors(embedder.embed(TEXTS), expected)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model(
    embed_on_cpu: Callable[..., list[list[float]]], gpu: Device, model_file: Callable[[str], Path], name: str
) -> None:
    prefix = None if name == "tiny-nomic-bert" else ""
    expected = embed_on_cpu(name, prefix)
    with Embed4All(model_file(name), device="kompute", n_threads=1) as embedder:
        info = embedder.gpt4all._loaded.info
        assert info.n_layers_offloaded == info.n_layer + 1
        check_vectors(embedder.embed(TEXTS, prefix=prefix), expected)


def test_stopping_between_batches(model_file: Callable[[str], Path]) -> None:
    asked: list[tuple[list[int], str]] = []

    def cancel(sizes: list[int], backend: str) -> bool:
        asked.append((sizes, backend))
        return len(asked) == 2

    with Embed4All(model_file("tiny-bert"), device="kompute", n_threads=1) as embedder:
        with pytest.raises(CancellationError):
            embedder.embed(["the red one is"] * 2000, prefix="", cancel_cb=cancel)
        assert {backend for _, backend in asked} == {"kompute"}
        assert len(asked) == 2
        # Usable again.
        assert len(embedder.embed("the red one", prefix="")) == 64
