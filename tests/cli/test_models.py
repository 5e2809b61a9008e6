"""``gpt4all models``, ``doctor``, ``bench`` and ``completion``: what is here, and how it does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import testmodels

from tests.cli.conftest import RunCommand
from tests.support.command_line import DEADLINE, command_line
from tests.support.fake.backend import END, FakeModel, write_fake_model
from tests.support.http.served import until
from tests.support.http.server import HttpServer, Reply


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


def test_search_download_verify(command: RunCommand, folder: Path, environment: dict[str, str], tmp_path: Path) -> None:
    model = write_fake_model(tmp_path / "source.gguf", " x", END).read_bytes()
    hashes = {"md5sum": hashlib.md5(model).hexdigest(), "filesize": str(len(model))}
    with HttpServer() as server:
        server.add("/models/gguf/small-chat.gguf", model)
        entries = [
            {"filename": "small-chat.gguf", "ramrequired": "1", **hashes},
            {"filename": "large-chat.gguf", "ramrequired": "100000", "filesize": "50000000000"},
        ]
        environment["GPT4ALL_CATALOG_URL"] = server.add("/models/models3.json", json.dumps(entries).encode())
        found = command("models", "search", "chat")
        assert found.status == 0, found.err
        shown = found.out.splitlines()
        assert [line.split()[0] for line in shown] == ["MODEL", "small-chat.gguf", "large-chat.gguf"]
        assert shown[1].split() == ["small-chat.gguf", "0", "MB", "1.1", "GB", "fits"]
        assert shown[2].endswith("too large")
        fitting = json.loads(command("models", "search", "--fits", "--json").out)
        assert [entry["filename"] for entry in fitting] == ["small-chat.gguf"]
        nothing = command("models", "search", "no-such")
        assert (nothing.status, nothing.out) == (0, "")
        assert "no model of the catalogue matches" in nothing.err
        done = command("models", "download", "small-chat")
        assert (done.status, done.out) == (0, f"{folder / 'small-chat.gguf'}\n"), done.err
        assert (folder / "small-chat.gguf").read_bytes() == model
        assert command("models", "verify", "small-chat.gguf").status == 0
        missing = command("models", "download", "small-chap")
        assert missing.status == 1
        assert "similar: small-chat.gguf" in missing.err
    # Without the server: what is here stays usable.
    assert command("models", "download", "small-chat").out == done.out
    alone = command("models", "search")
    assert (alone.status, alone.out) == (1, "")
    assert alone.err.startswith("gpt4all: error: the catalogue cannot be had: no connection to 127.0.0.1")
    assert alone.err.count("\n") == 1


def test_a_download_goes_on_where_it_broke_off(command: RunCommand, folder: Path, environment: dict[str, str]) -> None:
    content = b"GGUF" + bytes(1 << 20)
    entry = {"filename": "m.gguf", "filesize": str(len(content)), "md5sum": hashlib.md5(content).hexdigest()}
    with HttpServer() as server:
        environment["GPT4ALL_CATALOG_URL"] = server.add("/models/models3.json", json.dumps([entry]).encode())
        server.add("/models/gguf/m.gguf", content)
        server.script["/models/gguf/m.gguf"] = [Reply(hold_after=1 << 19)]
        words = command_line("models", "download", "m.gguf")
        with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as running:
            part = folder / "m.gguf.part"
            until(lambda: running.poll() is not None or (part.exists() and part.stat().st_size >= 1 << 18))
            assert running.poll() is None
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=DEADLINE)
        assert (running.returncode, out, err) == (130, b"", b"")
        server.release.set()
        assert command("models", "download", "m.gguf").status == 0
        assert any(request.headers["Range"] for request in server.received)
    assert (folder / "m.gguf").read_bytes() == content


def test_verify_and_delete(command: RunCommand, folder: Path) -> None:
    model = folder / "mine.gguf"
    model.write_bytes(b"GGUF")
    unknown = command("models", "verify", "mine.gguf")
    assert unknown.status == 2
    assert "give --md5 or --sha256" in unknown.err
    assert "--md5 must be 32" in command("models", "verify", "mine.gguf", "--md5", "zz").err
    assert command("models", "verify", "mine.gguf", "--md5", "0" * 32).status == 1
    assert command("models", "verify", "mine.gguf", "--md5", "cc8fd4bbf0b0f15b0c6cc6ebd2eeee7e").status == 1
    refused = command("models", "delete", "mine.gguf")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert model.exists()
    assert command("models", "delete", "mine.gguf", "--yes").out == f"deleted {model}\n"
    assert not model.exists()
    assert command("models", "delete", "mine.gguf", "--yes").status == 3


@pytest.mark.parametrize(
    "words", [(), ("mend",), ("info",), ("info", "no-such.gguf"), ("info", ".."), ("list", "--model-path", "no-such")]
)
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


def test_the_doctor_tells_why_a_library_does_not_work(
    command: RunCommand, fake_model: FakeModel, environment: dict[str, str], tmp_path: Path
) -> None:
    fake_model(END)
    library = tmp_path / "broken" / "cuda" / "libgpt4all-cuda.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"no library")
    environment["GPT4ALL_BACKEND_PATH"] += f"{os.pathsep}{tmp_path / 'broken'}"
    lines = command("doctor").out.splitlines()
    after = lines[lines.index("backend cuda     does not work:") + 1]
    assert after.split(" (")[0].strip() == str(library)
    assert "GPT4ALL_BACKEND_PATH" in after
    assert len(after.rpartition(": ")[2]) > 10


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
