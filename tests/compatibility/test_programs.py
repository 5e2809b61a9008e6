"""Published programs for gpt4all 2.8, and its own tests, on this package: in an environment of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import testmodels

from tests.compatibility.programs import CHAT, EMBED, PROGRAMS
from tests.support.programs import python_with

pytestmark = [pytest.mark.model, pytest.mark.clients, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
#: What 2.8's own tests ask for, and a small model stands in for.
OLD_NAMES = (
    "gpt4all-falcon-q4_0.gguf",
    "mistral-7b-openorca.Q4_0.gguf",
    "mpt-7b-chat-q4_0.gguf",
    "nous-hermes-llama2-13b.Q4_0.gguf",
    "orca-mini-3b-gguf2-q4_0.gguf",
    "replit-code-v1_5-3b-q4_0.gguf",
)


@pytest.fixture
def python() -> Path:
    return python_with("GPT4ALL_COMPATIBILITY_PYTHON")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with the models where 2.8 kept them."""
    models = tmp_path / ".cache" / "gpt4all"
    models.mkdir(parents=True)
    for name in (CHAT, *OLD_NAMES):
        (models / name).symlink_to(testmodels.ensure("smollm2"))
    (models / EMBED).symlink_to(testmodels.ensure("minilm"))
    return tmp_path


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_unchanged(python: Path, home: Path, name: str) -> None:
    program = Path(__file__).with_name("programs.py")
    # Isolated: this environment's packages are not seen.
    done = subprocess.run(
        [str(python), "-I", str(program), name, str(ROOT)],
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
