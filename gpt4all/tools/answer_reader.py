"""An answer that may call tools, read as it grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt4all._native.outcome import ToolCallDelta
from gpt4all.options import ToolDeltaCallback
from gpt4all.tools.calls import new_id


class AnswerReader:
    """Reads an answer as it grows: its text, its thinking and its calls."""

    def __init__(self, parse: Callable[[str, bool], dict[str, Any]], on_delta: ToolDeltaCallback | None) -> None:
        self._parse = parse
        self._on_delta = on_delta
        self._raw = ""
        self._content = self._thinking = ""
        #: How much of each call's arguments has been told, and the ids of calls that have none of their own.
        self._told: list[int] = []
        self._ids: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def feed(self, piece: str) -> tuple[str, str, bool]:
        """New thinking, new text, and whether to go on."""
        if not piece:
            return "", "", True
        self._raw += piece
        return self._read(is_partial=True)

    def finish(self, *, cut_off: bool) -> tuple[str, str]:
        thinking, content, _ = self._read(is_partial=cut_off)
        return thinking, content

    def _read(self, *, is_partial: bool) -> tuple[str, str, bool]:
        found = self._parse(self._raw, is_partial)
        content = _growth(self._content, found["content"])
        thinking = _growth(self._thinking, found["reasoning_content"])
        self._content += content
        self._thinking += thinking
        self.calls = found["tool_calls"]
        while len(self._ids) < len(self.calls):
            own = self.calls[len(self._ids)]["id"]
            # A small model may give one twice, and results go by them.
            self._ids.append(own if own and own not in self._ids else new_id())
        for call, identity in zip(self.calls, self._ids, strict=False):
            call["id"] = identity
        return thinking, content, self._tell()

    def _tell(self) -> bool:
        go_on = True
        for index, call in enumerate(self.calls):
            is_new = index >= len(self._told)
            if is_new:
                self._told.append(0)
            rest = call["arguments"][self._told[index] :]
            self._told[index] += len(rest)
            if self._on_delta is not None and (is_new or rest):
                delta = ToolCallDelta(index, call["id"] if is_new else "", call["name"] if is_new else "", rest)
                go_on = self._on_delta(delta) is not False and go_on
        return go_on


def _growth(before: str, after: str) -> str:
    return after[len(before) :] if after.startswith(before) else ""
