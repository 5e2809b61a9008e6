"""Other people's programs, in environments of their own that ``scripts/test --all`` makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def python_with(variable: str) -> Path:
    """The Python that has them, which the environment names; skips the test where it does not."""
    found = os.environ.get(variable)
    if not found:
        pytest.skip(f"{variable} names no Python with these programs; scripts/test --all makes one")
    return Path(found)
