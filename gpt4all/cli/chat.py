"""A conversation: type a message, and the answer is written as it comes."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.cli.arguments import (
    add_chat_options,
    add_generation_options,
    add_load_options,
    chat_arguments,
    generation_arguments,
    open_model,
)
from gpt4all.cli.chat_commands import COMMANDS, LeaveChat, run_command
from gpt4all.cli.failures import DONE, say, status_of, text_of

if TYPE_CHECKING:
    from gpt4all.cli.terminal import Reader

_FENCE = '"""'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.epilog = (
        'A line that ends in \\ goes on in the next one, and so do all between """ and """; with gpt4all[cli],\n'
        "Alt-Enter begins a new line. Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands."
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="what answers (default: see gpt4all --help)")
    parser.add_argument("--load", metavar="FILE", help="go on with a conversation that /save wrote")
    parser.add_argument("--no-history", action="store_true", help="keep no file of the lines that are typed")
    parser.add_argument("--hide-reasoning", action="store_true", help="do not show a reasoning model's thinking")
    add_chat_options(parser)
    add_generation_options(parser, max_tokens=2048)
    add_load_options(parser)


class Session:
    """A model, the conversation with it, and what the commands change."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.chat_arguments = chat_arguments(options)
        self.arguments: dict[str, Any] = generation_arguments(options)
        self.file: Path | None = None
        self.model = open_model(options)
        self.chat = self.model.new_chat(**self.chat_arguments)

    @property
    def title(self) -> str:
        """The model, where it runs, and how much it sees."""
        where = f"{self.model.backend} {self.model.device or ''}".strip()
        return f"{Path(self.model.config['path']).name}, on {where}, {self.model._loaded.info.n_ctx} tokens of context"

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
        from gpt4all.cli.terminal import write_answer, write_aside

        thinking = False

        def show_thinking(piece: str) -> None:
            nonlocal thinking
            thinking = True
            write_aside(piece)

        arguments = dict(self.arguments)
        if not self.options.hide_reasoning:
            arguments["reasoning_callback"] = show_thinking
        text = ""
        try:
            with closing(self.chat.generate(message, streaming=True, **arguments)) as stream:
                for piece in stream:
                    if thinking:
                        thinking = False
                        write_aside("\n")
                    text = piece
                    write_answer(piece)
        except KeyboardInterrupt:
            print("\n(stopped)", flush=True)
            return
        if not text.endswith("\n"):
            print(flush=True)
        if stream.outcome is not None and stream.outcome.finish_reason == "length":
            say("the answer was cut off; --max-tokens allows more")


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    from gpt4all.cli.terminal import line_reader

    session = Session(options)
    try:
        if options.load is not None:
            run_command(session, f"/load {options.load}")
        if sys.stdin.isatty():
            print(f"{session.title}. /help lists the commands, Ctrl-D leaves.", flush=True)
        _talk(session, line_reader([f"/{name}" for name in COMMANDS], keep_history=not options.no_history))
    finally:
        session.model.close()
    return DONE


def _talk(session: Session, read: Reader) -> None:
    while True:
        try:
            message = read_message(read)
        except KeyboardInterrupt:
            print("(Ctrl-D leaves)", flush=True)
            continue
        except EOFError:
            if sys.stdin.isatty():
                print()
            return
        if not message.strip():
            continue
        try:
            if message.startswith("/") and not message.startswith("//"):
                run_command(session, message)
            else:
                session.answer(message.removeprefix("/") if message.startswith("//") else message)
        except LeaveChat:
            return
        except KeyboardInterrupt:
            print("\n(stopped)", flush=True)
        except BrokenPipeError:
            raise
        except Exception as error:
            if status_of(error) is None:
                raise
            say(f"error: {text_of(error)}")


def read_message(read: Reader) -> str:
    """A message of one line or several."""
    line = read("> ")
    if line.strip().startswith(_FENCE):
        return _fenced(read, line.strip().removeprefix(_FENCE))
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1].removesuffix("\\")
        lines.append(read(". "))
    return "\n".join(lines)


def _fenced(read: Reader, first: str) -> str:
    lines = [first]
    while not lines[-1].rstrip().endswith(_FENCE):
        lines.append(read(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(_FENCE)
    return "\n".join(lines).strip("\n")
