"""Lists in the project's configuration that are easily forgotten when a file is added."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands.setup import EXTRAS
from commands.table import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
needs_clone = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")


def _committed() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_every_python_program_is_linted_and_typed() -> None:
    """ruff and mypy find files by their suffix."""
    programs = [path for path in (ROOT / "scripts").rglob("*") if path.is_file() and not path.suffix]
    assert [path.name for path in programs if b"python" in path.read_bytes().partition(b"\n")[0]] == []


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


@needs_clone
@pytest.mark.parametrize(("folder", "map_file"), [("", "CONTRIBUTING.md"), ("scripts/", "scripts/README.md")])
def test_maps_show_the_tree(folder: str, map_file: str) -> None:
    """Every path of a map is there, and every folder on the tree's first floor is on it."""
    below = [name.removeprefix(folder) for name in _committed() if name.startswith(folder)]
    folders = {name.split("/")[0] + "/" for name in below if "/" in name}
    mapped = re.findall(r"^    ([\w./-]+) {2,}\w", _map(map_file), re.MULTILINE)
    assert [path for path in mapped if not (ROOT / folder / path).exists()] == []
    assert folders - set(mapped) == set()


def _map(file: str) -> str:
    """Its last lines that are set as code; those before it are commands."""
    text = (ROOT / file).read_text(encoding="utf-8")
    _, heading, layout = text.partition("\n## Layout\n")
    return layout.partition("\n## ")[0] if heading else text.rpartition("\n\n")[2]


@needs_clone
def test_no_build_output_is_committed() -> None:
    suffixes = (".so", ".a", ".o", ".dll", ".dylib", ".gguf", ".whl", ".pyc")
    assert [name for name in _committed() if name.endswith(suffixes)] == []
