"""What all commands have in common, and what starting costs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from gpt4all.cli.main import COMMANDS, command_parser
from tests.cli.conftest import RunCommand


def test_help_lists_all_commands(command: RunCommand) -> None:
    done = command("--help")
    assert (done.status, done.err) == (0, "")
    assert all(f"\n  {name} " in done.out for name in COMMANDS)
    assert command().out == done.out


def test_the_version(command: RunCommand) -> None:
    import gpt4all

    assert command("--version").out == f"gpt4all {gpt4all.__version__}\n"


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
