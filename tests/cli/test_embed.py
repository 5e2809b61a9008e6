"""``gpt4all embed``: texts of any number into a file of vectors."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import testmodels

from tests.cli.conftest import RunCommand
from tests.support.command_line import Ended, Terminal

pytestmark = pytest.mark.model


@pytest.fixture(scope="session")
def tiny_bert() -> Path:
    return testmodels.ensure("tiny-bert")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"text number {number}\n" for number in range(600)), encoding="utf-8")
    return path


def embedded(command: RunCommand, model: Path, *words: object, **more: object) -> Ended:
    return command("embed", model, *words, "--prefix", "", **more)


def rows(path: Path) -> list[list[float]]:
    return [json.loads(line)["embedding"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_formats_hold_the_same(command: RunCommand, tiny_bert: Path, texts: Path, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    for name in ("o.jsonl", "o.npy", "o.csv"):
        done = embedded(command, tiny_bert, texts, "-o", tmp_path / name)
        assert (done.status, done.out, done.err) == (0, "", "")
        assert not (tmp_path / f"{name}.progress").exists()
    expected = rows(tmp_path / "o.jsonl")
    assert len(expected) == 600
    assert math.isclose(sum(number * number for number in expected[0]), 1, rel_tol=1e-5)
    array = numpy.load(tmp_path / "o.npy")
    assert array.dtype == numpy.float32
    assert numpy.array_equal(array, numpy.array(expected, dtype=numpy.float32))
    with open(tmp_path / "o.csv", encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    assert table[0][:2] == ["index", "0"]
    assert [[float(cell) for cell in line[1:]] for line in table[1:]] == expected


@pytest.mark.parametrize("name", ["o.jsonl", "o.npy", "o.csv"])
def test_it_goes_on_after_a_stop(command: RunCommand, tiny_bert: Path, texts: Path, tmp_path: Path, name: str) -> None:
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    assert embedded(command, tiny_bert, texts, "-o", whole).status == 0
    # The second half cannot be read, so that it stops after what comes before.
    broken = tmp_path / "broken"
    broken.mkdir()
    readable = texts.read_bytes()
    at = readable.index(b"text number 300\n")
    source = broken / "texts.txt"
    source.write_bytes(readable[:at] + b"\xff\n" + readable[at:])
    assert embedded(command, tiny_bert, source, "-o", out).status == 2
    assert out.with_name(f"{name}.progress").exists()
    # And half a row more, which a killed process leaves.
    with open(out, "ab") as file:
        file.write(b"0.25")
    source.write_bytes(readable)
    done = embedded(command, tiny_bert, source, "-o", out)
    assert done.status == 0
    assert done.err == "gpt4all: going on after 256 texts\n"
    assert out.read_bytes() == whole.read_bytes()


def test_it_does_not_go_on_with_other_texts(command: RunCommand, tiny_bert: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    good = texts.read_bytes()
    texts.write_bytes(good + b"\xff\n")
    assert embedded(command, tiny_bert, texts, "-o", out).status == 2
    texts.write_bytes(b"another\n" + good)
    done = embedded(command, tiny_bert, texts, "-o", out)
    assert done.status == 2
    assert "--overwrite" in done.err
    assert embedded(command, tiny_bert, texts, "-o", out, "--overwrite").status == 0
    assert len(rows(out)) == 601
    # What is finished is not touched by accident.
    before = out.read_bytes()
    assert embedded(command, tiny_bert, texts, "-o", out).status == 2
    assert out.read_bytes() == before


def test_jsonl_files_and_pipes(command: RunCommand, tiny_bert: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": "a", "text": "one"}\n"two"\n', encoding="utf-8")
    done = embedded(command, tiny_bert, source)
    first, second = map(json.loads, done.out.splitlines())
    assert first["id"] == "a"
    assert "id" not in second
    piped = embedded(command, tiny_bert, stdin="one\ntwo\n")
    assert [json.loads(line)["embedding"] for line in piped.out.splitlines()] == [
        first["embedding"],
        second["embedding"],
    ]
    (tmp_path / "one.txt").write_text("one", encoding="utf-8")
    whole = embedded(command, tiny_bert, "--files", tmp_path / "one.txt")
    assert json.loads(whole.out) == {"index": 0, "id": str(tmp_path / "one.txt"), "embedding": first["embedding"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-o", "out.txt"), "must end in"),
        (("no-such-file.txt",), "no-such-file.txt: No such file"),
        (("--dimensionality", "0"), "dimensionality"),
    ],
)
def test_mistakes(command: RunCommand, tiny_bert: Path, words: tuple[str, ...], says: str) -> None:
    done = embedded(command, tiny_bert, *words, stdin="one\n")
    assert done.status in (1, 2)
    assert says in done.err
    assert done.err.count("\n") == 1


def test_lines_that_are_typed(terminal: Callable[..., Terminal], tiny_bert: Path) -> None:
    typed = terminal("embed", tiny_bert, "--prefix", "")
    typed.wait_for("Ctrl-D ends it")
    typed.type("one\rtwo\r\x04")
    typed.wait_for('{"index": 1')
    assert typed.end() == 0


def test_a_model_that_writes_texts_is_refused(command: RunCommand, smollm2: Path, tmp_path: Path) -> None:
    done = command("embed", smollm2, "-o", tmp_path / "o.npy", stdin="one\n")
    assert done.status == 2
    assert "makes no embeddings" in done.err
    assert not list(tmp_path.glob("o.npy*"))


def test_a_line_that_is_no_json_is_not_embedded(command: RunCommand, tiny_bert: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('"one"\n{"text": "two"\n', encoding="utf-8")
    done = embedded(command, tiny_bert, source)
    assert (done.status, done.out) == (2, "")
    assert "in.jsonl, line 2 is not JSON" in done.err
