"""A tiny sound model file for the tests of the header preflight, and ways to spoil it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt4all.errors import GPT4AllError
from gpt4all.gguf.preflight import preflight
from tests.support.gguf.writer import TYPE_IDS, Tensor, build_gguf

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.block_count": 2,
    "llama.context_length": 64,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "b", "", "d" * 300],
}
TENSORS = (
    Tensor("token_embd.weight", (32, 4)),
    Tensor("blk.0.attn_q.weight", (32, 2), TYPE_IDS["Q4_0"]),
    Tensor("output_norm.weight", (5,)),
)


def tiny(tensors: tuple[Tensor, ...] = TENSORS, drop: str | None = None, **metadata: Any) -> bytes:
    """A sound model, but for the metadata changed (``general__type`` for ``general.type``) or dropped."""
    merged = METADATA | {key.replace("__", "."): value for key, value in metadata.items()}
    merged.pop(drop or "", None)
    return build_gguf(merged, tensors)


def changed(**changes: Any) -> bytes:
    return build_gguf(METADATA, TENSORS, **changes)


def one_tensor(name: str | bytes, shape: tuple[int, ...], type_id: int = 0, **more: Any) -> bytes:
    return build_gguf(METADATA, [Tensor(name, shape, type_id, data=b"", **more)])


def one_value(raw_value: bytes) -> bytes:
    """A header with a single entry, key ``k``, whose type and value are ``raw_value``."""
    return build_gguf({}, entry_count=1) + (1).to_bytes(8, "little") + b"k" + raw_value


def u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path | str) -> GPT4AllError:
    with pytest.raises(GPT4AllError) as caught:
        preflight(path)
    return caught.value
