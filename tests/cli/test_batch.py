"""``gpt4all batch``: many prompts, answered once each whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunCommand
from tests.support.command_line import DEADLINE, Ended, command_line
from tests.support.fake.backend import END, FakeModel


def lines(path: Path) -> dict[int, dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({line["index"] for line in found}) == len(found), "a prompt was answered twice"
    return {line["index"]: line for line in found}


def batch(command: RunCommand, *words: object, **more: object) -> Ended:
    """On the fake, which computes one thing at a time."""
    return command("batch", *words, "-j", "1", **more)


def written(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return written(
        tmp_path / "in.jsonl", "one", {"id": "b", "prompt": "two"}, {"messages": [{"role": "user", "content": "x"}]}
    )


def test_every_prompt_has_a_line(command: RunCommand, fake_model: FakeModel, prompts: Path, tmp_path: Path) -> None:
    done = batch(command, fake_model(" yes", END), prompts, "-o", tmp_path / "out.jsonl")
    assert (done.status, done.out, done.err) == (0, "", "")
    found = lines(tmp_path / "out.jsonl")
    assert [found[index]["text"] for index in range(3)] == [" yes"] * 3
    assert found[1]["id"] == "b"
    assert found[0]["finish_reason"] == "stop"


def test_from_a_pipe_to_a_pipe(command: RunCommand, fake_model: FakeModel) -> None:
    done = batch(command, fake_model(" yes", END), "-", stdin='"one"\n\n"two"\n')
    assert done.status == 0
    assert sorted(json.loads(line)["index"] for line in done.out.splitlines()) == [0, 1]


def test_errors_stand_beside_answers(command: RunCommand, fake_model: FakeModel, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    long = json.dumps("word " * 3000)
    path.write_text(f'"one"\n{{"no": 1}}\nno JSON\n{long}\n{{"messages": []}}\n7\n"two"\n', encoding="utf-8")
    done = batch(command, fake_model(" yes", END), path, "-o", tmp_path / "out.jsonl", "--n-ctx", "64")
    assert done.status == 5
    assert done.err.startswith("gpt4all: 5 prompts failed")
    found = lines(tmp_path / "out.jsonl")
    assert [index for index, line in found.items() if "text" in line] == [0, 6]
    assert found[3]["error"]["type"] == "ContextWindowExceededError"
    assert "line 3 is not JSON" in found[2]["error"]["message"]


def test_a_second_start_does_only_what_is_missing(
    command: RunCommand, fake_model: FakeModel, prompts: Path, tmp_path: Path
) -> None:
    model, out = fake_model(" yes", END), tmp_path / "out.jsonl"
    assert batch(command, model, prompts, "-o", out).status == 0
    whole = out.read_bytes()
    # A process was killed in the middle of the last line.
    out.write_bytes(whole[:-20])
    assert batch(command, model, prompts, "-o", out).status == 0
    assert sorted(lines(out)) == [0, 1, 2]
    again = batch(command, model, prompts, "-o", out)
    assert again.status == 0
    assert "nothing is left to do" in again.err


def test_errors_are_computed_again_when_asked(command: RunCommand, fake_model: FakeModel, tmp_path: Path) -> None:
    model, out = fake_model(" yes", END), tmp_path / "out.jsonl"
    path = written(tmp_path / "in.jsonl", "one", "word " * 3000)
    assert batch(command, model, path, "-o", out, "--n-ctx", "64").status == 5
    assert batch(command, model, path, "-o", out).status == 0
    assert "error" in lines(out)[1]
    assert batch(command, model, path, "-o", out, "--retry-errors", "--n-ctx", "32768").status == 0
    assert lines(out)[1]["text"] == " yes"


def test_another_input_is_refused(command: RunCommand, fake_model: FakeModel, prompts: Path, tmp_path: Path) -> None:
    model, out = fake_model(" yes", END), tmp_path / "out.jsonl"
    assert batch(command, model, prompts, "-o", out).status == 0
    before = out.read_bytes()
    done = batch(command, model, written(tmp_path / "other.jsonl", "else"), "-o", out)
    assert done.status == 2
    assert "choose another -o" in done.err
    assert out.read_bytes() == before


def test_ctrl_c_loses_no_answer(fake_model: FakeModel, environment: dict[str, str], tmp_path: Path) -> None:
    path = written(tmp_path / "in.jsonl", *[f"prompt {number}" for number in range(5000)])
    words = command_line("batch", fake_model(" a", " b", END, delay_us=2000), path, "-j", "1")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest, err = running.communicate(timeout=DEADLINE)
    assert (running.returncode, err) == (130, b"")
    assert all(json.loads(line)["text"] == " a b" for line in (first + rest).splitlines())


@pytest.mark.model
def test_a_real_model(command: RunCommand, smollm2: Path, prompts: Path, tmp_path: Path) -> None:
    done = command("batch", smollm2, prompts, "-o", tmp_path / "out.jsonl", "--max-tokens", "8", "-j", "2")
    assert (done.status, done.err) == (0, "")
    assert all(line["completion_tokens"] > 0 for line in lines(tmp_path / "out.jsonl").values())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_an_output_without_end_is_not_read(command: RunCommand, fake_model: FakeModel, prompts: Path) -> None:
    done = command("batch", fake_model(" x", END), prompts, "-o", "/dev/full")
    assert (done.status, done.out) == (1, "")
    assert "No space left" in done.err
    assert "Traceback" not in done.err
