"""What is told to whoever runs the program: warnings, at the line they are about, and with ``verbose=True`` the log."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
import weakref
from collections.abc import Iterator

logger = logging.getLogger("gpt4all")
# Silent unless somebody wants to hear: without this, logging itself prints warnings.
logger.addHandler(logging.NullHandler())

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


#: Models that are open and verbose, by id.
_talkative: dict[int, weakref.ref[object]] = {}
_level_before = logging.NOTSET


class _StderrHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        if _talkative and sys.stderr is not None:
            try:
                print(self.format(record), file=sys.stderr)
            except Exception:
                self.handleError(record)


_handler = _StderrHandler()
_handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))


@contextlib.contextmanager
def log_shown(model: object, verbose: bool) -> Iterator[None]:
    """With ``verbose`` shows everything until ``model`` is closed or gone, or what is done here fails."""
    if verbose:
        _show(model)
    try:
        yield
    except BaseException:
        # The exception keeps the model for as long as somebody keeps the exception.
        hide_log(model)
        raise


def _show(model: object) -> None:
    global _level_before
    if not _talkative:
        _level_before = logger.level
    key = id(model)
    _talkative[key] = weakref.ref(model, lambda _: _hide(key))
    logger.addHandler(_handler)
    logger.setLevel(logging.DEBUG)


def hide_log(model: object) -> None:
    """Ends what ``log_shown`` began for ``model``, if it did."""
    _hide(id(model))


def _hide(key: int) -> None:
    # A level that the program has set meanwhile is its own.
    if _talkative.pop(key, None) is not None and not _talkative and logger.level == logging.DEBUG:
        logger.setLevel(_level_before)
