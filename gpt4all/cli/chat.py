"""A conversation: type a message, and the answer is written as it comes."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gpt4all.cli.arguments import add_chat_options, add_generation_options, add_load_options
from gpt4all.cli.chat_commands import COMMANDS, LeaveChat, run_command
from gpt4all.cli.chat_session import Session
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
        lines += _next_line(read) or [""]
    return "\n".join(lines)


def _fenced(read: Reader, first: str) -> str:
    lines = [first]
    while not lines[-1].rstrip().endswith(_FENCE):
        following = _next_line(read)
        if not following:
            break
        lines += following
    lines[-1] = lines[-1].rstrip().removesuffix(_FENCE)
    return "\n".join(lines).strip("\n")


def _next_line(read: Reader) -> list[str]:
    """One, or none at the end of a pipe, which ends the message too; of who types, Ctrl-D leaves."""
    try:
        return [read(". ")]
    except EOFError:
        if sys.stdin.isatty():
            raise
        return []
