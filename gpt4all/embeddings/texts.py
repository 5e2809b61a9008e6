"""Texts as the model reads them: special tokens, prefix, and long ones in chunks."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpt4all.errors import EmbeddingInputError

#: Tokens that a chunk shares with the one before.
CHUNK_OVERLAP = 8
#: Tokens of one text that Nomic's Atlas takes.
ATLAS_MAX_TOKENS = 8192


@dataclass(frozen=True)
class Framing:
    """What stands around the tokens of every chunk.

    Attributes:
        before: the begin token, if the model has one, and the prefix.
        after: the end token, if the model has one.
        limit: the most tokens the model takes at once, these included.
        filler: what stands for a chunk that would have no token at all.
    """

    before: Sequence[int]
    after: Sequence[int]
    limit: int
    filler: int

    @property
    def room(self) -> int:
        """Tokens of a text that fit into one chunk."""
        return self.limit - len(self.before) - len(self.after)

    def frame(self, tokens: Sequence[int]) -> Sequence[int]:
        return [*self.before, *tokens, *self.after] or [self.filler]


def chunk_bounds(n_tokens: int, room: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each chunk of a text; an empty one is one empty chunk."""
    start = 0
    while True:
        end = min(start + room, n_tokens)
        yield start, end
        if end == n_tokens:
            return
        start = end - CHUNK_OVERLAP


def check_room(framing: Framing, longest: int) -> None:
    """Raises unless a text of ``longest`` tokens can be cut into chunks.

    Raises:
        EmbeddingInputError: the prefix leaves too little of the context.
    """
    if longest <= framing.room or framing.room > CHUNK_OVERLAP:
        return
    raise EmbeddingInputError(
        f"prefix and special tokens take {len(framing.before) + len(framing.after)} of the {framing.limit} tokens that "
        f"the model reads at once, which leaves too few for a text of {longest}; use a shorter prefix or a larger n_ctx"
    )


class Window:
    """Texts that are computed in one call, as tokens.

    Attributes:
        tokens: those of all chunks, one after the other.
        lengths: the number of each chunk's.
        chunk_counts: the number of each text's chunks.
        n_text_tokens: tokens of texts in all chunks: no prefix, no special ones.
    """

    def __init__(self) -> None:
        self.tokens = array("i")
        self.lengths = array("i")
        self.chunk_counts: list[int] = []
        self.n_text_tokens = 0

    def add(self, tokens: Sequence[int], framing: Framing, *, truncate: bool) -> None:
        """Adds a text; ``truncate`` keeps only its first chunk."""
        check_room(framing, len(tokens))
        count = 0
        for start, end in chunk_bounds(len(tokens), framing.room):
            framed = framing.frame(tokens[start:end])
            self.tokens.extend(framed)
            self.lengths.append(len(framed))
            self.n_text_tokens += end - start
            count += 1
            if truncate:
                break
        self.chunk_counts.append(count)


def limit_for_atlas(tokens: Sequence[int], index: int, *, truncate: bool) -> Sequence[int]:
    """A text as long as Atlas takes it.

    Raises:
        EmbeddingInputError: it is longer, and may not be cut.
    """
    if len(tokens) > ATLAS_MAX_TOKENS and not truncate:
        raise EmbeddingInputError(
            f"text[{index}] has {len(tokens)} tokens, but with atlas=True at most {ATLAS_MAX_TOKENS} are allowed; "
            "shorten it or use long_text_mode='truncate'"
        )
    return tokens[:ATLAS_MAX_TOKENS]
