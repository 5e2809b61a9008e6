"""The messages of one conversation, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt4all.chat.template import ChatTemplate, check_template_args, choose_template
from gpt4all.checks import check_text

Message = dict[str, str]


def check_messages(messages: object) -> list[Message]:
    """A copy of a history if it is a list of ``{"role": str, "content": str}``."""
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        raise TypeError(f"messages must be a list of dicts, not {type(messages).__name__}")
    checked = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise TypeError(f"messages[{index}] must be a dict, not {type(message).__name__}")
        for key in ("role", "content"):
            if key not in message:
                raise ValueError(f"messages[{index}] has no {key!r}")
            check_text(f"messages[{index}][{key!r}]", message[key])
        checked.append(dict(message))
    return checked


#: By index after the system prompt: a user's message, and what a subclass has formatted it to.
Formatted = dict[int, tuple[str, str]]


class Conversation:
    """Messages and what is known of them, which are replaced together. Each change is one step."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        #: Messages after the system prompt that are no longer sent.
        self.left_out = 0
        self.formatted: Formatted = {}

    def snapshot(self) -> list[Message]:
        return [dict(message) for message in list(self.messages)]

    def add(self, entry: tuple[Message, Message], left_out: int | None, formatted: Formatted) -> None:
        """Adds a message of the user and its answer, and what was found out about the messages for them."""
        self.messages += entry
        if left_out is not None:
            self.left_out = left_out
        self.formatted.update(formatted)

    def format(self, prompt: str, format_message: Callable[[list[Message], str], str]) -> Formatted:
        """Has a subclass format each user message it has not formatted yet, the system prompt before the first."""
        system, messages = split_system(self.snapshot())
        formatted = dict(self.formatted)
        for index, message in enumerate([*messages, {"role": "user", "content": prompt}]):
            known = formatted.get(index)
            if message["role"] == "user" and (known is None or known[0] != message["content"]):
                text = format_message([message], system if index == 0 else "")
                formatted[index] = (message["content"], text)
        return formatted


@dataclass
class ChatSession:
    """One conversation."""

    template: ChatTemplate
    template_args: dict[str, Any]
    conversation: Conversation

    @classmethod
    def create(
        cls,
        config: Mapping[str, Any],
        model_template: str | None,
        system_prompt: str | None,
        prompt_template: str | None,
        messages: Sequence[Mapping[str, str]] | None,
        template_args: Mapping[str, Any] | None,
    ) -> ChatSession:
        template, default_system = choose_template(prompt_template, config, model_template)
        history = [] if messages is None else check_messages(messages)
        if system_prompt is not None:
            check_text("system_prompt", system_prompt)
        if not history or history[0]["role"] != "system":
            history.insert(0, {"role": "system", "content": default_system if system_prompt is None else system_prompt})
        elif system_prompt is not None:
            history[0]["content"] = system_prompt
        return cls(template, check_template_args(template_args), Conversation(history))

    def replace(self, messages: object) -> None:
        """Goes on with another history; a call that is under way belongs to the old one."""
        self.conversation = Conversation(check_messages(messages))


def split_system(history: list[Message]) -> tuple[str, list[Message]]:
    if history and history[0]["role"] == "system":
        return history[0]["content"], history[1:]
    return "", list(history)
