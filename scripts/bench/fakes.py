"""The fake backend of the tests, as an engine whose work costs nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.peers import peers_dir
from tests.support.fake.backend import SOURCES, TEXT_STREAM, build_fake, write_fake_model

__all__ = ["fake_backend", "fake_model"]

_WORDS = (" the", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", ".")


def fake_backend() -> Path:
    """A directory for ``GPT4ALL_BACKEND_PATH``."""
    sources = [*sorted(path for path in SOURCES.iterdir() if path.is_file()), TEXT_STREAM]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    directory = peers_dir() / f"fake-{key}"
    if not any(directory.glob("cpu/libgpt4all-*")):
        build_fake(directory, "cpu", "-O2")
    return directory


def fake_model(name: str, *, delay_us: int = 0) -> Path:
    """A model that never ends its answer, with that much time between tokens."""
    directory = peers_dir() / "models"
    directory.mkdir(parents=True, exist_ok=True)
    return write_fake_model(directory / f"fake-{name}.gguf", *_WORDS, delay_us=delay_us)
