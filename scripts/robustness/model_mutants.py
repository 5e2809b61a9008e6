"""Model files with one thing wrong in each: every metadata key and every tensor, changed in every way that matters.

A mutant is what a careless converter, a damaged download or an attacker would
make of a sound model. ``mutants`` lists them in a fixed order; the same
model and seed give the same files.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.support.gguf.writer import BOOL, F32, F64, I32, STRING, U32, Tensor, Typed, build_gguf

__all__ = ["Model", "Mutant", "mutants", "read_model"]

_REMOVED = object()
_INTEGERS = (0, 1, -1, 3, 7, 33, 1000, 65_537, (1 << 31) - 1, (1 << 32) - 1)
_FLOATS = (0.0, -1.0, 1e-45, 1e30, float("inf"), float("nan"))
_LAYER = re.compile(r"blk\.(\d+)\.")
#: Vocabularies, each entry of which would be a mutant; the tokenizer has fuzzers of its own.
_LONG = 64
_F16, _BF16, _Q8_0, _I8 = 1, 30, 8, 24


@dataclass(frozen=True)
class Model:
    """A file's content, each number with its type."""

    metadata: dict[str, Typed]
    tensors: list[Tensor]

    def file(self) -> bytes:
        return build_gguf(self.metadata, self.tensors)


@dataclass(frozen=True)
class Mutant:
    """A changed model, and in words what was changed."""

    what: str
    model: Model


def read_model(path: Path) -> Model:
    """The model in a GGUF file."""
    reader = gguf.GGUFReader(path)
    metadata = {
        name: Typed(int(field.types[-1]), field.contents())
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.") and field.contents() != []  # an empty array does not tell its type
    }
    tensors = [
        Tensor(tensor.name, [int(size) for size in tensor.shape], int(tensor.tensor_type), tensor.data.tobytes())
        for tensor in reader.tensors
    ]
    return Model(metadata, tensors)


def mutants(model: Model, rounds: int = 0, seed: int = 0) -> Iterator[Mutant]:
    """Every key and every tensor changed in every way, then ``rounds`` files with several changes at random."""
    yield from _singles(model)
    singles = list(_singles(model)) if rounds else []
    chance = random.Random(seed)
    for _ in range(rounds):
        chosen = chance.sample(singles, min(len(singles), chance.choice((2, 2, 3, 4))))
        yield _combined(model, chosen)


def _singles(model: Model) -> Iterator[Mutant]:
    yield from _metadata_mutants(model)
    yield from _tensor_mutants(model)


def _metadata_mutants(model: Model) -> Iterator[Mutant]:
    for key, value in model.metadata.items():
        for change in _other_values(value):
            metadata = dict(model.metadata)
            if change is _REMOVED:
                del metadata[key]
            else:
                metadata[key] = change
            yield Mutant(f"{key} {_words(change)}", replace(model, metadata=metadata))


def _words(change: Any) -> str:
    if change is _REMOVED:
        return "removed"
    shown = repr(change.value)
    return f"= {shown if len(shown) < 60 else shown[:57] + '...'} (type {change.kind})"


def _other_values(value: Typed) -> Iterator[Any]:
    yield _REMOVED
    if isinstance(value.value, list):
        yield from _other_lists(value)
        return
    if value.kind == STRING:
        yield from (Typed(STRING, text) for text in ("", "x" * 5000, "rwkv", "llama", "none"))
    elif value.kind in (F32, F64):
        yield from (Typed(value.kind, number) for number in _FLOATS)
    elif value.kind == BOOL:
        yield Typed(BOOL, not value.value)
    else:
        yield from (_integer(number) for number in (*_INTEGERS, value.value + 1, 2 * value.value))
        yield Typed(value.kind, [value.value] * 2)
        yield Typed(U32, [0] * 512)
    yield Typed(STRING, "x") if value.kind != STRING else Typed(U32, 1)
    yield Typed(F32, 1.5) if value.kind not in (F32, F64) else Typed(U32, 1)


