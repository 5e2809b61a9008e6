"""What begins with a slash in a chat."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.cli.failures import CommandError, UsageError

if TYPE_CHECKING:
    from gpt4all.cli.chat_session import Session


class LeaveChat(Exception):  # noqa: N818
    """The user wants to go."""


def run_command(session: Session, line: str) -> None:
    """Does what a line such as ``/save talk.json`` says.

    Raises:
        LeaveChat: it says to go.
        UsageError: there is no such command.
    """
    name, _, argument = line.strip().removeprefix("/").partition(" ")
    command = COMMANDS.get("exit" if name in ("quit", "bye") else name)
    if command is None:
        raise UsageError(f"there is no command /{name}; /help lists them, and // begins a message with /")
    command[1](session, argument.strip())


def _help(session: Session, _: str) -> None:
    for name, (line, _function) in COMMANDS.items():
        print(f"  /{name:8}{line}")
    print('A line that ends in \\ goes on, as do all between """ and """. Ctrl-C stops an answer, Ctrl-D leaves.')


def _system(session: Session, text: str) -> None:
    if not text:
        print(session.chat_arguments["system_prompt"] or "(no system prompt of yours)")
        return
    session.chat_arguments["system_prompt"] = text
    others = [message for message in session.chat.messages if message["role"] != "system"]
    session.go_on([{"role": "system", "content": text}, *others])
    print("(set; the conversation goes on, /reset begins it anew)")


def _reset(session: Session, _: str) -> None:
    session.reset()
    print("(a new conversation)")


def _undo(session: Session, _: str) -> None:
    messages = session.chat.messages
    last = next((at for at in reversed(range(len(messages))) if messages[at]["role"] == "user"), None)
    if last is None:
        raise CommandError("there is nothing to take back")
    session.go_on(messages[:last])
    print("(your last message and what followed it are forgotten)")


def _save(session: Session, argument: str) -> None:
    path = _file(session, argument, "save")
    if path != session.file and path.exists():
        raise UsageError(f"{path} exists; choose another name")
    saved = {"model": str(session.options.model), "messages": session.chat.messages}
    path.write_text(json.dumps(saved, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    session.file = path
    print(f"(saved to {path})")


def _load(session: Session, argument: str) -> None:
    path = _file(session, argument, "load")
    try:
        saved: Any = json.loads(path.read_text(encoding="utf-8"))
        session.go_on(saved["messages"] if isinstance(saved, dict) else saved)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} holds no conversation: {error}") from None
    session.file = path
    print(f"({len(session.chat.messages)} messages)")


def _model(session: Session, name: str) -> None:
    if name:
        session.change_model(name)
    print(f"({session.title})")


def _stats(session: Session, _: str) -> None:
    outcome = session.chat.last_generation
    if outcome is None:
        raise CommandError("there is no answer yet")
    computed = outcome.prompt_tokens - outcome.cached_tokens
    print(f"  prompt   {outcome.prompt_tokens} tokens, {outcome.cached_tokens} of them known already")
    print(f"           {computed} computed in {outcome.prompt_seconds:.2f} s{_speed(computed, outcome.prompt_seconds)}")
    print(
        f"  answer   {outcome.completion_tokens} tokens in {outcome.completion_seconds:.2f} s"
        f"{_speed(outcome.completion_tokens, outcome.completion_seconds)}, ended by {outcome.finish_reason}"
    )
    print(f"  context  {outcome.prompt_tokens + outcome.completion_tokens} of {session.model.model.n_ctx} tokens")


def _tools(session: Session, argument: str) -> None:
    if argument == "off":
        session.tools = None
        print("(no tools)")
        return
    if argument:
        from gpt4all.cli.tools import UserTools

        session.tools = UserTools(argument)
    if session.tools is None:
        print("(no tools; /tools FILE.py gives the model the functions of a Python file)")
        return
    for line in session.tools.lines():
        print(f"  {line}")


def _exit(session: Session, _: str) -> None:
    raise LeaveChat


#: By name: what it does, in a line, and the function.
COMMANDS: dict[str, tuple[str, Callable[[Session, str], None]]] = {
    "help": ("show this", _help),
    "system": ("show the system prompt, or set it: /system TEXT", _system),
    "undo": ("forget your last message and its answer; the arrow key brings the message back", _undo),
    "reset": ("forget the conversation", _reset),
    "save": ("write the conversation to a file: /save FILE", _save),
    "load": ("go on with a conversation that was saved: /load FILE", _load),
    "model": ("show the model, or go on with another: /model NAME", _model),
    "tools": (
        "let the model call functions of a Python file, asking you each time: /tools FILE.py, /tools off",
        _tools,
    ),
    "stats": ("show how long the last answer took", _stats),
    "exit": ("leave", _exit),
}


def _file(session: Session, argument: str, command: str) -> Path:
    if argument:
        return Path(argument).expanduser()
    if session.file is None:
        raise UsageError(f"/{command} needs a file: /{command} FILE")
    return session.file


def _speed(tokens: int, seconds: float) -> str:
    return f" ({tokens / seconds:.0f} a second)" if seconds > 0 else ""
