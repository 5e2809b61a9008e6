"""The lines of the ``gpt4all`` logger on stderr, while a model with ``verbose=True`` is open."""

from __future__ import annotations

import logging
import sys
import weakref
from typing import Any

logger = logging.getLogger("gpt4all")
# Silent unless somebody wants to hear: without this, logging itself prints warnings.
logger.addHandler(logging.NullHandler())

_talkative: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


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


def show_log(model: object) -> None:
    """Shows everything until ``model`` is closed or gone."""
    _talkative[id(model)] = model
    logger.addHandler(_handler)
    logger.setLevel(logging.DEBUG)


def hide_log(model: object) -> None:
    """Ends what :func:`show_log` began for ``model``, if it did."""
    _talkative.pop(id(model), None)
