"""The header preflight: what it reads, at what cost, and that nothing but typed errors leaves it."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gpt4all.errors import GPT4AllError, InvalidModelError, UnsupportedModelError
from gpt4all.gguf.preflight import SkippedValue, preflight, read_header
from tests.support.gguf import writer as w
from tests.support.gguf.samples import METADATA, TENSORS, changed, one_value, refusal, tiny, u32, u64, write
from tests.support.gguf.writer import Typed, write_gguf

CORPUS = Path(__file__).parent.parent / "corpus" / "gguf"


def test_a_sound_model_gives_its_facts(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", METADATA, TENSORS)
    header = preflight(path)
    assert (header.path, header.file_size, header.version) == (path, path.stat().st_size, 3)
    assert (header.architecture, header.name, header.tensor_count) == ("llama", "Tiny", 3)
    assert (header.split_count, header.split_number, header.split_paths) == (1, 0, (path,))
    assert header.context_length == 64
    assert not header.is_embedding
    with pytest.raises(TypeError):
        header.metadata["x"] = 1  # type: ignore[index]


def test_the_padding_of_the_last_tensor_may_be_missing(tmp_path: Path) -> None:
    assert preflight(write(tmp_path / "m.gguf", changed()[:-12])).tensor_count == 3


@pytest.mark.parametrize("alignment", [1, 8, 4096])
def test_other_alignments(alignment: int, tmp_path: Path) -> None:
    metadata = METADATA | {"general.alignment": alignment}
    assert preflight(write_gguf(tmp_path / "m.gguf", metadata, TENSORS, alignment=alignment)).tensor_count == 3


def test_version_2_is_read(tmp_path: Path) -> None:
    assert preflight(write(tmp_path / "m.gguf", changed(version=2))).version == 2


def test_every_value_type_is_read(tmp_path: Path) -> None:
    values: dict[str, tuple[Any, Any]] = {
        "u8": (Typed(w.U8, 200), 200),
        "i8": (Typed(w.I8, -3), -3),
        "u16": (Typed(w.U16, 60_000), 60_000),
        "i16": (Typed(w.I16, -300), -300),
        "u32": (1 << 31, 1 << 31),
        "i32": (-5, -5),
        "f32": (0.5, 0.5),
        "bool": (True, True),
        "string": ("häß 🦙", "häß 🦙"),
        "u64": (1 << 40, 1 << 40),
        "i64": (-(1 << 40), -(1 << 40)),
        "f64": (Typed(w.F64, 0.1), 0.1),
        "empty": ([], ()),
        "numbers": ([1, 2, 3], (1, 2, 3)),
        "flags": ([True, False], (True, False)),
        "strings": (["a", "", "ü"], ("a", "", "ü")),
        "no strings": (Typed(w.STRING, []), ()),
        "bad utf-8": (b"a\xff", "a\ufffd"),
        "long": (list(range(1025)), SkippedValue("u32", 1025)),
        "long strings": (["x"] * 1025, SkippedValue("string", 1025)),
        "long string": ("x" * ((1 << 20) + 1), SkippedValue("bytes", (1 << 20) + 1)),
        "heavy strings": (["x" * 400_000] * 3, SkippedValue("string", 3)),
    }
    path = write_gguf(tmp_path / "m.gguf", {key: written for key, (written, _) in values.items()})
    assert dict(read_header(path).metadata) == {key: read for key, (_, read) in values.items()}


@pytest.mark.parametrize("window", [1, 24, 31, 64, 4096])
def test_where_the_window_ends_does_not_matter(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"w{number}" * (number % 40) for number in range(3000)]
    metadata = METADATA | {"tokenizer.ggml.tokens": words, "tokenizer.ggml.scores": [0.0] * 3000, "after": "end"}
    path = write_gguf(tmp_path / "m.gguf", metadata, TENSORS)
    expected = preflight(path)
    monkeypatch.setattr("gpt4all.gguf.window._WINDOW_BYTES", window)
    assert preflight(path) == expected
    assert expected.metadata["tokenizer.ggml.tokens"] == SkippedValue("string", 3000)
    assert expected.metadata["after"] == "end"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"general.architecture": "bert"}, True),
        ({"general.architecture": "nomic-bert-moe"}, True),
        ({"general.architecture": "t5encoder"}, True),
        ({"general.architecture": "llama-embed"}, True),
        ({"general.architecture": "t5"}, False),
        ({"general.architecture": "llama"}, False),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, True),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 0}, False),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 0xFFFFFFFF}, False),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": "mean"}, False),
        ({"general.architecture": "qwen3", "llama.pooling_type": 3}, False),
    ],
)
def test_embedding_models_are_told_from_generating_ones(
    metadata: dict[str, Any], expected: bool, tmp_path: Path
) -> None:
    assert preflight(write_gguf(tmp_path / "m.gguf", metadata, TENSORS)).is_embedding is expected


def test_the_caller_may_say_which_architectures_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", tiny(general__architecture="frob9"))
    assert preflight(path, architectures={"frob9"}).architecture == "frob9"
    with pytest.raises(UnsupportedModelError, match="'frob9'"):
        preflight(path, architectures=["llama"])


def test_experts_as_the_engine_wants_them(tmp_path: Path) -> None:
    metadata = METADATA | {
        "llama.expert_count": 8,
        "llama.expert_used_count": [2, 1],
        "llama.expert_group_count": 4,
        "llama.expert_group_used_count": 2,
    }
    assert preflight(write_gguf(tmp_path / "m.gguf", metadata, TENSORS)).architecture == "llama"
    dense = {"general.architecture": "hunyuan-dense", "hunyuan-dense.expert_count": 1}
    assert preflight(write_gguf(tmp_path / "h.gguf", dense, TENSORS)).architecture == "hunyuan-dense"


@pytest.mark.skipif(sys.platform == "win32", reason="a file with holes takes real space there")
def test_claimed_lengths_take_no_memory(tmp_path: Path) -> None:
    entries = [
        one_value(u32(8) + u64(1 << 29)),
        one_value(u32(9) + u32(4) + u64(1 << 27)),
        one_value(u32(9) + u32(8) + u64(2) + u64(1 << 29)),
    ]
    tracemalloc.start()
    try:
        for content in entries:
            path = write(tmp_path / "m.gguf", content)
            os.truncate(path, 1 << 30)
            read_header(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.gguf", changed())
    whole = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        before = whole(descriptor)
        os.truncate(path, 100)
        return before

    monkeypatch.setattr(os, "fstat", fstat)
    error = refusal(path)
    assert type(error) is InvalidModelError
    assert "truncated" in str(error)
    assert "at byte 100" in str(error)


def test_random_damage_gives_typed_errors_only(tmp_path: Path) -> None:
    source = random.Random(2009)
    sound = changed()
    interesting = (0, 1, 0x7F, 0x80, 0xFF)
    refused = 0
    # The file stays open, because closing a rewritten one makes some file systems wait for the disk.
    with open(tmp_path / "m.gguf", "w+b", buffering=0) as file:
        for _ in range(1500):
            content = bytearray(sound)
            for _ in range(source.randrange(1, 4)):
                position = source.randrange(4, len(content))
                content[position] = source.choice(interesting) if source.random() < 0.5 else source.randrange(256)
            if source.random() < 0.2:
                del content[source.randrange(len(content)) :]
            file.seek(0)
            file.truncate(file.write(content))
            try:
                preflight(tmp_path / "m.gguf")
            except GPT4AllError:
                refused += 1
    assert refused > 300


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_fuzzing_corpus(path: Path) -> None:
    with contextlib.suppress(GPT4AllError):
        assert preflight(path).file_size == path.stat().st_size


def test_the_corpus_is_there_and_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.iterdir()]
    assert len(sizes) >= 10
    assert sum(sizes) < 200_000


def test_it_is_a_leaf() -> None:
    """Judging a file takes neither ctypes nor sockets, nor the rest of the package."""
    program = """
import sys, types
package = types.ModuleType("gpt4all")
package.__path__ = [sys.argv[1]]
sys.modules["gpt4all"] = package
import gpt4all.gguf
own = sorted(name for name in sys.modules if name.startswith("gpt4all."))
heavy = sorted({"ctypes", "socket", "ssl", "requests", "subprocess", "threading", "mmap"} & set(sys.modules))
print(*own, "|", *heavy)
"""
    folder = Path(sys.modules["gpt4all"].__file__ or "").parent
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    own, heavy = done.stdout.split("|")
    assert {name for name in own.split() if not name.startswith("gpt4all.gguf")} == {"gpt4all.checks", "gpt4all.errors"}
    assert heavy.split() == []
