"""What all commands have in common, and what starting costs."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gpt4all.cli.main import COMMANDS, command_parser
from tests.cli.conftest import RunCommand
from tests.support.command_line import command_line
from tests.support.fake.backend import END, FakeModel


def test_help_lists_all_commands(command: RunCommand) -> None:
    done = command("--help")
    assert (done.status, done.err) == (0, "")
    assert all(f"\n  {name} " in done.out for name in COMMANDS)
    assert command().out == done.out


def test_the_version(command: RunCommand) -> None:
    import gpt4all

    assert command("--version").out == f"gpt4all {gpt4all.__version__}\n"


@pytest.mark.parametrize(("option", "unit"), [("--max-memory", "GiB"), ("--max-body", "MiB")])
def test_sizes_have_a_unit(command: RunCommand, option: str, unit: str) -> None:
    done = command("serve", option, "350M")
    assert done.status != 0
    assert f"argument {option}: '350M' is no number of {unit}, such as 0.5" in done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(command: RunCommand, name: str) -> None:
    done = command(name, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: gpt4all {name}")
    assert command("help", name).out == done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_parsed_for_help_without_the_engine(name: str) -> None:
    code = (
        f"import sys; from gpt4all.cli.main import command_parser; command_parser({name!r}).format_help(); "
        "print([name for name in ('gpt4all.gpt4all', 'ctypes', 'requests', 'tqdm', 'prompt_toolkit', 'asyncio') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_imports_next_to_nothing() -> None:
    """Its time is twice bare Python's at most; each module named here would take that by itself."""
    code = (
        "import sys; before = set(sys.modules); from gpt4all.cli import main; main(['--help']); "
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('gpt4all')), file=sys.stderr)"
    )
    # Without site, whose packages import what they like.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr.strip() in ("[]", "['__future__']")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for action in command_parser(name)._actions:
        assert action.help, action.dest


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_module_with_two_functions(name: str) -> None:
    module = importlib.import_module(f"gpt4all.cli.{COMMANDS[name][0]}")
    assert callable(module.add_arguments)
    assert callable(module.run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("words", [("--help",), ("--version",), ("models", "list", "--json")])
def test_output_that_cannot_be_written(environment: dict[str, str], words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(command_line(*words), env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("gpt4all: error: ")
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(environment: dict[str, str], fake_model: FakeModel, closed: str) -> None:
    line = shlex.join(command_line("ask", fake_model(" x", END), "Hi"))
    for words in (line, shlex.join(command_line("--help"))):
        done = subprocess.run(["sh", "-c", f"{words} {closed}"], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
