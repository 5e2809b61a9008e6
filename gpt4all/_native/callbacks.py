"""What passes between Python and a native call that runs: callbacks, what they raised, and the flag that stops it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int32
from typing import Any

#: Called with a token's id, or -1 for text left at the end, and its UTF-8 text; ``False`` stops.
OnToken = Callable[[int, bytes], bool]
#: Called with the tokens of each batch that is still to be computed; ``False`` stops.
OnBatch = Callable[[list[int]], bool]
#: Called with the fraction loaded; ``False`` stops.
OnProgress = Callable[[float], bool]


class CancelFlag:
    """Stops a native call from any thread; the engine polls it between graph nodes."""

    def __init__(self) -> None:
        self._value = c_int32(0)

    def set(self) -> None:
        self._value.value = 1

    def is_set(self) -> bool:
        return self._value.value != 0

    def pointer(self) -> Any:
        """For the C struct, which then keeps the flag."""
        return ctypes.pointer(self._value)


class Stored:
    """Keeps what a callback raised, for after the native call: ctypes would print and swallow it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def store(self, error: BaseException) -> None:
        self.error = error

    def raise_if_any(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                # The traceback holds this frame; without this, a cycle that keeps the model.
                del error
