"""Functions that a model calls on the command line, in a pseudo-terminal, with the real library."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4all.cli.tools import UserTools
from tests.cli.conftest import RunCommand
from tests.support.chat.scripted import write_scripted_model
from tests.support.command_line import Terminal

pytestmark = pytest.mark.model

OpenTerminal = Callable[..., Terminal]

FILE = '''
from dataclasses import dataclass
from os.path import join  # not one of its own


@dataclass
class Size:
    width: int


def write_down(text: str, size: Size = Size(1)) -> str:
    """Writes a text down.

    Args:
        text: what to write.
    """
    with open(__file__ + ".notes", "a") as notes:
        notes.write(text + "\\n")
    return "written"


def _helper() -> None: ...
'''


def call(text: str) -> str:
    return f'<tool_call>\n{{"name": "write_down", "arguments": {{"text": "{text}"}}}}\n</tool_call>'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "desk.py"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    answers = [call("one"), call("two"), call("three"), "Fine now.", call("four"), "Well then.", "Nothing to call."]
    return write_scripted_model(tmp_path / "scripted.gguf", answers)


def notes(file: Path) -> list[str]:
    path = file.with_name(file.name + ".notes")
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def begin(terminal: OpenTerminal, model: Path) -> Terminal:
    talk = terminal("chat", model, "--temp", "0", "--no-history")
    talk.wait_for("Ctrl-D leaves.")
    talk.wait_for(">")
    return talk


def say(talk: Terminal, line: str, answer: str) -> None:
    """Types a line, and waits for the answer and for the prompt: what is typed before that may be lost."""
    talk.type(f"{line}\r")
    talk.wait_for(answer)
    talk.wait_for("\n>")


def test_a_chat_asks_for_each_call(terminal: OpenTerminal, model: Path, file: Path) -> None:
    talk = begin(terminal, model)
    say(talk, "/tools", "(no tools;")
    say(talk, f"/tools {file}", "write_down(text, size)  Writes a text down.")
    talk.type("Write.\r")
    for text, answer in (("one", "y"), ("two", "n"), ("three", "what"), (None, "always")):
        talk.wait_for(f'write_down(text="{text}")' if text else "write_down(")
        talk.wait_for("[a]lways: ")
        talk.type(f"{answer}\r")
    talk.wait_for("Fine now.")
    talk.wait_for("\n>")
    assert notes(file) == ["one", "three"]
    talk.type("And more.\r")
    talk.wait_for('[write_down(text="four")]')
    talk.wait_for("Well then.")
    talk.wait_for("\n>")
    assert notes(file) == ["one", "three", "four"]
    say(talk, "/tools off", "(no tools)")
    say(talk, "And now?", "Nothing to call.")
    talk.type("\x04")
    assert talk.end() == 0


def test_ctrl_c_while_it_asks(terminal: OpenTerminal, model: Path, file: Path) -> None:
    talk = begin(terminal, model)
    say(talk, f"/tools {file}", "write_down(")
    talk.type("Write.\r")
    talk.wait_for("[a]lways: ")
    talk.interrupt("(stopped)")
    talk.wait_for("\n>")
    talk.type("\x04")
    assert talk.end() == 0
    assert notes(file) == []


def test_ask_in_a_terminal(terminal: OpenTerminal, model: Path, file: Path) -> None:
    asked = terminal("ask", model, "Write.", "--tools", file, "--temp", "0")
    asked.wait_for("[a]lways: ")
    asked.type("a\r")
    asked.wait_for("Fine now.")
    assert asked.end() == 0
    assert notes(file) == ["one", "two", "three"]


def test_ask_without_a_terminal(command: RunCommand, model: Path, file: Path) -> None:
    ended = command("ask", model, "Write.", "--tools", file, "--temp", "0", "--yes", "--json")
    assert ended.status == 0, ended.err
    said = json.loads(ended.out)
    assert said["text"] == "Fine now."
    assert [each["result"] for each in said["tool_calls"]] == ["written"] * 3
    assert '[write_down(text="one")]' in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:", "cannot be run: SyntaxError"),
        ("raise SystemExit(0)", "cannot be run: SystemExit"),
        ("x = 1", "has no function"),
        ("__all__ = []", "has no function"),
        ("__all__ = ['gone']", "has no gone, which its __all__ names"),
        ("def f(x: 'Missing') -> None: ...", "tools[0] ('f')"),
        (None, "No such file"),
    ],
)
def test_files_that_are_no_tools(command: RunCommand, tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "bad.py").write_text(text, encoding="utf-8")
    ended = command("ask", "model.gguf", "Hi", "--offline", "--yes", "--tools", tmp_path / "bad.py")
    assert ended.status != 0
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_file_takes_no_modules_place(tmp_path: Path) -> None:
    file = tmp_path / "calendar.py"
    file.write_text("def today() -> str:\n    return 'Monday'\n", encoding="utf-8")
    assert UserTools(str(file)).lines() == ["today()"]
    assert importlib.import_module("calendar").isleap(2024)


def test_options_that_exclude_tools(command: RunCommand, model: Path, file: Path) -> None:
    for option in (["--raw"], ["--schema", "{}"]):
        ended = command("ask", model, "Hi", "--tools", file, "--yes", *option)
        assert ended.status == 2
        assert "cannot be combined" in ended.err
    ended = command("ask", model, "Hi", "--yes")
    assert ended.status == 2
    assert "--yes is for --tools" in ended.err
