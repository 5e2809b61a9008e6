"""Lists in the project's configuration that are easily forgotten when a file is added."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    f"scripts/{path.name}"
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and not path.suffix and path.read_bytes().startswith(b"#!/usr/bin/env python3")
}


@pytest.mark.parametrize("key", ["extend-include", "files"])
def test_python_programs_without_a_suffix_are_linted_and_typed(key: str) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(rf"^{key} = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(scripts/\w+)"', listed[1])) == PROGRAMS


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_build_output_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    suffixes = (".so", ".a", ".o", ".dll", ".dylib", ".gguf", ".whl", ".pyc")
    assert [name for name in listed.splitlines() if name.endswith(suffixes)] == []
