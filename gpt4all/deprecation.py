"""Warnings that reach the person whose program they are about."""

from __future__ import annotations

import sys
import warnings

# A context manager's body runs below contextlib, and that below the caller.
_PASSED_OVER = frozenset({"gpt4all", "contextlib"})


def warn_deprecated(message: str) -> None:
    """A ``DeprecationWarning`` at the caller's line.

    Python shows one only where it points into the main program or a test, so one that points into this package is
    never seen.
    """
    warn_caller(message, DeprecationWarning)


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line outside this package that made the call."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _package(frame.f_globals) in _PASSED_OVER:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _package(namespace: dict[str, object]) -> str:
    return str(namespace.get("__name__", "")).partition(".")[0]
