"""The parts of ``scripts/robustness`` that decide something, and the corpora."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from robustness import mutate, soak
from robustness.corpora import CORPUS, TARGETS, corpus_files

from gpt4all import gguf
from tests.support.gguf.writer import write_gguf

MIB = 1 << 20


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        ([30 * MIB] * 100, True),
        ([10 * MIB] * 50 + [40 * MIB] * 50, True),  # grew at first, then not
        ([30 * MIB + 100 * n for n in range(100)], True),
        ([30 * MIB + 10_000 * n for n in range(100)], False),  # 1.6 % over the second half
        ([30 * MIB] * 75 + [31 * MIB] * 25, False),
    ],
)
def test_growth_over_the_second_half_counts(samples: list[int], flat: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.judge("samples", samples) == flat
    assert ("MORE THAN" in capsys.readouterr().out) != flat


def test_mutated_files_come_from_sound_ones(tmp_path: Path) -> None:
    for number, (metadata, tensors) in enumerate(mutate.seeds()):
        gguf.preflight(write_gguf(tmp_path / f"{number}.gguf", metadata, tensors))


def test_a_seed_gives_the_same_files() -> None:
    model = mutate.seeds()[1]
    first, again = (
        [mutate.mutated(chance, model) for _ in range(30)] for chance in (random.Random(1), random.Random(1))
    )
    assert first == again
    assert len(set(first)) > 20


@pytest.mark.parametrize("target", TARGETS)
def test_corpora_are_there_and_small(target: str) -> None:
    files = corpus_files(target)
    assert len(files) > 10
    assert sum(path.stat().st_size for path in files) < 200_000
    assert (CORPUS.parents[1] / "backends" / "fuzz" / f"fuzz_{target}.cpp").is_file()
