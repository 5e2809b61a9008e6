"""The largest of a vocabulary's logits, beside Python's sort, around the sizes in which they are gone through."""

from __future__ import annotations

import math
import random
import struct
import subprocess
from collections.abc import Callable, Sequence

import pytest

from tests.support.fake.backend import build_top_logits, find_compiler

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler")

Find = Callable[[Sequence[float], int], tuple[int, list[int]]]


@pytest.fixture(scope="module")
def find(tmp_path_factory: pytest.TempPathFactory) -> Find:
    """``find(logits, most)``: the place of the largest, and those of the ``most`` largest."""
    program = build_top_logits(tmp_path_factory.mktemp("logits") / "top_logits")

    def run(logits: Sequence[float], most: int) -> tuple[int, list[int]]:
        data = struct.pack(f"{len(logits)}f", *logits)
        done = subprocess.run([str(program), str(most)], input=data, capture_output=True, check=True)
        first, *top = map(int, done.stdout.split())
        return first, top

    return run


def ordered(logits: Sequence[float]) -> list[int]:
    return sorted(range(len(logits)), key=lambda place: (-logits[place], place))


@pytest.mark.parametrize("n", [1, 31, 32, 33, 63, 64, 65, 2047, 2048, 2049, 4096, 6001])
@pytest.mark.parametrize("values", [3, 1000, 10**6])
def test_the_largest_are_found(find: Find, n: int, values: int) -> None:
    randoms = random.Random(n * values)
    logits = [float(randoms.randrange(-values, values)) for _ in range(n)]
    expected = ordered(logits)
    assert find(logits, 40) == (expected[0], expected[:40])


@pytest.mark.parametrize("place", [0, 31, 32, 2047, 2048, 5000])
def test_one_above_all_others(find: Find, place: int) -> None:
    logits = [-1e30] * 5001
    logits[place] = -1e29
    assert find(logits, 1) == (place, [place])


def test_numbers_among_what_is_none(find: Find) -> None:
    logits = [math.nan] * 2048 + [-math.inf] * 2048 + [-3.0, -2.0, math.nan, -2.0]
    assert find(logits, 4) == (4097, [4097, 4099, 4096, 2048])


@pytest.mark.parametrize("logits", [[math.nan] * 3000, [-math.inf] * 3000, [0.0] * 2999 + [math.inf], []])
def test_nothing_to_choose(find: Find, logits: list[float]) -> None:
    assert find(logits, 1)[0] == -1
