"""Texts as the model reads them: special tokens, prefix, and long ones in chunks."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt4all.checks import check_text
from gpt4all.errors import EmbeddingInputError

if TYPE_CHECKING:
    from gpt4all.engine.loaded_model import LoadedModel

#: Tokens that a chunk shares with the one before.
CHUNK_OVERLAP = 8
#: Tokens of one text that Nomic's Atlas takes.
ATLAS_MAX_TOKENS = 8192

# How much is tokenised ahead: enough to find texts of one length for every
# batch, and little beside the vectors they become.
_WINDOW_TEXTS = 4096
_WINDOW_TOKENS = 1 << 20


def as_texts(text: object) -> Iterable[str]:
    """The texts that ``embed`` was given.

    Raises:
        ValueError, TypeError: it was given none, or something else.
    """
    if text is None:
        raise ValueError("text must be a str or a list of str, not None")
    if isinstance(text, str):
        if not text:
            raise ValueError("text is empty; only in a list does an empty text have a vector: embed([''])")
        return [text]
    kind = type(text).__name__
    # A table is iterated over its columns, or their names.
    if hasattr(text, "columns") or getattr(text, "ndim", 1) != 1:
        raise TypeError(f"text must be a str or a list of str, not {kind}; give one column of it, as table['text']")
    if isinstance(text, Set):
        raise TypeError(f"text must be in an order that the vectors can have too, not in a {kind}; give sorted(text)")
    if not isinstance(text, Iterable) or isinstance(text, (bytes, bytearray, memoryview, Mapping)):
        hint = {"dict": "; give list(text.values())", "bytes": "; give text.decode()"}.get(kind, "")
        hint = "; give text.read_text()" if isinstance(text, Path) else hint
        raise TypeError(f"text must be a str or a list of str, not {kind}{hint}")
    return text


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


class Reader:
    """Reads texts with one prefix; ``framing`` is what stands around them."""

    def __init__(self, model: LoadedModel, prefix: str) -> None:
        self._model = model
        self._lead = f"{prefix}:" if prefix else ""
        self._lead_tokens = model.tokenize(self._lead) if prefix else []
        info = model.info
        around = model.tokenize("", add_special=True)
        n_begin = 1 if around and (info.add_bos or len(around) > 1) else 0
        filler = next((token for token in (info.token_bos, info.token_eos) if token is not None), 0)
        self.framing = Framing(
            before=(*around[:n_begin], *self._lead_tokens),
            after=tuple(around[n_begin:]),
            limit=min(info.n_ctx, info.n_ctx_train) if info.n_ctx_train > 0 else info.n_ctx,
            filler=filler,
        )

    def tokens(self, text: str) -> list[int]:
        """Tokens of ``text`` as they stand behind the prefix."""
        if not self._lead:
            return self._model.tokenize(text)
        # As one text: most vocabularies make the space part of the next word.
        together = self._model.tokenize(f"{self._lead} {text}")
        n_lead = len(self._lead_tokens)
        return together[n_lead:] if together[:n_lead] == self._lead_tokens else self._model.tokenize(text)


def windows(reader: Reader, texts: Iterable[str], *, truncate: bool, atlas: bool) -> Iterator[Window]:
    """The texts as tokens, as many ahead as is of use."""
    window = Window()
    for index, text in enumerate(texts):
        tokens: Sequence[int] = reader.tokens(check_text(f"text[{index}]", text))
        if atlas:
            tokens = limit_for_atlas(tokens, index, truncate=truncate)
        window.add(tokens, reader.framing, truncate=truncate)
        if len(window.chunk_counts) >= _WINDOW_TEXTS or len(window.tokens) >= _WINDOW_TOKENS:
            yield window
            window = Window()
    if window.chunk_counts:
        yield window