def _integer(number: int) -> Typed:
    return Typed(I32, number) if number < 0 else Typed(U32, number % (1 << 32))


def _other_lists(value: Typed) -> Iterator[Any]:
    items = value.value
    yield Typed(value.kind, [])
    yield Typed(value.kind, items[: len(items) // 2])
    yield Typed(value.kind, items + items)
    if value.kind != STRING:
        smallest = 0.0 if value.kind in (F32, F64) else 0
        yield Typed(value.kind, [smallest] * len(items))
        yield Typed(value.kind, [smallest, *items[1:]])
    if len(items) <= _LONG and value.kind in (U32, I32):
        yield from (_integer(number) for number in (0, 1, 7, 65_537, (1 << 31) - 1))
        yield Typed(U32, [(1 << 31) - 1] * len(items))
    yield Typed(STRING, "x")


def _tensor_mutants(model: Model) -> Iterator[Mutant]:
    """Tensors of the same name in all layers are changed together, and in the last layer alone."""
    groups: dict[str, list[int]] = {}
    for place, tensor in enumerate(model.tensors):
        groups.setdefault(_LAYER.sub("blk.*.", str(tensor.name)), []).append(place)
    for name, places in groups.items():
        for what, change in _TENSOR_CHANGES:
            for shown, chosen in {name: places, str(model.tensors[places[-1]].name): places[-1:]}.items():
                tensors: list[Tensor] = []
                for place, tensor in enumerate(model.tensors):
                    tensors += change(tensor) if place in chosen else [tensor]
                if tensors != model.tensors:
                    yield Mutant(f"{shown} {what}", replace(model, tensors=tensors))


def _removed(tensor: Tensor) -> list[Tensor]:
    return []


def _transposed(tensor: Tensor) -> list[Tensor]:
    return [replace(tensor, shape=list(reversed(tensor.shape)))]


def _shorter(tensor: Tensor) -> list[Tensor]:
    return [replace(tensor, shape=[*tensor.shape[:-1], max(tensor.shape[-1] // 2, 1)], data=None)]


def _as_type(kind: int) -> Any:
    def change(tensor: Tensor) -> list[Tensor]:
        if kind == _Q8_0 and tensor.shape[0] % 32:
            return [tensor]
        data = _half(tensor) if kind == _F16 and tensor.type_id == 0 else None
        return [replace(tensor, type_id=kind, data=data)]

    return change


def _half(tensor: Tensor) -> bytes:
    with np.errstate(over="ignore"):
        return np.frombuffer(tensor.payload(), dtype="<f4").astype("<f2").tobytes()


def _not_numbers(tensor: Tensor) -> list[Tensor]:
    return [replace(tensor, data=struct.pack("<f", float("nan")) * (len(tensor.payload()) // 4))]


_TENSOR_CHANGES = (
    ("removed", _removed),
    ("transposed", _transposed),
    ("shorter", _shorter),
    ("F16", _as_type(_F16)),
    ("BF16", _as_type(_BF16)),
    ("Q8_0", _as_type(_Q8_0)),
    ("I8", _as_type(_I8)),
    ("not numbers", _not_numbers),
)


def _combined(model: Model, chosen: list[Mutant]) -> Mutant:
    metadata, tensors = dict(model.metadata), {str(tensor.name): tensor for tensor in model.tensors}
    for mutant in chosen:
        changed = mutant.model
        for key in model.metadata:
            if key not in changed.metadata:
                metadata.pop(key, None)
            elif changed.metadata[key] is not model.metadata[key]:
                metadata[key] = changed.metadata[key]
        if changed.tensors is not model.tensors:
            left = {str(tensor.name): tensor for tensor in changed.tensors}
            for tensor in model.tensors:
                name = str(tensor.name)
                if name not in left:
                    tensors.pop(name, None)
                elif left[name] is not tensor:
                    tensors[name] = left[name]
    return Mutant("; ".join(mutant.what for mutant in chosen), Model(metadata, list(tensors.values())))
