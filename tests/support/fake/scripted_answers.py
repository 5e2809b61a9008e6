"""Answers with calls of tools, in a format of their own, from a model that says what a test has written.

The engine's formats and parsers have tests of their own; these are of what the package does with what they read.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gpt4all._native.outcome import Outcome

_CALL = re.compile(r"<call (?P<name>[\w.]+)>(?P<arguments>.*?)(?P<end></call>|$)", re.DOTALL)


def call(name: str, **arguments: Any) -> str:
    """A call as the model writes it."""
    return f"<call {name}>{json.dumps(arguments)}</call>"


class Prepared:
    def parse(self, text: str, *, partial: bool) -> dict[str, Any]:
        content, thinking = text.partition("<")[0], ""
        if content.startswith("["):
            thinking, _, content = content[1:].partition("]")
        calls = [
            {"id": "", "name": found["name"], "arguments": found["arguments"], "complete": bool(found["end"])}
            for found in _CALL.finditer(re.sub("<[/cal]*$", "", text))
        ]
        return {"content": content, "reasoning_content": thinking, "tool_calls": calls, "complete": True}


class ScriptedAnswers:
    """Takes the place of a native model's answers.

    Attributes:
        answers: what comes next: a text, a text and how it ends, or what makes one of the messages that were sent.
        sent: the messages of each prompt, and what the engine was told of the tools.
    """

    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[list[dict[str, Any]], dict[str, Any]]] = []
        self.began = threading.Event()
        self._last: list[dict[str, Any]] = []

    def prepare_chat(
        self, messages: Any, tools: Any, template: Any = None, args: Any = None, *, cancel: Any = None
    ) -> Any:
        self._last = [dict(message) for message in messages]
        if messages[-1].get("content") != "\x1a":
            self.sent.append((self._last, tools))
        return [(json.dumps(self._last), False)], Prepared()

    def generate(
        self, tokens: Any, options: Any, on_token: Callable[[int, bytes], bool], cancel: Any, **prompt: Any
    ) -> Outcome:
        answer = self.answers.pop(0)
        text, reason = answer if isinstance(answer, tuple) else (answer, "stop")
        if reason == "error":
            raise RuntimeError(text)
        pieces = re.findall(r"\w+|\W", text)
        for piece in pieces:
            self.began.set()
            if cancel.is_set() or not on_token(7, piece.encode()):
                reason = "cancelled"
                break
        return Outcome(reason, len(tokens), 0, len(pieces), 0, 1.0, 1.0)
