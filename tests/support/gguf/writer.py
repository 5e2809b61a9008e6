"""Writes GGUF files with nothing but ``struct``: sound ones, and ones that lie.

    write_gguf(path, {"general.architecture": "llama", "llama.block_count": 2}, [Tensor("output.weight", (32, 8))])

Python values get the type a converter would choose: ``bool``, ``int`` (u32, or
i32 and u64 where it does not fit), ``float`` (f32), ``str``, lists and tuples
of these. ``Typed`` names another type. The keyword arguments of
``build_gguf`` and ``Tensor.offset`` write numbers that are not true.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from gpt4all.gguf.engine_facts import TENSOR_TYPES

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}
TYPE_IDS = {name: type_id for type_id, (name, _, _) in TENSOR_TYPES.items()}


@dataclass(frozen=True)
class Typed:
    """A metadata value with its GGUF type; for a list the type of its elements."""

    kind: int
    value: Any


@dataclass(frozen=True)
class Tensor:
    """One tensor; without ``data`` it is all zero bytes. ``shape`` is in ggml's order, the row length first."""

    name: str | bytes
    shape: Sequence[int]
    type_id: int = 0
    data: bytes | None = None
    offset: int | None = None

    def payload(self) -> bytes:
        if self.data is not None:
            return self.data
        _, block_elements, block_bytes = TENSOR_TYPES.get(self.type_id, ("", 1, 4))
        return bytes(prod(self.shape) // block_elements * block_bytes)


def write_gguf(
    path: Path, metadata: Mapping[str, Any] | Iterable[tuple[str, Any]], tensors: Sequence[Tensor] = (), **changes: Any
) -> Path:
    """Write a GGUF file and return its path; ``changes`` go to ``build_gguf``."""
    path.write_bytes(build_gguf(metadata, tensors, **changes))
    return path


def build_gguf(
    metadata: Mapping[str, Any] | Iterable[tuple[str, Any]],
    tensors: Sequence[Tensor] = (),
    *,
    version: int = 3,
    byte_order: str = "<",
    alignment: int = 32,
    tensor_count: int | None = None,
    entry_count: int | None = None,
) -> bytes:
    """Return the bytes of a GGUF file. ``metadata`` may be pairs, so that a key can come twice."""
    entries = list(metadata.items() if isinstance(metadata, Mapping) else metadata)
    out = bytearray(b"GGUF")
    out += struct.pack(
        f"{byte_order}IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(entries) if entry_count is None else entry_count,
    )
    for key, value in entries:
        out += _string(key, byte_order) + _value(value, byte_order)
    blob = bytearray()
    for tensor in tensors:
        out += _string(tensor.name, byte_order)
        out += struct.pack(f"{byte_order}I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        out += struct.pack(f"{byte_order}IQ", tensor.type_id, len(blob) if tensor.offset is None else tensor.offset)
        payload = tensor.payload()
        blob += payload + bytes(-len(payload) % alignment)
    if tensors:
        out += bytes(-len(out) % alignment)
    return bytes(out + blob)


def _string(text: str | bytes, byte_order: str) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(f"{byte_order}Q", len(raw)) + raw


def _value(value: Any, byte_order: str) -> bytes:
    typed = value if isinstance(value, Typed) else Typed(_kind(value), value)
    if isinstance(typed.value, (list, tuple)):
        head = struct.pack(f"{byte_order}IIQ", ARRAY, typed.kind, len(typed.value))
        return head + b"".join(_item(typed.kind, item, byte_order) for item in typed.value)
    return struct.pack(f"{byte_order}I", typed.kind) + _item(typed.kind, typed.value, byte_order)


def _item(kind: int, value: Any, byte_order: str) -> bytes:
    if kind == STRING:
        return _string(value, byte_order)
    if kind not in _FORMATS:
        return bytes(value)
    return struct.pack(byte_order + _FORMATS[kind], value)


def _kind(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return _kind(value[0]) if value else U32
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, (str, bytes)):
        return STRING
    if isinstance(value, float):
        return F32
    if isinstance(value, int):
        return U32 if 0 <= value < 1 << 32 else I32 if -(1 << 31) <= value < 0 else U64 if value > 0 else I64
    raise TypeError(f"no GGUF type for {value!r}")
