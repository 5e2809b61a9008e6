"""``gpt4all ask``: one question, from the arguments or a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import testmodels

from tests.cli.conftest import RunCommand
from tests.support.command_line import DEADLINE, command_line
from tests.support.fake.backend import ECHO, END, FakeModel, text

QUESTION = "What is the capital of France, and what is it known for?"


def test_only_the_answer_is_on_stdout(command: RunCommand, fake_model: FakeModel) -> None:
    done = command("ask", fake_model(" Hello", " world", END), "Hi")
    assert (done.status, done.out, done.err) == (0, " Hello world\n", "")


def test_a_pipe_follows_the_prompt(command: RunCommand, fake_model: FakeModel) -> None:
    done = command("ask", fake_model(ECHO, END), "Sum up:", "--raw", stdin="One. Two.")
    assert "Sum up:\n\nOne. Two." in done.out


def test_a_pipe_alone_is_the_prompt(command: RunCommand, fake_model: FakeModel) -> None:
    done = command("ask", fake_model(ECHO, END), "--raw", stdin="Just this.")
    assert "Just this." in done.out


def test_json_tells_how_it_ended(command: RunCommand, fake_model: FakeModel) -> None:
    path = fake_model(" one", " two", END)
    done = command("ask", path, "Hi", "--json", "--max-tokens", "1", "--logprobs", "2")
    facts = json.loads(done.out)
    assert (facts["text"], facts["finish_reason"], facts["completion_tokens"]) == (" one", "length", 1)
    assert facts["model"] == str(path)
    assert facts["logprobs"]["content"][0]["token"] == " one"
    assert "--max-tokens" in done.err


@pytest.mark.model
def test_a_schema_is_kept(command: RunCommand, smollm2: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"age": {"type": "integer", "maximum": 150}}}))
    done = command("ask", smollm2, "How old is a cat?", "--schema", schema, "--temp", "0")
    assert done.status == 0, done.err
    assert set(json.loads(done.out)) <= {"age"}


def test_a_schema_cut_off_is_no_success(command: RunCommand, fake_model: FakeModel) -> None:
    done = command("ask", fake_model(text('["a", "b"]'), END), "Hi", "--schema", '{"type":"array"}', "--max-tokens", 3)
    assert done.status == 5, done.err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("ask",), 2, "there is no prompt"),
        (("ask", "a", "b", "c"), 2, "in quotes"),
        (("ask", "MODEL", "Hi", "--temp", "-1"), 2, "temp must be from 0"),
        (("ask", "MODEL", "Hi", "--temp", "warm"), 2, "argument --temp: invalid float value: 'warm'"),
        (("ask", "MODEL", "Hi", "--schema", "{"), 2, "is not JSON"),
        (("ask", "MODEL", "Hi", "--schema", "no-such-file"), 1, "no-such-file: No such file"),
        (("ask", "MODEL", "Hi", "--logit-bias", "x"), 2, "TOKEN_ID=BIAS"),
        (("ask", "MODEL", "Hi", "--logit-bias", "a=b"), 2, "TOKEN_ID=BIAS"),
        (("ask", "MODEL", "Hi", "--tensor-split", "a,b"), 2, "a number for each GPU"),
        (("ask", "MODEL", "Hi", "--tem", "1"), 2, "unrecognized arguments"),
        (("ask", "no-such-model.gguf", "Hi", "--offline"), 3, "does not exist"),
        (("ask", ".", "Hi"), 2, "'.' is a directory, not a model"),
        # Nothing is fetched for what is refused then.
        (("ask", "no-such-model.gguf", "Hi", "--temp", "-1"), 2, "temp must be from 0"),
        (("ask", "no-such-model.gguf", "Hi", "--n-ctx", "3"), 2, "n_ctx must be at least 8"),
        (("ask", "no-such-model.gguf", "Hi", "--schema", '{"type": "text"}'), 2, "there is no type 'text'"),
        (("ask", "no-such-model.gguf", "Hi", "--json", "--logprobs", "100"), 2, "logprobs must be from 0 to 20"),
        (("ask", "MODEL", "Hi", "--raw", "--system", "x"), 2, "--raw"),
        (("ask", "MODEL", "Hi", "--logprobs", "2"), 2, "--logprobs needs --json"),
        (("aks",), 2, "did you mean ask?"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    command: RunCommand, fake_model: FakeModel, words: tuple[str, ...], status: int, says: str
) -> None:
    model = fake_model(" x", END)
    done = command(*(model if word == "MODEL" else word for word in words))
    assert done.status == status
    assert done.out == ""
    assert says in done.err
    assert done.err.startswith("gpt4all: error: ")
    assert done.err.count("\n") == 1


def test_a_file_that_is_no_model(command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<!DOCTYPE html><title>404</title>")
    done = command("ask", tmp_path / "page.gguf", "Hi")
    assert done.status == 1
    assert done.err.count("\n") == 1


def test_stdin_that_is_no_text(command: RunCommand, fake_model: FakeModel) -> None:
    done = command("ask", fake_model(" x", END), stdin=b"\xff\xfe")
    assert (done.status, done.out) == (2, "")
    assert "not UTF-8" in done.err


def test_a_reader_that_leaves_is_no_error(fake_model: FakeModel, environment: dict[str, str]) -> None:
    path = fake_model(*[" 0"] * 100_000, END, delay_us=1000)
    words = command_line("ask", path, "Count", "--max-tokens", "100000")
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asking:
        assert asking.stdout is not None
        assert asking.stderr is not None
        assert asking.stdout.read(2) == b" 0"
        asking.stdout.close()
        assert asking.stderr.read() == b""
        assert asking.wait(DEADLINE) == 141


@pytest.mark.parametrize("is_here", [True, False])
def test_a_device_that_is_not_there(command: RunCommand, fake_model: FakeModel, is_here: bool) -> None:
    model = fake_model(" x", END)
    done = command("ask", model if is_here else "no-such-model.gguf", "Hi", "--device", "cuda")
    assert (done.status, done.out) == (4, "")
    assert "Traceback" not in done.err


@pytest.mark.model
@pytest.mark.parametrize(
    "words", [("ask", "MODEL", "Hi"), ("chat", "MODEL"), ("batch", "MODEL", "-"), ("bench", "MODEL")]
)
def test_an_embedding_model_answers_nothing(command: RunCommand, words: tuple[str, ...]) -> None:
    model = testmodels.ensure("tiny-bert")
    done = command(*(model if word == "MODEL" else word for word in words), stdin='"Hi"\n')
    assert (done.status, done.out) == (2, "")
    assert "is an embedding model" in done.err
    assert done.err.count("\n") == 1


def test_ctrl_c_stops_it(fake_model: FakeModel, environment: dict[str, str]) -> None:
    path = fake_model(" first", *[" more"] * 100_000, delay_us=1000)
    asking = subprocess.Popen(
        command_line("ask", path, "Go", "--max-tokens", "100000"),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert asking.stdout is not None
    assert os.read(asking.stdout.fileno(), 6) == b" first"
    asking.send_signal(signal.SIGINT)
    _, err = asking.communicate(timeout=DEADLINE)
    assert (asking.returncode, err) == (130, b"")


@pytest.mark.model
def test_a_real_model_answers_a_pipe(command: RunCommand, smollm2: Path) -> None:
    done = command("ask", smollm2, "--temp", "0", "--repeat-penalty", "1", stdin=QUESTION)
    assert done.status == 0, done.err
    assert "Paris" in done.out


@pytest.mark.model
def test_the_default_model_is_the_largest_here(
    command: RunCommand, environment: dict[str, str], smollm2: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / smollm2.name).symlink_to(smollm2)
    done = command("ask", QUESTION, "--temp", "0", "--repeat-penalty", "1")
    assert done.status == 0, done.err
    assert "Paris" in done.out
    assert f"taking {smollm2.name}" in done.err
