"""``gpt4all models``, ``doctor``, ``bench`` and ``completion``: what is here, and how it does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import testmodels

from tests.cli.conftest import RunCommand
from tests.support.fake.backend import END, FakeModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.mark.model
def test_list_and_info(command: RunCommand, folder: Path) -> None:
    tiny = testmodels.ensure("tiny-llama")
    (folder / tiny.name).symlink_to(tiny)
    (folder / "page.gguf").write_text("<!DOCTYPE html>")
    (listed, broken) = sorted(json.loads(command("models", "list", "--json").out), key=lambda row: "error" in row)
    assert (listed["model_name"], listed["kind"], listed["fits"]) == (tiny.name, "text", True)
    assert listed["memory_needed"] > listed["size"]
    assert (broken["kind"], broken["fits"]) == ("unusable", None)
    shown = command("models", "list")
    assert "text, fits" in shown.out
    info = json.loads(command("models", "info", tiny.name, "--json").out)
    assert (info["architecture"], info["quantisation"]) == ("llama", "F32")
    more = json.loads(command("models", "info", tiny.name, "--json", "--n-ctx", "16").out)
    assert more["memory_needed"] < info["memory_needed"]
    assert "quantisation    F32" in command("models", "info", tiny.name).out


def test_nothing_here(command: RunCommand) -> None:
    done = command("models", "list")
    assert (done.status, done.out) == (0, "")
    assert "models search" in done.err


def test_verify_and_delete(command: RunCommand, folder: Path) -> None:
    model = folder / "mine.gguf"
    model.write_bytes(b"GGUF")
    unknown = command("models", "verify", "mine.gguf")
    assert unknown.status == 2
    assert command("models", "verify", "mine.gguf", "--md5", "0" * 32).status == 1
    assert command("models", "verify", "mine.gguf", "--md5", "cc8fd4bbf0b0f15b0c6cc6ebd2eeee7e").status == 1
    refused = command("models", "delete", "mine.gguf")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert model.exists()
    assert command("models", "delete", "mine.gguf", "--yes").out == f"deleted {model}\n"
    assert not model.exists()
    assert command("models", "delete", "mine.gguf", "--yes").status == 3


@pytest.mark.parametrize("words", [(), ("mend",), ("info",), ("info", "no-such.gguf")])
def test_mistakes(command: RunCommand, words: tuple[str, ...]) -> None:
    done = command("models", *words)
    assert done.status in (2, 3)
    assert done.err.startswith("gpt4all: error: ")
    assert done.err.count("\n") == 1


def test_the_doctor_tells_whether_generation_works(
    command: RunCommand, fake_model: FakeModel, environment: dict[str, str], tmp_path: Path
) -> None:
    model = fake_model(" x", END)
    well = command("doctor", model, "--json")
    assert well.status == 0
    assert json.loads(well.out)["generation"]["backend"] == "cpu"
    assert "generation works" in command("doctor").out
    ill = command("doctor", tmp_path / "nothing.gguf")
    assert ill.status == 1
    assert "does not exist" in ill.out


@pytest.mark.model
def test_bench(command: RunCommand) -> None:
    words = ("-p", "32", "-n", "8", "-r", "2", "--device", "cpu")
    done = command("bench", testmodels.ensure("tiny-llama"), *words, "--json")
    assert done.status == 0, done.err
    tests = [json.loads(line) for line in done.out.splitlines()]
    assert [test["test"] for test in tests] == ["pp32", "tg8"]
    assert all(test["tokens_per_second"] > 0 for test in tests)
    assert command("bench", testmodels.ensure("tiny-llama"), "-r", "0").status == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(command: RunCommand, tmp_path: Path, shell: str) -> None:
    pytest.importorskip("shtab")
    done = command("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "max-tokens" in done.out or shell == "tcsh"
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.out, text=True, check=True)
