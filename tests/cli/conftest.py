"""The command line, run as a person runs it: in processes of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testmodels

from tests.support.command_line import Ended, Terminal, run
from tests.support.fake.backend import FakeModel, Piece, build_fake, find_compiler, write_fake_model

RunCommand = Callable[..., Ended]


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return testmodels.ensure("smollm2")


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_compiler() is None:
        pytest.skip("the fake backend needs a C compiler (cc, gcc or clang, or CC)")
    return build_fake(tmp_path_factory.mktemp("fake")).parent.parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a user with an empty home, and of nobody's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GPT4ALL_", "XDG_", "PYTEST"))}
    home = tmp_path / "home"
    home.mkdir()
    own = {"HOME": str(home), "TERM": "xterm", "GPT4ALL_MODEL_DIR": str(tmp_path / "models")}
    # prompt_toolkit asks a terminal where its cursor is, and nobody here answers.
    return {**kept, **own, "PROMPT_TOOLKIT_NO_CPR": "1"}


@pytest.fixture
def command(environment: dict[str, str]) -> RunCommand:
    """``command(*words, stdin=None)`` runs one and waits for its end."""
    return lambda *words, **more: run(*words, environment=environment, **more)


@pytest.fixture
def fake_model(tmp_path: Path, fake_library: Path, environment: dict[str, str]) -> FakeModel:
    """``fake_model(*steps, **directives)`` writes a scripted model; commands then run on the fake backend."""
    environment["GPT4ALL_BACKEND_PATH"] = str(fake_library)
    written: list[Path] = []

    def write(*steps: Piece, **directives: Any) -> Path:
        written.append(tmp_path / f"fake-{len(written)}.gguf")
        return write_fake_model(written[-1], *steps, **directives)

    return write


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """``terminal(*words)`` runs a command in a pseudo-terminal of its own."""
    opened: list[Terminal] = []

    def open_one(*words: object, **more: Any) -> Terminal:
        opened.append(Terminal(*words, environment=environment, **more))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
