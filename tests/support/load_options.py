"""Options for a load straight through ``gpt4all._native``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpt4all.options import LoadOptions


def load_options(**fields: Any) -> LoadOptions:
    """With the defaults and one thread, but for ``fields``, which nobody checks."""
    return replace(LoadOptions.create(n_threads=1), **fields)
