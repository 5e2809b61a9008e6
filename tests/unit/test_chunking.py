"""Long texts in chunks, and what stands around each."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gpt4all.embeddings.texts import ATLAS_MAX_TOKENS, CHUNK_OVERLAP, Framing, Window, chunk_bounds, limit_for_atlas
from gpt4all.errors import EmbeddingInputError


@pytest.mark.parametrize(
    ("n_tokens", "room", "bounds"),
    [
        (0, 10, [(0, 0)]),
        (1, 10, [(0, 1)]),
        (10, 10, [(0, 10)]),
        (11, 10, [(0, 10), (2, 11)]),
        (12, 10, [(0, 10), (2, 12)]),
        (13, 10, [(0, 10), (2, 12), (4, 13)]),
        (1000, 510, [(0, 510), (502, 1000)]),
        (1012, 510, [(0, 510), (502, 1012)]),
        (1013, 510, [(0, 510), (502, 1012), (1004, 1013)]),
    ],
)
def test_bounds(n_tokens: int, room: int, bounds: list[tuple[int, int]]) -> None:
    assert list(chunk_bounds(n_tokens, room)) == bounds


@pytest.mark.parametrize("n_tokens", range(9, 200, 7))
@pytest.mark.parametrize("room", [9, 10, 33])
def test_chunks_cover_the_text_and_overlap_by_eight(n_tokens: int, room: int) -> None:
    bounds = list(chunk_bounds(n_tokens, room))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == n_tokens
    assert all(end - start == room for start, end in bounds[:-1])
    assert all(before[1] - after[0] == CHUNK_OVERLAP for before, after in pairwise(bounds))


FRAMING = Framing(before=(1, 7), after=(2,), limit=13, filler=9)


def test_every_chunk_has_what_stands_around_it() -> None:
    window = Window()
    window.add(range(100, 112), FRAMING, truncate=False)
    window.add([200], FRAMING, truncate=False)
    assert window.tokens.tolist() == [1, 7, *range(100, 110), 2, 1, 7, *range(102, 112), 2, 1, 7, 200, 2]
    assert window.lengths.tolist() == [13, 13, 4]
    assert window.chunk_counts == [2, 1]
    assert window.n_text_tokens == 10 + 10 + 1


def test_truncating_keeps_the_first_chunk() -> None:
    window = Window()
    window.add(range(100, 150), FRAMING, truncate=True)
    assert window.tokens.tolist() == [1, 7, *range(100, 110), 2]
    assert window.n_text_tokens == 10


def test_a_text_without_tokens_still_is_one_chunk() -> None:
    window = Window()
    window.add([], FRAMING, truncate=False)
    window.add([], Framing((), (), 13, filler=9), truncate=False)
    assert window.tokens.tolist() == [1, 7, 2, 9]
    assert window.lengths.tolist() == [3, 1]
    assert window.n_text_tokens == 0


@pytest.mark.parametrize("limit", [3, 8, 11])
def test_a_prefix_that_leaves_no_room(limit: int) -> None:
    framing = Framing(before=(1, 7), after=(2,), limit=limit, filler=9)
    with pytest.raises(EmbeddingInputError, match=f"prefix and special tokens take 3 of the {limit} tokens"):
        Window().add(range(20), framing, truncate=False)


def test_a_short_text_needs_no_room_for_an_overlap() -> None:
    window = Window()
    window.add([5, 6], Framing((1,), (2,), 4, 9), truncate=False)
    assert window.tokens.tolist() == [1, 5, 6, 2]


def test_atlas() -> None:
    longest = range(ATLAS_MAX_TOKENS)
    assert limit_for_atlas(longest, 0, truncate=False) == longest
    with pytest.raises(EmbeddingInputError, match=r"text\[3\] has 8193 tokens"):
        limit_for_atlas(range(ATLAS_MAX_TOKENS + 1), 3, truncate=False)
    assert limit_for_atlas(range(ATLAS_MAX_TOKENS + 1), 3, truncate=True) == longest
