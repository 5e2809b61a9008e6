"""Walks the header of a GGUF file: counts, metadata, tensor descriptions.

Nothing in the file is believed before it is checked. Values longer than
``MAX_KEPT_BYTES`` and arrays longer than ``MAX_KEPT_ITEMS`` are passed over.

The rules are those of llama.cpp's reader (``ggml/src/gguf.cpp``), plus limits
on counts that no real model comes near.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

from gpt4all.errors import InvalidModelError, UnsupportedModelError
from gpt4all.gguf import engine_facts as engine
from gpt4all.gguf.window import Window, quoted

MAX_METADATA_ENTRIES = 100_000
MAX_TENSORS = 1_000_000
MAX_STRINGS_IN_ARRAY = 1 << 24
MAX_ITEMS_IN_ARRAY = 1 << 30
MAX_KEY_BYTES = 65_535
MAX_KEPT_ITEMS = 1024
MAX_KEPT_BYTES = 1 << 20
MAX_KEPT_BYTES_TOTAL = 1 << 25


_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_PREAMBLE = struct.Struct("<4xIQQ")
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS: dict[int, tuple[str, struct.Struct]] = {
    0: ("u8", struct.Struct("<B")),
    1: ("i8", struct.Struct("<b")),
    2: ("u16", struct.Struct("<H")),
    3: ("i16", struct.Struct("<h")),
    4: ("u32", _U32),
    5: ("i32", struct.Struct("<i")),
    6: ("f32", struct.Struct("<f")),
    _BOOL: ("bool", struct.Struct("<?")),
    10: ("u64", _U64),
    11: ("i64", struct.Struct("<q")),
    12: ("f64", struct.Struct("<d")),
}


@dataclass(frozen=True)
class SkippedValue:
    """Stands for a metadata value that was too long to keep, such as a vocabulary.

    Attributes:
        element_type: ``"string"`` or the number type (``"u32"``, ``"f32"``, …) of an array's elements,
            or ``"bytes"`` for one long string.
        length: elements of the array, or bytes of the string.
    """

    element_type: str
    length: int


Scalar: TypeAlias = int | float | str | bool
MetadataValue: TypeAlias = Scalar | tuple[Scalar, ...] | SkippedValue


@dataclass(frozen=True)
class RawHeader:
    """What ``read`` found."""

    version: int
    metadata: dict[str, MetadataValue]
    tensor_count: int
    unusable_weight: str | None


def read(window: Window) -> RawHeader:
    """Read and check the whole header; the magic has been seen already."""
    version, tensor_count, entries = _preamble(window)
    metadata = _metadata(window, entries)
    window.where = "its list of tensors"
    alignment = _alignment(window, metadata)
    data_end, unusable_weight = _tensors(window, tensor_count, alignment)
    if data_end > window.size:
        missing = data_end - window.size
        raise InvalidModelError(
            f"{window.shown_path} is truncated: its tensors end at byte {data_end} and the file at byte {window.size}, "
            f"so {missing} bytes are missing; the download probably did not finish. "
            "Delete the file and download it again"
        )
    return RawHeader(version, metadata, tensor_count, unusable_weight)


def _preamble(window: Window) -> tuple[int, int, int]:
    if window.size >= 8:
        _check_version(window)
    version, tensor_count, entries = (int(value) for value in window.unpack(_PREAMBLE))
    if tensor_count > MAX_TENSORS:
        raise window.damaged(f"it claims {tensor_count} tensors (at most {MAX_TENSORS} make sense)")
    if entries > MAX_METADATA_ENTRIES:
        raise window.damaged(f"it claims {entries} metadata entries (at most {MAX_METADATA_ENTRIES} make sense)")
    return version, tensor_count, entries


def _check_version(window: Window) -> None:
    window.skip(4)
    version = window.u32()
    window.seek(0)
    path, newest = window.shown_path, engine.NEWEST_GGUF_VERSION
    if version != 0 and version & 0xFFFF == 0:
        raise UnsupportedModelError(
            f"{path} is a big-endian GGUF file (its version reads as {version:#010x}); this engine reads little-endian "
            "ones only: download the usual little-endian file, or convert it with gguf-py's gguf_convert_endian"
        )
    if version < 2:
        raise UnsupportedModelError(
            f"{path} has GGUF version {version}, which is too old: versions 2 to {newest} are supported. "
            "Download a newer file of the model"
        )
    if version > newest:
        raise UnsupportedModelError(
            f"{path} has GGUF version {version}, and the newest supported one is {newest}: "
            "update gpt4all, or choose a file made for the older version"
        )


def _metadata(window: Window, entries: int) -> dict[str, MetadataValue]:
    metadata: dict[str, MetadataValue] = {}
    seen: set[bytes] = set()
    budget = MAX_KEPT_BYTES_TOTAL
    key_bytes = 0
    for number in range(1, entries + 1):
        window.where = f"the key of metadata entry {number} of {entries}"
        raw_key = window.take(window.string_length(MAX_KEY_BYTES))
        key = raw_key.decode("utf-8", "replace")
        if not raw_key:
            raise window.damaged(f"the key of metadata entry {number} is empty")
        if raw_key in seen:
            raise window.damaged(f"the metadata key {quoted(key)} stands in it twice")
        key_bytes += len(raw_key)
        if key_bytes > MAX_KEPT_BYTES_TOTAL:
            raise window.damaged(f"the keys of its metadata take more than {MAX_KEPT_BYTES_TOTAL} bytes")
        seen.add(raw_key)
        window.where = f"metadata entry {quoted(key)}"
        start = window.position
        value = _value(window, keep=budget > 0)
        metadata[key] = value
        if not isinstance(value, SkippedValue):
            budget -= window.position - start
    return metadata


def _value(window: Window, keep: bool) -> MetadataValue:
    kind = window.u32()
    if kind == _ARRAY:
        return _array(window, keep)
    if kind == _STRING:
        return _string(window, keep)
    return _number(window, kind)


def _string(window: Window, keep: bool) -> str | SkippedValue:
    length = window.string_length()
    if keep and length <= MAX_KEPT_BYTES:
        return window.take(length).decode("utf-8", "replace")
    window.skip(length)
    return SkippedValue("bytes", length)


def _number(window: Window, kind: int) -> Scalar:
    if kind not in _SCALARS:
        raise window.damaged(f"{window.where} has the unknown value type {kind}")
    value: Scalar = window.unpack(_SCALARS[kind][1])[0]
    return value


def _array(window: Window, keep: bool) -> tuple[Scalar, ...] | SkippedValue:
    kind = window.u32()
    count = window.u64()
    if kind == _ARRAY:
        raise window.damaged(f"{window.where} is an array of arrays, which the engine does not read")
    if kind == _STRING:
        return _string_array(window, count, keep)
    if kind not in _SCALARS:
        raise window.damaged(f"{window.where} is an array of the unknown value type {kind}")
    name, layout = _SCALARS[kind]
    _check_count(window, count, MAX_ITEMS_IN_ARRAY, layout.size)
    if not keep or count > MAX_KEPT_ITEMS:
        window.skip(count * layout.size)
        return SkippedValue(name, count)
    return window.unpack(struct.Struct(f"<{count}{layout.format[-1]}")) if count else ()


def _string_array(window: Window, count: int, keep: bool) -> tuple[Scalar, ...] | SkippedValue:
    _check_count(window, count, MAX_STRINGS_IN_ARRAY, 8)
    start = window.position
    window.skip_strings(count)
    if not keep or count > MAX_KEPT_ITEMS or window.position - start > MAX_KEPT_BYTES:
        return SkippedValue("string", count)
    window.seek(start)
    return tuple(window.take(window.string_length(MAX_KEPT_BYTES)).decode("utf-8", "replace") for _ in range(count))


def _check_count(window: Window, count: int, limit: int, least_bytes: int) -> None:
    if count > limit:
        raise window.damaged(f"{window.where} claims {count} elements (at most {limit} make sense)")
    if count * least_bytes > window.remaining:
        raise window.cut_short(window.position + count * least_bytes)


def _alignment(window: Window, metadata: dict[str, MetadataValue]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        raise window.damaged(f"its general.alignment is {alignment!r}, not a power of two")
    return alignment


def _tensors(window: Window, count: int, alignment: int) -> tuple[int, str | None]:
    """Check all tensor descriptions and return where in the file the last tensor's data ends.

    With it comes the first weight whose type the engine cannot multiply with, if there is one.
    """
    unusable: str | None = None
    seen: set[bytes] = set()
    data_bytes = 0
    end = 0
    for number in range(1, count + 1):
        window.where = f"the description of tensor {number} of {count}"
        raw_name = window.take(window.string_length(engine.MAX_TENSOR_NAME_BYTES))
        if raw_name in seen:
            raise window.damaged(f"the tensor {quoted(raw_name.decode('utf-8', 'replace'))} stands in it twice")
        seen.add(raw_name)
        name = quoted(raw_name.decode("utf-8", "replace"))
        size, type_name = _tensor_bytes(window, name)
        is_weight = raw_name.endswith(b".weight") and not raw_name.endswith(engine.INDEX_TENSORS)
        if unusable is None and is_weight and type_name in engine.TYPES_WITHOUT_PRODUCT:
            unusable = f"its tensor {name}, {type_name},"
        offset = window.u64()
        if offset % alignment:
            raise window.damaged(f"tensor {name} begins at offset {offset}, not a multiple of {alignment}")
        if offset != data_bytes:
            raise window.damaged(f"tensor {name} begins at offset {offset}, not at {data_bytes} after the one before")
        end = data_bytes + size
        data_bytes = -(-end // alignment) * alignment
        if data_bytes >= 1 << 63:
            raise window.damaged(f"its tensors up to {name} take {data_bytes} bytes, more than any file can hold")
    data_end = -(-window.position // alignment) * alignment + end if count else window.position
    return data_end, unusable


def _tensor_bytes(window: Window, name: str) -> tuple[int, str]:
    """Size of a tensor's data, and its type's name."""
    dimensions = window.u32()
    if dimensions > engine.MAX_DIMENSIONS:
        raise window.damaged(f"tensor {name} claims {dimensions} dimensions (at most {engine.MAX_DIMENSIONS} exist)")
    shape = [window.u64() for _ in range(dimensions)]
    elements = 1
    for extent in shape:
        elements *= extent
        if elements >= 1 << 63 or extent >= 1 << 63:
            raise window.damaged(f"tensor {name} has the impossible shape {shape}")
    type_id = window.u32()
    if type_id not in engine.TENSOR_TYPES:
        raise _unknown_type(window, name, type_id)
    type_name, block_elements, block_bytes = engine.TENSOR_TYPES[type_id]
    row = shape[0] if shape else 1
    if row % block_elements:
        raise window.damaged(
            f"tensor {name} has rows of {row} elements, not a multiple of the {block_elements} in a {type_name} block"
        )
    return elements // block_elements * block_bytes, type_name


def _unknown_type(window: Window, name: str, type_id: int) -> UnsupportedModelError:
    path = window.shown_path
    if type_id in engine.REMOVED_TENSOR_TYPES:
        old, instead = engine.REMOVED_TENSOR_TYPES[type_id]
        return UnsupportedModelError(
            f"{path}: tensor {name} has the quantisation type {old} (id {type_id}), which the engine has dropped; "
            f"download a {instead} file of the model instead"
        )
    return UnsupportedModelError(
        f"{path}: tensor {name} has the quantisation type with id {type_id}, which the engine of this gpt4all does "
        "not have; update gpt4all, or download the model in another quantisation such as Q4_K_M or Q8_0"
    )
