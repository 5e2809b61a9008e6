"""What a chat on the command line is made of: a model, and the conversation with it."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.cli.arguments import chat_arguments, generation_arguments, open_model
from gpt4all.cli.failures import say

if TYPE_CHECKING:
    from gpt4all.cli.tools import UserTools


class Session:
    """A model, the conversation with it, and what the commands change."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.chat_arguments = chat_arguments(options)
        self.arguments: dict[str, Any] = generation_arguments(options)
        self.file: Path | None = None
        self.tools: UserTools | None = None
        self.model = open_model(options)
        self.chat = self.model.new_chat(**self.chat_arguments)

    @property
    def title(self) -> str:
        """The model, where it runs, and how much it sees."""
        where = f"{self.model.backend} {self.model.device or ''}".strip()
        return f"{Path(self.model.config['path']).name}, on {where}, {self.model.model.n_ctx} tokens of context"

    def go_on(self, messages: list[dict[str, str]]) -> None:
        """Replaces the conversation."""
        self.chat = self.model.new_chat(**{**self.chat_arguments, "system_prompt": None}, messages=messages)

    def reset(self) -> None:
        """Begins a conversation anew, with the system prompt."""
        self.chat = self.model.new_chat(**self.chat_arguments)

    def change_model(self, name: str) -> None:
        """Goes on with another model; the present one stays where that cannot be loaded."""
        options = argparse.Namespace(**{**vars(self.options), "model": name})
        model = open_model(options)
        try:
            chat = model.new_chat(**{**self.chat_arguments, "system_prompt": None}, messages=self.chat.messages)
        except BaseException:
            model.close()
            raise
        self.model.close()
        self.options, self.model, self.chat = options, model, chat

    def answer(self, message: str) -> None:
        """Writes the answer to a message; Ctrl-C keeps what has come of it."""
        from gpt4all.cli.terminal import AnswerWriter, echo, write_aside

        writer = AnswerWriter()
        thinking = False

        def show_thinking(piece: str) -> None:
            nonlocal thinking
            thinking = True
            write_aside(piece)

        arguments = self.arguments | (self.tools.arguments() if self.tools is not None else {})
        if not self.options.hide_reasoning:
            arguments["reasoning_callback"] = show_thinking
        text = ""
        try:
            with echo(False), closing(self.chat.generate(message, streaming=True, **arguments)) as stream:
                for piece in stream:
                    if thinking:
                        thinking = False
                        write_aside("\n")
                    text = piece
                    writer.write(piece)
                writer.end()
        except KeyboardInterrupt:
            writer.end()
            print("\n(stopped)", flush=True)
            return
        if not text.endswith("\n"):
            print(flush=True)
        if stream.outcome is not None and stream.outcome.finish_reason == "length":
            say("the answer was cut off; --max-tokens allows more")
