"""Models split into several files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt4all.errors import InvalidModelError, ModelNotFoundError, UnsupportedModelError
from gpt4all.gguf.preflight import preflight, read_header
from tests.support.gguf import writer as w
from tests.support.gguf.samples import METADATA, TENSORS, refusal
from tests.support.gguf.writer import Tensor, Typed, write_gguf


def split(folder: Path, count: int, **changes: Any) -> list[Path]:
    """A model split as llama-gguf-split does it: metadata in the first part only, one tensor in each."""
    paths = []
    for number in range(count):
        metadata = {
            **(METADATA if number == 0 else {}),
            "split.no": Typed(w.U16, number),
            "split.count": Typed(w.U16, count),
            "split.tensors.count": Typed(w.I32, count),
            **changes,
        }
        path = folder / f"m-{number + 1:05d}-of-{count:05d}.gguf"
        paths.append(write_gguf(path, metadata, [Tensor(f"t{number}", (4,))]))
    return paths


def test_whole_split(tmp_path: Path) -> None:
    paths = split(tmp_path, 3)
    header = preflight(paths[0])
    assert (header.split_count, header.split_number, header.split_paths) == (3, 0, tuple(paths))
    second = read_header(paths[1])
    assert (second.architecture, second.split_number, second.split_paths) == (None, 1, tuple(paths))


def test_split_whose_first_part_has_no_tensors(tmp_path: Path) -> None:
    first, _ = split(tmp_path, 2, **{"split.tensors.count": Typed(w.I32, 1)})
    metadata = METADATA | {"split.no": 0, "split.count": 2, "split.tensors.count": 1}
    write_gguf(first, metadata)
    assert preflight(first).tensor_count == 0


def test_split_with_parts_missing(tmp_path: Path) -> None:
    paths = split(tmp_path, 4)
    paths[1].unlink()
    paths[3].unlink()
    error = refusal(paths[0])
    assert type(error) is ModelNotFoundError
    assert "2 are missing: m-00002-of-00004.gguf, m-00004-of-00004.gguf" in str(error)


def test_split_with_very_many_parts_missing(tmp_path: Path) -> None:
    metadata = METADATA | {"split.no": 0, "split.count": 9999, "split.tensors.count": 9}
    error = refusal(write_gguf(tmp_path / "m-00001-of-09999.gguf", metadata, TENSORS))
    assert "and 9988 more" in str(error)


def test_later_part_of_a_split(tmp_path: Path) -> None:
    paths = split(tmp_path, 3)
    error = refusal(paths[2])
    assert type(error) is UnsupportedModelError
    assert "part 3" in str(error)
    assert str(paths[0]) in str(error)


def test_renamed_part_of_a_split(tmp_path: Path) -> None:
    paths = split(tmp_path, 2)
    error = refusal(paths[0].rename(tmp_path / "model.gguf"))
    assert type(error) is InvalidModelError
    assert "NAME-00001-of-00002.gguf" in str(error)


def test_damaged_part_of_a_split(tmp_path: Path) -> None:
    paths = split(tmp_path, 2)
    paths[1].write_bytes(paths[1].read_bytes()[:-20])
    error = refusal(paths[0])
    assert type(error) is InvalidModelError
    assert "truncated" in str(error)
    assert str(paths[1]) in str(error)


def test_swapped_parts_of_a_split(tmp_path: Path) -> None:
    paths = split(tmp_path, 3)
    paths[2].write_bytes(paths[1].read_bytes())
    error = refusal(paths[0])
    assert type(error) is InvalidModelError
    assert "should be part 3" in str(error)


def test_parts_of_different_models(tmp_path: Path) -> None:
    error = refusal(split(tmp_path, 2, **{"split.tensors.count": Typed(w.I32, 5)})[0])
    assert type(error) is InvalidModelError
    assert "hold 2 tensors together and should hold 5" in str(error)
