"""What passes between Python and a native call that runs: callbacks, what they raised, and the flag that stops it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int32
from typing import Any

from gpt4all._native import abi
from gpt4all._native.outcome import TokenLogprob, TopLogprob

#: Called with a token's id, or -1 for text left at the end, and its UTF-8 text; ``False`` stops.
OnToken = Callable[[int, bytes], bool]
#: Called with the tokens of each batch that is still to be computed; ``False`` stops.
OnBatch = Callable[[list[int]], bool]
#: Called with each token of the answer and the likeliest ones in its place, before its text; ``False`` stops.
OnLogprobs = Callable[[TokenLogprob], "bool | None"]
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

    def raise_if_any(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                # The traceback holds this frame; without this, a cycle that keeps the model.
                del error


def logprobs_callback(content: list[TokenLogprob], tell: OnLogprobs | None, stored: Stored) -> Any:
    """For the C struct: adds each token of the answer to ``content``, and tells of it."""

    def on_logprobs(chosen: Any, top: Any, n_top: int, payload: int | None) -> int:
        try:
            content.append({**_logprob(chosen[0]), "top_logprobs": [_logprob(top[index]) for index in range(n_top)]})
            return 1 if tell is not None and tell(content[-1]) is False else 0
        except BaseException as error:
            stored.error = error
            return 1

    return abi.LogprobsCallback(on_logprobs)


def _logprob(raw: abi.TokenLogprob) -> TopLogprob:
    data = ctypes.string_at(raw.text, raw.text_len) if raw.text_len else b""
    return {"token": data.decode("utf-8", "replace"), "logprob": raw.logprob, "bytes": list(data)}
