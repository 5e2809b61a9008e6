"""BERT in NumPy, straight from a GGUF's tensors: what embeddings are compared with where PyTorch is not at hand.

Tokens come from the ``tokenizers`` library, given the file's vocabulary.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

Array = npt.NDArray[np.float32]

_SPACE = "\u2581"
_CONTROL = 3


class BertReference:
    """An encoder of architecture ``bert``, its texts' tokens and their vectors."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self._facts: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        self._weights = {tensor.name: np.array(tensor.data, dtype=np.float32) for tensor in reader.tensors}
        self._layers = int(self._facts["bert.block_count"])
        self._heads = int(self._facts["bert.attention.head_count"])
        self._epsilon = float(self._facts["bert.attention.layer_norm_epsilon"])
        self._first = self._facts["bert.pooling_type"] == 2
        self._tokenizer = self._make_tokenizer()

    def _make_tokenizer(self) -> Tokenizer:
        pieces: list[str] = self._facts["tokenizer.ggml.tokens"]
        kinds: list[int] = self._facts["tokenizer.ggml.token_type"]
        vocabulary: dict[str, int] = {}
        for token, (piece, kind) in enumerate(zip(pieces, kinds, strict=True)):
            word = piece if kind == _CONTROL else piece[1:] if piece.startswith(_SPACE) else f"##{piece}"
            vocabulary.setdefault(word, token)
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self._begin, self._end = vocabulary["[CLS]"], vocabulary["[SEP]"]
        return tokenizer

    def tokens(self, text: str) -> list[int]:
        """Without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def vector(self, text: str, limit: int | None = None) -> Array:
        """The vector of a text, or of its first ``limit`` tokens."""
        return self.vector_of([self._begin, *self.tokens(text)[:limit], self._end])

    def vector_of(self, tokens: list[int]) -> Array:
        get = self._weights.__getitem__
        hidden = get("token_embd.weight")[tokens] + get("position_embd.weight")[: len(tokens)]
        hidden = self._norm(hidden + get("token_types.weight")[0], "token_embd_norm")
        for layer in range(self._layers):
            hidden = self._layer(hidden, f"blk.{layer}.")
        pooled = hidden[0] if self._first else hidden.mean(axis=0)
        vector: Array = pooled / np.linalg.norm(pooled)
        return vector

    def _layer(self, hidden: Array, prefix: str) -> Array:
        count, width = hidden.shape
        size = width // self._heads
        heads = [
            self._linear(hidden, f"{prefix}attn_{part}").reshape(count, self._heads, size).transpose(1, 0, 2)
            for part in "qkv"
        ]
        scores = heads[0] @ heads[1].transpose(0, 2, 1) / math.sqrt(size)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ heads[2]).transpose(1, 0, 2).reshape(count, width)
        hidden = self._norm(hidden + self._linear(mixed, f"{prefix}attn_output"), f"{prefix}attn_output_norm")
        inner = self._linear(hidden, f"{prefix}ffn_up")
        inner = (0.5 * inner * (1 + _error_function(inner / math.sqrt(2)))).astype(np.float32)
        return self._norm(hidden + self._linear(inner, f"{prefix}ffn_down"), f"{prefix}layer_output_norm")

    def _linear(self, values: Array, name: str) -> Array:
        result: Array = values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _norm(self, values: Array, name: str) -> Array:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        result: Array = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def same_direction(got: Any, wanted: Any) -> float:
    """The cosine of two vectors."""
    return float(np.dot(got, wanted) / np.linalg.norm(got) / np.linalg.norm(wanted))


def _error_function(values: Array) -> Array:
    """From a table, by straight lines: within 1e-8, and much faster than one call of ``math.erf`` for each."""
    result: Array = np.interp(values, _ERF_POINTS, _ERF_VALUES).astype(np.float32)
    return result


_ERF_POINTS = np.linspace(-6, 6, 120_001)
_ERF_VALUES = np.array([math.erf(point) for point in _ERF_POINTS])
