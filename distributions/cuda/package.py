"""Where the CUDA backend of gpt4all lies; gpt4all finds it through the entry-point group ``gpt4all.backends``."""

from __future__ import annotations

from pathlib import Path

__all__ = ["library_directory"]


def library_directory() -> Path:
    """The directory with ``libgpt4all-cuda`` in it."""
    return Path(__file__).parent / "lib"
