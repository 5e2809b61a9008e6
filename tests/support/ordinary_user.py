"""Tests that run as root, for once without its rights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def ordinary_user(directory: Path) -> Iterator[None]:
    """Without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        if not os.access(directory, os.R_OK | os.X_OK, effective_ids=True):
            pytest.skip(f"an ordinary user cannot reach {directory}")
        yield
    finally:
        os.seteuid(0)
