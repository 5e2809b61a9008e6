"""``scripts/dev``: its table, what it needs to say what there is, and which tests ``scripts/test`` chooses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import test as test_command
from commands.setup import EXTRAS
from commands.table import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_subcommands_is_complete() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| `(\S+)\.py` \|$", (ROOT / "scripts/README.md").read_text(), re.M)
    assert rows == [(name, command.line, command.module.replace(".", "/")) for name, command in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_subcommands_lead_somewhere(name: str) -> None:
    command = COMMANDS[name]
    source = (ROOT / "scripts" / command.module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert "\ndef main(arguments: Sequence[str] | None = None) -> int:\n" in source
    assert set(command.extras or ()) <= set(EXTRAS)


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_help_needs_nothing_installed(tmp_path: Path) -> None:
    """Neither the list nor a subcommand's options make an environment or import what only one has."""
    environment = {**os.environ, "GPT4ALL_PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)}
    for package in ("requests", "pytest", "gpt4all"):
        (tmp_path / f"{package}.py").write_text("raise AssertionError('imported')")
    for words in ([], ["--help"], ["fuzz", "--help"], ["sanitize", "-h"]):
        done = subprocess.run(
            [ROOT / "scripts" / "dev", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("usage: scripts/dev")
        assert done.stderr == ""


def test_an_unknown_subcommand_is_refused() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "commands"), "bnech"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "unknown subcommand 'bnech'" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "for_pytest"),
    [
        ([], ["-m", "not slow"]),
        (["--all"], []),
        (["-m", "model", "tests/unit"], ["-m", "not slow", "-m", "model", "tests/unit"]),  # the last one counts
        (["tests/unit", "--all", "-x"], ["tests/unit", "-x"]),
    ],
)
def test_the_fast_tests_are_run_unless_others_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], for_pytest: list[str]
) -> None:
    def execv(program: str, words: list[str]) -> None:
        assert Path.cwd() == ROOT
        assert os.environ["GPT4ALL_REFERENCE_DIR"] == "/reference"
        assert os.environ["GPT4ALL_CLIENTS_PYTHON"] == ("/server/api/clients" if "--all" in arguments else "")
        raise SystemExit(words)

    monkeypatch.setattr(test_command, "ensure", lambda name: None)
    monkeypatch.setattr(test_command, "build_reference", lambda: Path("/reference"))
    monkeypatch.setattr(test_command, "programs", lambda tests: Path("/", tests))
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("GPT4ALL_REFERENCE_DIR", "")
    monkeypatch.setenv("GPT4ALL_CLIENTS_PYTHON", "")
    monkeypatch.setenv("GPT4ALL_COMPATIBILITY_PYTHON", "")
    monkeypatch.chdir(ROOT / "tests")
    with pytest.raises(SystemExit) as become:
        test_command.main(arguments)
    assert become.value.args == ([sys.executable, "-m", "pytest", *for_pytest],)
