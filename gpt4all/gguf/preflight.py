"""Judges a model file by its header, before any native library sees it.

``preflight`` answers within milliseconds whether a file is a whole GGUF model
that the engine can load, and otherwise raises an error that says what was
found and what to do. Whatever the file holds, only subclasses of
``GPT4AllError`` and ``OSError`` leave this module:

- ``ModelNotFoundError``: no such file, or a part of a split model is missing.
- ``InvalidModelError``: not a GGUF file, or a damaged or truncated one.
- ``UnsupportedModelError``: a sound file that is not a model this engine can load by itself.
- ``ModelLoadError``, caused by the ``PermissionError``: the file may not be read.
- any other ``OSError`` (a failing disk, say): as the operating system gave it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from gpt4all.checks import USUAL_CONTEXT
from gpt4all.errors import InvalidModelError, ModelLoadError, ModelNotFoundError, UnsupportedModelError
from gpt4all.gguf import engine_facts as engine
from gpt4all.gguf import foreign as foreign
from gpt4all.gguf import header as reader
from gpt4all.gguf import numbers as numbers
from gpt4all.gguf.header import MetadataValue, Scalar, SkippedValue
from gpt4all.gguf.window import Window, quoted

__all__ = ["GGUFHeader", "MetadataValue", "Scalar", "SkippedValue", "preflight", "read_header"]

StrPath: TypeAlias = str | os.PathLike[str]

_SPLIT_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True)
class GGUFHeader:
    """What the header of a GGUF file says.

    Attributes:
        path: the file, as it was named.
        file_size: its size in bytes.
        version: the GGUF version, 2 or 3.
        architecture: ``general.architecture``, or ``None`` in files that have none (later parts of a split).
        name: ``general.name``, or ``None``.
        metadata: every key with its value; long arrays and strings are a ``SkippedValue``.
        tensor_count: how many tensors this file holds; all their types, shapes and sizes have been checked.
        split_count: into how many files the model is split; 1 for a single file.
        split_number: which of them this is, counted from 0.
        split_paths: where all the files should be, in order; empty when the name does not follow the pattern
            ``NAME-00001-of-00003.gguf`` by which the engine finds them.
        unusable_weight: name and type of the first weight that the engine cannot multiply with, or ``None``.
    """

    path: Path
    file_size: int
    version: int
    architecture: str | None
    name: str | None
    metadata: Mapping[str, MetadataValue] = field(repr=False)
    tensor_count: int
    split_count: int = 1
    split_number: int = 0
    split_paths: tuple[Path, ...] = ()
    unusable_weight: str | None = None

    @property
    def is_embedding(self) -> bool:
        """Whether the model turns text into vectors and cannot generate text."""
        if self.architecture in engine.EMBEDDING_ARCHITECTURES:
            return True
        pooling = self.metadata.get(f"{self.architecture}.pooling_type")
        return isinstance(pooling, int) and pooling not in (numbers.POOLING_NONE, numbers.POOLING_UNSPECIFIED)

    @property
    def context_length(self) -> int | None:
        """The context length the model was trained with, in tokens, if the file tells."""
        length = self.metadata.get(f"{self.architecture}.context_length")
        return length if type(length) is int else None

    @property
    def usual_context(self) -> int:
        """The context, in tokens, that the command line and the server take where nobody said."""
        return min(USUAL_CONTEXT, self.context_length or USUAL_CONTEXT)


def read_header(path: StrPath) -> GGUFHeader:
    """Read the header of a GGUF file of any kind and check that the file is whole.

    Raises:
        ModelNotFoundError, InvalidModelError, UnsupportedModelError, ModelLoadError: see the module.
    """
    shown = _shown(path)
    try:
        return _read(Path(path), shown)
    except FileNotFoundError as error:
        raise ModelNotFoundError(_not_found(path, shown)) from error
    except NotADirectoryError as error:
        raise ModelNotFoundError(f"there is no model file {shown}: a part of that path is a file, no folder") from error
    except PermissionError as error:
        raise ModelLoadError(
            f"{shown} cannot be opened: permission denied. Give your user the right to read the file and to enter "
            "its folder, or copy it to a folder of yours"
        ) from error
    except ValueError as error:
        if isinstance(error, InvalidModelError):
            raise
        raise ModelNotFoundError(f"{shown} cannot be the path of a file ({error})") from error


def preflight(path: StrPath, architectures: Collection[str] | None = None) -> GGUFHeader:
    """Check that a file is a complete model the engine can load, and return its header.

    Args:
        path: the model file; for a split model its first part.
        architectures: what the engine can run, when it is not the engine of this package.

    Raises:
        ModelNotFoundError, InvalidModelError, UnsupportedModelError, ModelLoadError: see the module.
    """
    header = read_header(path)
    shown = _shown(path)
    _check_kind(header, shown)
    if header.split_count > 1:
        _check_split(header, shown)
    _check_architecture(header, shown, engine.ARCHITECTURES if architectures is None else architectures)
    if header.tensor_count == 0 and header.split_count == 1:
        raise UnsupportedModelError(
            f"{shown} holds {_vocabulary_or_nothing(header)} and no weights, so it cannot run; "
            "download the model file itself"
        )
    numbers.check(header.architecture or "", header.metadata, shown)
    if header.unusable_weight:
        raise _unusable_weight(header.unusable_weight, shown)
    return header


def _unusable_weight(tensor: str, shown: str) -> InvalidModelError:
    return InvalidModelError(
        f"{shown} is a damaged GGUF file: {tensor} is of a type that the engine cannot multiply with. "
        "Download it again, or convert the model again"
    )


def _shown(path: StrPath) -> str:
    return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _not_found(path: StrPath, shown: str) -> str:
    if os.path.islink(path):
        target = _shown(os.readlink(path))
        return f"{shown} is a link to {target}, which does not exist; download the model again or mend the link"
    return f"there is no model file {shown}; check the name and the folder, or let it be downloaded"


def _read(path: Path, shown: str) -> GGUFHeader:
    _check_regular(os.stat(path), shown)
    with open(path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        _check_regular(status, shown)
        head = file.read(foreign.HEAD_BYTES)
        if not head:
            raise InvalidModelError(
                f"{shown} is an empty file, perhaps left by a failed download; delete it and download it again"
            )
        if head[:4] != b"GGUF":
            raise InvalidModelError(f"{shown} {foreign.recognise(head, status.st_size)}")
        window = Window(file, status.st_size, shown)
        window.seek(0)
        raw = reader.read(window)
    return _header(path, shown, status.st_size, raw)


def _check_regular(status: os.stat_result, shown: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InvalidModelError(f"{shown} is a folder; give the path of the .gguf file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidModelError(f"{shown} is no regular file but a device, pipe or socket; give the path of a file")


def _header(path: Path, shown: str, size: int, raw: reader.RawHeader) -> GGUFHeader:
    architecture = _text(raw.metadata, "general.architecture", shown)
    count = _number(raw.metadata, "split.count", shown, default=1)
    number = _number(raw.metadata, "split.no", shown, default=0)
    return GGUFHeader(
        path=path,
        file_size=size,
        version=raw.version,
        architecture=architecture,
        name=_text(raw.metadata, "general.name", shown),
        metadata=MappingProxyType(raw.metadata),
        tensor_count=raw.tensor_count,
        split_count=max(count, 1),
        split_number=number,
        split_paths=_split_paths(path, number, count) if count > 1 else (path,),
        unusable_weight=raw.unusable_weight,
    )


def _text(metadata: Mapping[str, MetadataValue], key: str, shown: str) -> str | None:
    value = metadata.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InvalidModelError(
        f"{shown} is a damaged GGUF file: its {key} is no short text. Download it again, or convert the model again"
    )


def _number(metadata: Mapping[str, MetadataValue], key: str, shown: str, default: int) -> int:
    value = metadata.get(key, default)
    if type(value) is int and 0 <= value <= 0xFFFF:
        return value
    raise InvalidModelError(
        f"{shown} is a damaged GGUF file: its {key} is {value!r}, not a small number. "
        "Download it again, or convert the model again"
    )


def _split_paths(path: Path, number: int, count: int) -> tuple[Path, ...]:
    match = _SPLIT_NAME.fullmatch(path.name)
    if match is None or int(match["number"]) != number + 1 or int(match["count"]) != count:
        return ()
    return tuple(path.with_name(f"{match['prefix']}-{part:05d}-of-{count:05d}.gguf") for part in range(1, count + 1))


def _check_kind(header: GGUFHeader, shown: str) -> None:
    kind = header.metadata.get("general.type")
    what = engine.COMPANION_TYPES.get(kind) if isinstance(kind, str) else None
    what = what or engine.COMPANION_ARCHITECTURES.get(header.architecture or "")
    if what:
        raise UnsupportedModelError(
            f"{shown} is {what}, not a language model that can be loaded by itself; "
            "give the path of the model it belongs to"
        )


def _check_split(header: GGUFHeader, shown: str) -> None:
    count, number = header.split_count, header.split_number
    if not header.split_paths:
        raise InvalidModelError(
            f"{shown} is part {number + 1} of a model split into {count} files and has been renamed; the parts are "
            f"found by name, so it must be called NAME-{number + 1:05d}-of-{count:05d}.gguf"
        )
    if number != 0:
        raise UnsupportedModelError(
            f"{shown} is part {number + 1} of a model split into {count} files; "
            f"give the path of the first part, {_shown(header.split_paths[0])}"
        )
    missing = [part for part in header.split_paths if not part.exists()]
    if missing:
        names = ", ".join(_shown(part.name) for part in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise ModelNotFoundError(
            f"{shown} is the first of {count} files, of which {len(missing)} are missing: {names}{more}; "
            f"download them into {_shown(header.path.parent)}"
        )
    tensors = header.tensor_count
    for expected, part in enumerate(header.split_paths[1:], start=1):
        found = read_header(part)
        if found.unusable_weight:
            raise _unusable_weight(found.unusable_weight, _shown(part))
        if found.split_number != expected or "split.no" not in found.metadata:
            raise InvalidModelError(
                f"{_shown(part)} should be part {expected + 1} of the split model {shown} but is another one; "
                "download it again"
            )
        tensors += found.tensor_count
    expected_tensors = header.metadata.get("split.tensors.count")
    if tensors != expected_tensors:
        raise InvalidModelError(
            f"the {count} parts of {shown} hold {tensors} tensors together and should hold {expected_tensors}; "
            "they do not belong together: download all of them again"
        )


def _check_architecture(header: GGUFHeader, shown: str, architectures: Collection[str]) -> None:
    if not header.architecture:
        raise InvalidModelError(
            f"{shown} is a GGUF file without general.architecture, so nothing says how to run it; "
            "convert the model again or download another copy"
        )
    if header.architecture not in architectures:
        raise UnsupportedModelError(
            f"{shown} has the architecture {quoted(header.architecture)}, which the llama.cpp engine of this gpt4all "
            f"does not have ({len(architectures)} others it has); update gpt4all, or choose another model"
        )


def _vocabulary_or_nothing(header: GGUFHeader) -> str:
    return "only a vocabulary" if "tokenizer.ggml.model" in header.metadata else "only metadata"
