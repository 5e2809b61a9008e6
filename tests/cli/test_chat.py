"""``gpt4all chat`` in a pseudo-terminal, as a person uses it: with prompt_toolkit, and without."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import RunCommand
from tests.support.command_line import Terminal
from tests.support.fake.backend import END, TURN, FakeModel

OpenTerminal = Callable[..., Terminal]
UP, PASTE, PASTED = "\x1b[A", "\x1b[200~", "\x1b[201~"


@pytest.fixture(params=["comfortable", "plain"])
def chat(
    request: pytest.FixtureRequest, terminal: OpenTerminal, environment: dict[str, str], tmp_path: Path
) -> OpenTerminal:
    """``chat(model, *words)`` begins one, and waits for the prompt."""
    if request.param == "plain":
        # Found before the one that is installed.
        (tmp_path / "without").mkdir()
        (tmp_path / "without" / "prompt_toolkit.py").write_text("raise ImportError('not installed')")
        environment["PYTHONPATH"] = str(tmp_path / "without")

    def begin(*words: object, **more: object) -> Terminal:
        opened = terminal("chat", *words, **more)
        opened.wait_for("Ctrl-D leaves.")
        opened.wait_for(">")
        return opened

    return begin


def say(chat: Terminal, message: str, answer: str) -> str:
    """Types a message, and waits for the answer and the next prompt."""
    chat.type(f"{message}\r")
    shown = chat.wait_for(answer)
    chat.wait_for("\n>")
    return shown


def leave(chat: Terminal) -> None:
    chat.type("\x04")
    assert chat.end() == 0


def test_a_conversation(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" Hello", " there", END, TURN, " Fine", END))
    say(talk, "Hi", " Hello there")
    say(talk, "How are you?", " Fine")
    say(talk, "/stats", "ended by stop")
    leave(talk)


def test_ctrl_c_stops_the_answer_and_not_the_program(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" first", *[" more"] * 100_000, END, TURN, " again", END, delay_us=1000))
    talk.type("Go on for ever\r")
    talk.wait_for(" first more")
    talk.type("\x03")
    talk.wait_for("(stopped)")
    talk.wait_for("\n>")
    say(talk, "And now?", " again")
    leave(talk)


def test_what_is_typed_during_an_answer_is_the_next_message(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" first", *[" more"] * 1000, " last", END, TURN, " again", END, delay_us=2000))
    talk.type("Go\r")
    talk.wait_for(" first more")
    talk.type("the next\r")
    assert "the next" not in talk.wait_for(" last")
    talk.wait_for("the next")
    talk.wait_for(" again")
    talk.wait_for("\n>")
    leave(talk)


def test_ctrl_d_during_an_answer_leaves_after_it(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" first", *[" more"] * 1000, " last", END, delay_us=2000))
    talk.type("Go\r")
    talk.wait_for(" first more")
    talk.type("\x04")
    talk.wait_for(" last")
    assert talk.end() == 0


def test_ctrl_c_at_the_prompt_takes_the_line_away(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" yes", END))
    talk.type("half a li")
    talk.wait_for("half a li")
    talk.interrupt("(Ctrl-D leaves)")
    talk.wait_for("\n>")
    say(talk, "Hi", " yes")
    leave(talk)


def test_several_lines_that_are_pasted_are_one_message(
    chat: OpenTerminal, fake_model: FakeModel, tmp_path: Path
) -> None:
    talk = chat(fake_model(" yes", END), "--no-history")
    talk.type(f"{PASTE}one\ntwo\nthree{PASTED}")
    talk.wait_for("three")
    say(talk, "", " yes")
    say(talk, f"/save {tmp_path}/talk.json", "(saved to")
    leave(talk)
    saved = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert saved["messages"][1:] == [
        {"role": "user", "content": "one\ntwo\nthree"},
        {"role": "assistant", "content": " yes"},
    ]


@pytest.mark.parametrize("typed", [["one\\", "two"], ['"""one', 'two"""'], ['"""', "one", "two", '"""']])
def test_a_message_of_several_lines(
    chat: OpenTerminal, fake_model: FakeModel, tmp_path: Path, typed: list[str]
) -> None:
    talk = chat(fake_model(" yes", END))
    for line in typed[:-1]:
        talk.type(f"{line}\r")
        talk.wait_for("\n.")
    say(talk, typed[-1], " yes")
    say(talk, f"/save {tmp_path}/talk.json", "(saved to")
    leave(talk)
    assert json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))["messages"][1]["content"] == "one\ntwo"


def test_what_was_typed_comes_back_with_the_arrow_keys(chat: OpenTerminal, fake_model: FakeModel) -> None:
    model = fake_model(" yes", END)
    talk = chat(model)
    say(talk, "a memorable line", " yes")
    leave(talk)
    talk = chat(model)
    talk.type(UP)
    talk.wait_for("a memorable line")
    say(talk, "", " yes")
    leave(talk)


def test_commands(chat: OpenTerminal, fake_model: FakeModel, tmp_path: Path) -> None:
    talk = chat(fake_model(" yes", END, TURN, " no", END, TURN, " so", END))
    say(talk, "/help", "/stats")
    say(talk, "/nothing", "no command /nothing")
    say(talk, "/stats", "there is no answer yet")
    say(talk, "/undo", "nothing to take back")
    say(talk, "Hi", " yes")
    say(talk, "/system Be brief.", "(set;")
    say(talk, "/system", "Be brief.")
    say(talk, f"/save {tmp_path}/talk.json", "(saved to")
    say(talk, "//slash", " no")
    say(talk, "/undo", "are forgotten)")
    say(talk, f"/save {tmp_path}/shorter.json", "(saved to")
    say(talk, f"/load {tmp_path}/talk.json", "(3 messages)")
    say(talk, "/reset", "(a new conversation)")
    say(talk, f"/load {tmp_path}/talk.json", "(3 messages)")
    say(talk, f"/load {tmp_path}/nothing.json", "nothing.json: No such file")
    say(talk, f"/model {tmp_path}/nothing.gguf", "does not exist")
    say(talk, "Still there?", " so")
    other = fake_model(" other", END)
    say(talk, f"/model {other}", other.name)
    say(talk, "Who are you?", " other")
    talk.type("/exit\r")
    assert talk.end() == 0
    saved = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert saved["messages"][0] == {"role": "system", "content": "Be brief."}
    shorter = json.loads((tmp_path / "shorter.json").read_text(encoding="utf-8"))
    assert shorter["messages"] == saved["messages"]


def test_a_file_that_is_there_is_not_written_over(chat: OpenTerminal, fake_model: FakeModel, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    talk = chat(fake_model(" yes", END))
    say(talk, f"/save {tmp_path}/mine.txt", "exists; choose another name")
    say(talk, f"/load {tmp_path}/mine.txt", "holds no conversation")
    leave(talk)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_another_size_of_the_window(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" first", *[" more"] * 1500, " last", END, TURN, " yes", END, delay_us=200))
    talk.type("Go\r")
    talk.wait_for(" first")
    talk.resize(40, 10)
    talk.wait_for(" last")
    talk.wait_for("\n>")
    talk.resize(120, 30)
    say(talk, "Hi", " yes")
    leave(talk)


def test_the_terminal_obeys_nothing_that_a_model_writes(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" a\x1b]0;title\x07\x1b[2Jb", END))
    say(talk, "Hi", " a]0;title[2Jb")
    leave(talk)


def test_a_prompt_that_is_too_long_ends_nothing(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" yes", END), "--n-ctx", "64")
    say(talk, "many words " * 20, "takes at most 60")
    leave(talk)


def test_a_pipe_is_a_conversation_without_prompts(command: RunCommand, fake_model: FakeModel) -> None:
    done = command("repl", fake_model(" one", END, TURN, " two", END), stdin="Hi\nAgain")
    assert (done.status, done.err) == (0, "")
    assert done.out == " one\n two\n"


@pytest.mark.parametrize("stdin", ['"""one\ntwo', '"""one\ntwo"""\n', "one\\\ntwo", '"""one\ntwo\n'])
def test_a_pipe_may_end_within_a_message(command: RunCommand, fake_model: FakeModel, stdin: str) -> None:
    done = command("chat", fake_model(" answer", END), stdin=stdin)
    assert (done.status, done.out, done.err) == (0, " answer\n", "")


def test_markdown_is_coloured_as_it_comes(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" **", "bold", "** text\n", "``", "`\nx = 1\n", "```", END))
    say(talk, "Hi", " **bold** text\n```\nx = 1\n```")
    leave(talk)
    assert "\x1b[1mbold\x1b[0m" in talk.raw
    assert "\x1b[36mx = 1\x1b[0m" in talk.raw


def test_no_colours(terminal: OpenTerminal, fake_model: FakeModel, environment: dict[str, str]) -> None:
    environment["NO_COLOR"] = "1"
    talk = terminal("chat", fake_model(" **bold**", END), "--no-history")
    talk.wait_for("Ctrl-D leaves.")
    talk.wait_for(">")
    say(talk, "Hi", " **bold**")
    leave(talk)
    assert "\x1b[2m" not in talk.raw
    assert "\x1b[1m" not in talk.raw
    assert "\x1b[3" not in talk.raw


def test_the_terminal_goes_away(chat: OpenTerminal, fake_model: FakeModel) -> None:
    talk = chat(fake_model(" yes", END))
    talk.process.send_signal(signal.SIGHUP)
    assert talk.end() == -signal.SIGHUP


@pytest.mark.model
def test_a_real_model(chat: OpenTerminal, smollm2: Path) -> None:
    talk = chat(smollm2, "--temp", "0", "--repeat-penalty", "1", "--max-tokens", "40")
    say(talk, "What is the capital of France, and what is it known for?", "Paris")
    say(talk, "/stats", "of 4096 tokens")
    leave(talk)
