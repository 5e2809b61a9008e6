"""Lists in the project's configuration that are easily forgotten when a file is added."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_clone = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")


def _committed() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_every_python_program_is_linted_and_typed() -> None:
    """ruff and mypy find files by their suffix."""
    programs = [path for path in (ROOT / "scripts").rglob("*") if path.is_file() and not path.suffix]
    assert [path.name for path in programs if b"python" in path.read_bytes().partition(b"\n")[0]] == []


@needs_clone
@pytest.mark.parametrize(("folder", "map_file"), [("", "CONTRIBUTING.md"), ("scripts/", "scripts/README.md")])
def test_maps_show_the_tree(folder: str, map_file: str) -> None:
    """Every path of a map is there, and every folder on the tree's first floor is on it."""
    below = [name.removeprefix(folder) for name in _committed() if name.startswith(folder)]
    folders = {name.split("/")[0] + "/" for name in below if "/" in name}
    mapped = re.findall(r"^    ([a-zA-Z.][\w./-]*) {2,}\w", _map(map_file), re.MULTILINE)
    assert [path for path in mapped if not (ROOT / folder / path).exists()] == []
    assert folders - set(mapped) == set()


def _map(file: str) -> str:
    """The first paragraph under the heading Layout, or the last of all."""
    before, heading, layout = (ROOT / file).read_text(encoding="utf-8").partition("\n## Layout\n\n")
    return layout.partition("\n\n")[0] if heading else before.rpartition("\n\n")[2]


@needs_clone
def test_no_build_output_is_committed() -> None:
    suffixes = (".so", ".a", ".o", ".dll", ".dylib", ".gguf", ".whl", ".pyc")
    assert [name for name in _committed() if name.endswith(suffixes)] == []
