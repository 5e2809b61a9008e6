"""Fixtures of the unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt4all.downloads import http
from tests.support.http.server import HttpServer


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """A local HTTP server, empty so far."""
    with HttpServer() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, written down instead of waited for."""
    slept: list[float] = []
    # Time-outs that no test reaches, on however busy a machine; those about time-outs have their own.
    policy = http.TransferPolicy(connect_timeout=60, read_timeout=60, min_progress=1, attempts=3, sleep=slept.append)
    monkeypatch.setattr(http, "POLICY", policy)
    return slept


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and none of the environment variables that models and transfers obey."""
    for name in list(os.environ):
        obeyed = name.startswith(("GPT4ALL_", "HF_", "HUGGING", "XDG_")) or name.endswith("_CA_BUNDLE")
        if obeyed or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("USERPROFILE", str(directory))
    monkeypatch.setenv("LOCALAPPDATA", str(directory / "AppData" / "Local"))
    return directory


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty model directory."""
    directory = tmp_path / "models"
    directory.mkdir()
    return directory
