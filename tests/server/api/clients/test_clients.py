"""Other programs that speak with OpenAI's interface, unchanged, in an environment of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.server.api.clients.programs import PROGRAMS
from tests.support.http.served import Running, running
from tests.support.programs import python_with

pytestmark = [pytest.mark.model, pytest.mark.clients, pytest.mark.slow]


@pytest.fixture(scope="session")
def python() -> Path:
    return python_with("GPT4ALL_CLIENTS_PYTHON")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(python: Path, server: Running, name: str) -> None:
    # Isolated: neither this clone nor this environment's packages are seen.
    program = Path(__file__).with_name("programs.py")
    command = [str(python), "-I", str(program), name, f"{server.url}/v1", server.chat, server.embed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_the_description_holds(python: Path, tmp_path: Path) -> None:
    """Schemathesis sends what the description allows, and what it does not."""
    # Long answers would find nothing more.
    with running("--n-ctx", "256", models=("tiny-llama", "minilm")) as server:
        done = subprocess.run(
            [
                python.with_name("st"),
                "run",
                f"{server.url}/openapi.json",
                "--max-examples=40",
                "--phases=examples,coverage,fuzzing",
                "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
                "--request-timeout=60",
                "--generation-deterministic",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=900,
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
