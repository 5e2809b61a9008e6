"""Every file that is no loadable model gets an error of its own, which says what to do."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gpt4all.errors import (
    GPT4AllError,
    InvalidModelError,
    ModelLoadError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from gpt4all.gguf.preflight import preflight, read_header
from tests.support.gguf.samples import METADATA, TENSORS, changed, one_tensor, one_value, refusal, tiny, u32, u64, write
from tests.support.gguf.writer import TYPE_IDS, Tensor, build_gguf, write_gguf


class Bad(NamedTuple):
    id: str
    content: bytes
    error: type[GPT4AllError]
    words: tuple[str, ...]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 98362432\n"
SAFETENSORS = u64(64) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(64) + bytes(4)

FOREIGN = [
    Bad("empty", b"", InvalidModelError, ("empty", "download")),
    Bad("ggml", b"lmgg" + bytes(60), InvalidModelError, ("legacy", "ggml (unversioned)", "convert")),
    Bad("ggmf", b"fmgg" + bytes(60), InvalidModelError, ("legacy", "ggmf", "convert")),
    Bad("ggjt", b"tjgg" + u32(3) + bytes(60), InvalidModelError, ("legacy", "ggjt", "convert")),
    Bad("ggla", b"algg" + bytes(60), InvalidModelError, ("legacy", "ggla", "LoRA")),
    Bad("ggsn", b"nsgg" + bytes(60), InvalidModelError, ("legacy", "ggsn", "session")),
    Bad("ggjt forwards", b"ggjt" + bytes(60), InvalidModelError, ("legacy", "ggjt")),
    Bad("html", b"\n<!DOCTYPE html><html><title>404</title>", InvalidModelError, ("web page", "DOCTYPE", "download")),
    Bad("html with BOM", b"\xef\xbb\xbf<HTML>", InvalidModelError, ("web page", "<HTML>")),
    Bad("xml", b"<?xml version='1.0'?><Error/>", InvalidModelError, ("web page", "<?xml")),
    Bad("lfs", LFS, InvalidModelError, ("Git LFS pointer", "98362432 bytes", "git lfs pull")),
    Bad("lfs cut", LFS[:50], InvalidModelError, ("Git LFS pointer", "git lfs pull")),
    Bad("json", b'{"error":"Not found"}', InvalidModelError, ("JSON text", "Not found", "download")),
    Bad("text", b"Entry not found", InvalidModelError, ("but text", "Entry not found")),
    Bad("utf-8 text", "Datei fehlt – bedaure".encode(), InvalidModelError, ("but text", "bedaure")),
    Bad("zip", b"PK\x03\x04" + bytes(40), InvalidModelError, ("ZIP", "PyTorch", "convert_hf_to_gguf.py")),
    Bad("pickle", b"\x80\x02\x8a\nl", InvalidModelError, ("pickle", "convert_hf_to_gguf.py")),
    Bad("safetensors", SAFETENSORS, InvalidModelError, ("safetensors", "convert_hf_to_gguf.py")),
    Bad("gzip", b"\x1f\x8b\x08" + bytes(40), InvalidModelError, ("gzip", "unpack")),
    Bad("tar", bytes(100) + b"x" + bytes(156) + b"ustar" + bytes(40), InvalidModelError, ("tar archive", "unpack")),
    Bad("program", b"\x7fELF" + bytes(40), InvalidModelError, ("program", "llamafile")),
    Bad("zeros", bytes(4096), InvalidModelError, ("512 zero bytes", "never finished")),
    Bad("noise", bytes(range(200, 232)), InvalidModelError, ("c8 c9 ca cb", "'GGUF'")),
    Bad("three bytes", b"GGU", InvalidModelError, ("but text", "GGU")),
    Bad("swapped magic", b"FUGG" + bytes(60), InvalidModelError, ("FUGG", "swapped")),
]

DAMAGED = [
    Bad("big-endian", changed(byte_order=">"), UnsupportedModelError, ("big-endian", "little-endian")),
    Bad("version 0", changed(version=0), UnsupportedModelError, ("version 0", "too old", "2 to 3")),
    Bad("version 1", changed(version=1), UnsupportedModelError, ("version 1", "too old")),
    Bad("version 4", changed(version=4), UnsupportedModelError, ("version 4", "newest supported one is 3", "update")),
    Bad("cut after magic", changed()[:4], InvalidModelError, ("truncated", "header", "to byte 24", "ends at byte 4;")),
    Bad("cut in counts", changed()[:20], InvalidModelError, ("truncated", "header", "to byte 24", "ends at byte 20;")),
    Bad(
        "cut after counts",
        changed()[:24],
        InvalidModelError,
        ("truncated", "key of metadata entry 1 of 6", "at byte 24;"),
    ),
    Bad("cut in value", changed()[:60], InvalidModelError, ("truncated", "'general.architecture'", "at byte 60;")),
    Bad("cut in tensors", changed()[:-700], InvalidModelError, ("truncated", "description of tensor")),
    Bad(
        "cut in data", changed()[:-40], InvalidModelError, ("truncated", "tensors end at byte", "28 bytes are missing")
    ),
    Bad("tensor count", changed(tensor_count=1 << 60), InvalidModelError, (f"{1 << 60} tensors", "at most")),
    Bad("entry count", changed(entry_count=1 << 60), InvalidModelError, (f"{1 << 60} metadata entries", "at most")),
    Bad("key length", build_gguf({}, entry_count=1) + u64(70_000), InvalidModelError, ("string claims 70000",)),
    Bad("empty key", build_gguf([("", 1)]), InvalidModelError, ("key of metadata entry 1 is empty",)),
    Bad("same key", build_gguf([("k", 1), ("k", 2)]), InvalidModelError, ("'k' stands in it twice",)),
    Bad("value type", one_value(u32(13)), InvalidModelError, ("'k'", "unknown value type 13")),
    Bad("string length", one_value(u32(8) + u64(1 << 62)), InvalidModelError, ("'k'", f"claims {1 << 62} bytes")),
    Bad("string cut", one_value(u32(8) + u64(9999)), InvalidModelError, ("truncated", "'k'")),
    Bad("array type", one_value(u32(9) + u32(77) + u64(1)), InvalidModelError, ("'k'", "array", "type 77")),
    Bad("array of arrays", one_value(u32(9) + u32(9) + u64(1)), InvalidModelError, ("'k'", "array of arrays")),
    Bad("array length", one_value(u32(9) + u32(0) + u64(1 << 50)), InvalidModelError, (f"{1 << 50} elements",)),
    Bad("array cut", one_value(u32(9) + u32(4) + u64(99)), InvalidModelError, ("truncated", "'k'", "to byte 445")),
    Bad("strings length", one_value(u32(9) + u32(8) + u64(1 << 40)), InvalidModelError, (f"{1 << 40} elements",)),
    Bad("strings cut", one_value(u32(9) + u32(8) + u64(2) + u64(8) + bytes(8)), InvalidModelError, ("truncated",)),
    Bad(
        "string in array",
        one_value(u32(9) + u32(8) + u64(1) + u64((1 << 64) - 8)),
        InvalidModelError,
        ("'k'", "claims more than"),
    ),
    Bad("alignment", tiny(general__alignment=48), InvalidModelError, ("general.alignment is 48", "power of two")),
    Bad("alignment 0", tiny(general__alignment=0), InvalidModelError, ("general.alignment is 0",)),
    Bad("alignment text", tiny(general__alignment="x"), InvalidModelError, ("general.alignment is 'x'",)),
    Bad("tensor name", one_tensor("n" * 64, (1,)), InvalidModelError, ("string claims 64", "63")),
    Bad("same tensor", tiny((TENSORS[0], TENSORS[0])), InvalidModelError, ("'token_embd.weight' stands in it twice",)),
    Bad("dimensions", one_tensor("t", (1,) * 5), InvalidModelError, ("'t'", "5 dimensions")),
    Bad("shape", one_tensor("t", (1 << 40, 1 << 40)), InvalidModelError, ("'t'", "impossible shape")),
    Bad("negative", one_tensor("t", ((1 << 64) - 1, 0)), InvalidModelError, ("'t'", "impossible shape")),
    Bad("row length", one_tensor("t", (33, 2), 2), InvalidModelError, ("'t'", "rows of 33", "32 in a Q4_0 block")),
    Bad("all together", one_tensor("t", ((1 << 62) + 32,), 28), InvalidModelError, ("more than any file",)),
    Bad("offset", one_tensor("t", (1,), offset=7), InvalidModelError, ("'t'", "offset 7", "multiple of 32")),
    Bad("gap", one_tensor("t", (1,), offset=64), InvalidModelError, ("'t'", "offset 64, not at 0")),
    Bad("tensor type", one_tensor("t", (32,), 99), UnsupportedModelError, ("'t'", "id 99", "update gpt4all")),
    Bad("removed type", one_tensor("t", (32,), 31), UnsupportedModelError, ("'t'", "Q4_0_4_4", "Q4_0 file")),
    Bad("name type", tiny(general__name=7), InvalidModelError, ("general.name", "no short text")),
    Bad("arch type", tiny(general__architecture=7), InvalidModelError, ("general.architecture is no short text",)),
    Bad("split.count", tiny(split__count=-1), InvalidModelError, ("split.count is -1",)),
    Bad("control codes", one_tensor("\x1b[2Jt", (1,), offset=7), InvalidModelError, (r"'\x1b[2Jt'",)),
]

NOT_LOADABLE = [
    Bad("architecture", tiny(general__architecture="frob9"), UnsupportedModelError, ("'frob9'", "llama.cpp", "update")),
    Bad("gptj", tiny(general__architecture="gptj"), UnsupportedModelError, ("'gptj'", "does not have")),
    Bad("no architecture", tiny(drop="general.architecture"), InvalidModelError, ("without general.architecture",)),
    Bad("clip", tiny(general__architecture="clip"), UnsupportedModelError, ("multimodal projector",)),
    Bad("mmproj", tiny(general__type="mmproj"), UnsupportedModelError, ("multimodal projector",)),
    Bad("lora", tiny(general__type="adapter"), UnsupportedModelError, ("LoRA adapter",)),
    Bad("imatrix", build_gguf({"general.type": "imatrix"}), UnsupportedModelError, ("importance matrix",)),
    Bad("draft", tiny(general__architecture="eagle3"), UnsupportedModelError, ("draft model",)),
    Bad("vocabulary", tiny(()), UnsupportedModelError, ("only a vocabulary", "no weights")),
    Bad("metadata only", build_gguf({"general.architecture": "llama"}), UnsupportedModelError, ("only metadata",)),
    Bad("layers", tiny(llama__block_count=0), InvalidModelError, ("llama.block_count is 0", "1 and 512")),
    Bad("many layers", tiny(llama__block_count=513), InvalidModelError, ("llama.block_count is 513",)),
    Bad("nextn", tiny(llama__nextn_predict_layers=3), InvalidModelError, ("nextn_predict_layers is 3", "at most 2")),
    Bad("rope", tiny(llama__rope__scaling__type="x"), InvalidModelError, ("rope.scaling.type is 'x'", "yarn")),
    Bad("pooling", tiny(llama__pooling_type=33), InvalidModelError, ("llama.pooling_type is 33", "from 0 to 4")),
    Bad(
        "whole numbers as weights",
        tiny((Tensor("blk.0.attn_q.weight", (32, 8), TYPE_IDS["I8"]),)),
        InvalidModelError,
        ("blk.0.attn_q.weight", "I8", "cannot multiply"),
    ),
    Bad("experts", tiny(llama__expert_count=2000), InvalidModelError, ("expert_count is 2000", "1024")),
    Bad("no expert used", tiny(llama__expert_count=8), InvalidModelError, ("expert_used_count is None", "1 and")),
    Bad(
        "experts used",
        tiny(llama__expert_count=8, llama__expert_used_count=[2, 9]),
        InvalidModelError,
        ("expert_used_count is (2, 9)", "expert_count, 8"),
    ),
    Bad(
        "groups",
        tiny(llama__expert_count=8, llama__expert_used_count=2, llama__expert_group_count=3),
        InvalidModelError,
        ("expert_group_count is 3", "divisor"),
    ),
]


@pytest.mark.parametrize("case", FOREIGN + DAMAGED + NOT_LOADABLE, ids=lambda case: case.id)
def test_a_bad_file_is_named_for_what_it_is(case: Bad, tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", case.content)
    error = refusal(path)
    assert type(error) is case.error
    message = str(error)
    assert message.startswith(str(path))
    for word in case.words:
        assert word in message.removeprefix(str(path))
    assert message.isprintable()


def test_messages_tell_the_cases_apart(tmp_path: Path) -> None:
    families = [[case for case in FOREIGN if "ggjt" not in case.id], DAMAGED, NOT_LOADABLE]
    same_on_purpose = {"ggjt forwards", "alignment 0", "version 1", "clip", "gptj", "many layers", "negative"}
    for family in families:
        messages = [
            str(refusal(write(tmp_path / "m", case.content))) for case in family if case.id not in same_on_purpose
        ]
        assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("case", DAMAGED, ids=lambda case: case.id)
def test_a_damaged_header_is_refused_by_read_header_too(case: Bad, tmp_path: Path) -> None:
    with pytest.raises(case.error):
        read_header(write(tmp_path / "model.gguf", case.content))


def test_missing_file(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.gguf")
    assert type(error) is ModelNotFoundError
    assert str(tmp_path / "none.gguf") in str(error)
    assert isinstance(error, FileNotFoundError)


def test_missing_file_below_a_file(tmp_path: Path) -> None:
    error = refusal(write(tmp_path / "file", b"x") / "m.gguf")
    assert type(error) is ModelNotFoundError
    assert "no folder" in str(error)


def test_dangling_link(tmp_path: Path) -> None:
    link = tmp_path / "m.gguf"
    try:
        link.symlink_to(tmp_path / "blob")
    except OSError:
        pytest.skip("this user may not make links")
    error = refusal(link)
    assert type(error) is ModelNotFoundError
    assert f"link to {tmp_path / 'blob'}" in str(error)


def test_impossible_path() -> None:
    assert type(refusal("a\0b.gguf")) is ModelNotFoundError


def test_directory(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert type(error) is InvalidModelError
    assert "folder" in str(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    error = refusal(tmp_path / "pipe")
    assert type(error) is InvalidModelError
    assert "pipe" in str(error)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder open to all, seen by a user whom file permissions bind."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of this kind exist on POSIX only")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_no_permission(unprivileged: Path) -> None:
    uid = os.geteuid()
    os.seteuid(os.getuid())
    path = write_gguf(unprivileged / "m.gguf", METADATA, TENSORS)
    path.chmod(0)
    os.seteuid(uid)
    error = refusal(path)
    assert type(error) is ModelLoadError
    assert "permission denied" in str(error)
    assert str(path) in str(error)
    assert isinstance(error.__cause__, PermissionError)


def test_path_with_emoji_and_spaces(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "mein 🦙 Modell.gguf", METADATA, TENSORS)
    assert preflight(str(path)).path == path
    assert "🦙" in str(refusal(tmp_path / "🦙.gguf"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such names cannot exist")
def test_path_that_is_no_utf8_can_be_printed(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/m\xff.gguf")
    assert "\\udcff" in str(refusal(path)).encode("utf-8").decode("utf-8")


def test_a_single_row_is_a_weight_too(tmp_path: Path) -> None:
    """Writers leave out dimensions of 1, so what is multiplied with may look like a norm."""
    path = write(tmp_path / "model.gguf", tiny((Tensor("blk.0.attn_gate.weight", (32,), TYPE_IDS["I8"]),)))
    assert "blk.0.attn_gate.weight" in str(refusal(path))
