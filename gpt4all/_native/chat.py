"""A conversation prepared with tools, and what the answer to it says."""

from __future__ import annotations

import ctypes
import json
import os
import weakref
from collections.abc import Callable
from ctypes import c_void_p
from typing import Any

from gpt4all._native import abi
from gpt4all._native.callbacks import CancelFlag, Stored


class Parts:
    """Stretches of text as a callback hands them over, each with whether it came out of a message."""

    def __init__(self) -> None:
        self._parts: list[tuple[bytes, bool]] = []
        self._stored = Stored()
        #: For the call; whoever holds this object keeps it alive.
        self.callback = abi.PartCallback(self._take)

    def _take(self, address: int, length: int, from_message: int, payload: int | None) -> int:
        try:
            self._parts.append((ctypes.string_at(address, length), bool(from_message)))
            return 0
        except BaseException as error:
            self._stored.error = error
            return 1

    def take(self) -> list[tuple[str, bool]]:
        """Raises what went wrong in the callback."""
        self._stored.raise_if_any()
        # The engine counts bytes, so a template that cuts text may cut a character.
        return [(text.decode("utf-8", "replace"), from_message) for text, from_message in self._parts]


class PreparedChat:
    """How the answer to a conversation is written and read; for the model that prepared it, on any thread."""

    def __init__(self, cdll: ctypes.CDLL, handle: c_void_p) -> None:
        self._cdll = cdll
        self.handle = handle
        self._finalizer = weakref.finalize(self, _free_chat, cdll, handle, os.getpid())
        self._finalizer.atexit = False

    def close(self) -> None:
        """Frees it; it is of no use afterwards."""
        self._finalizer()

    def parse(self, text: bytes | str, *, partial: bool, cancel: CancelFlag | None = None) -> dict[str, Any]:
        """What an answer says: ``content``, ``reasoning_content``, ``tool_calls``, and whether it is ``complete``.

        ``partial``: the text goes on, or was cut off. Any text has a reading.

        Raises:
            CancellationError: ``cancel`` stopped it.
        """
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        flag = None if cancel is None else cancel.pointer()
        return self._object(
            lambda callback: self._cdll.gpt4all_chat_parse(
                self.handle, data, len(data), int(partial), flag, callback, None
            )
        )

    def describe(self) -> dict[str, Any]:
        """Facts about it, for reports and tests: its format, grammar, triggers and so on."""
        return self._object(lambda callback: self._cdll.gpt4all_chat_describe(self.handle, callback, None))

    def _object(self, call: Callable[[Any], object]) -> dict[str, Any]:
        if not self._finalizer.alive:
            raise ValueError("this chat is closed")
        parts = Parts()
        call(parts.callback)
        read: dict[str, Any] = json.loads("".join(text for text, _ in parts.take()))
        return read


def _free_chat(cdll: ctypes.CDLL, handle: c_void_p, process: int) -> None:
    # After a fork the memory is the parent's to free.
    if os.getpid() == process:
        cdll.gpt4all_chat_free(handle)
