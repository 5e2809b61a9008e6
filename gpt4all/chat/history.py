"""The messages of one conversation, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt4all.chat.messages import SYSTEM_ROLES, Message, check_messages, copied, text_of
from gpt4all.chat.template import ChatTemplate, check_template_args, choose_template
from gpt4all.checks import check_text

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
        return [copied(message) for message in list(self.messages)]

    def add(self, entry: list[Message], left_out: int | None, formatted: Formatted) -> None:
        """Adds a turn, the answer last, and what was found out about the messages for it."""
        self.messages += entry
        if left_out is not None:
            self.left_out = left_out
        self.formatted.update(formatted)

    def format(self, added: list[Message], format_message: Callable[[list[Message], str], str]) -> Formatted:
        """Has a subclass format each user message it has not formatted yet, ``added`` too.

        The system prompt comes before the first.
        """
        system, messages = split_system(self.snapshot())
        formatted = dict(self.formatted)
        header = "\n\n".join(filter(None, map(text_of, system)))
        for index, message in enumerate([*messages, *added]):
            known, said = formatted.get(index), text_of(message)
            if message["role"] == "user" and (known is None or known[0] != said):
                formatted[index] = said, format_message([{**message, "content": said}], header if index == 0 else "")
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
        messages: Sequence[Mapping[str, Any]] | None,
        template_args: Mapping[str, Any] | None,
    ) -> ChatSession:
        template, default_system = choose_template(prompt_template, config, model_template)
        history = [] if messages is None else check_messages(messages)
        if system_prompt is not None:
            check_text("system_prompt", system_prompt)
        if not history or history[0]["role"] not in SYSTEM_ROLES:
            history.insert(0, {"role": "system", "content": default_system if system_prompt is None else system_prompt})
        elif system_prompt is not None:
            history[0]["content"] = system_prompt
        return cls(template, check_template_args(template_args), Conversation(history))

    def replace(self, messages: object) -> None:
        """Goes on with another history; a call that is under way belongs to the old one."""
        self.conversation = Conversation(check_messages(messages))


def split_system(history: list[Message]) -> tuple[list[Message], list[Message]]:
    """The messages at the beginning that say how to answer, and the turns."""
    begin = next((at for at, message in enumerate(history) if message["role"] not in SYSTEM_ROLES), len(history))
    return history[:begin], history[begin:]
