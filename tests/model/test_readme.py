"""The README's example of semantic search, exactly as printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4all.embed4all import DEFAULT_EMBEDDING_MODEL

pytestmark = pytest.mark.model

README = Path(__file__).resolve().parents[2] / "README.md"
NOTES = {
    "garden.txt": "Water basil every morning.\n\nCacti need light and hardly any water.",
    "taxes.txt": "The tax return is due in July.\n\nKeep every invoice for ten years.",
    "trains.txt": "The night train to Vienna leaves at nine.",
}


def test_semantic_search(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    (example,) = re.findall(r"test_readme\.py runs this -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "notes").mkdir()
    for name, text in NOTES.items():
        (tmp_path / "notes" / name).write_text(text, encoding="utf-8")
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(model_file("minilm"), models / DEFAULT_EMBEDDING_MODEL)
    environment = {"GPT4ALL_MODEL_DIR": str(models), "HOME": str(tmp_path), "PYTHONPATH": str(README.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert {line.split()[1] for line in lines[:2]} == {"garden.txt:"}
