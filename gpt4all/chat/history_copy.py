"""What ``current_chat_session`` gives: a copy that says so when it is changed.

Once its session is over nobody can expect a change to reach it, and the copy is
a list like any other, to be stored and gone on with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class HistoryCopy(list[Any]):
    """A list of messages."""

    def __init__(self, messages: Iterable[Mapping[str, Any]], is_open: Callable[[], bool]) -> None:
        super().__init__(MessageCopy(message, is_open) for message in messages)
        self._is_open = is_open

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied or unpickled, it is a plain list.
        return list, (list(self),)


class MessageCopy(dict[str, Any]):
    """A message."""

    def __init__(self, message: Mapping[str, Any], is_open: Callable[[], bool]) -> None:
        super().__init__(message)
        self._is_open = is_open

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _warning(original: Any) -> Any:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        if self._is_open():
            warnings.warn(
                "current_chat_session is a copy, so this change does not reach the session; assign a changed list to "
                "current_chat_session, or pass messages= to chat_session(). copy.deepcopy() of it is a list of your "
                "own",
                stacklevel=2,
            )
        return original(self, *arguments, **named)

    return method


_CHANGES: dict[type, tuple[str, ...]] = {
    # Not __iadd__: ``model.current_chat_session += [...]`` assigns the result, so it does reach the session.
    HistoryCopy: ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"),
    MessageCopy: ("update", "pop", "popitem", "clear", "setdefault", "__ior__"),
}
for _cls, _names in _CHANGES.items():
    for _name in (*_names, "__setitem__", "__delitem__"):
        setattr(_cls, _name, _warning(getattr(_cls, _name)))
