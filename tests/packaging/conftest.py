"""What the packaging tests share: a build cache of their own, and a pip that never leaves the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import browser as browser


@pytest.fixture
def build_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty build cache, with neither a network nor a local llama.cpp to fall back on."""
    cache = tmp_path / "build cache"
    monkeypatch.setenv("GPT4ALL_BUILD_CACHE", str(cache))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.delenv("LLAMA_CPP_SOURCE_DIR", raising=False)
    monkeypatch.delenv("LLAMA_CPP_ARCHIVE", raising=False)
    return cache
