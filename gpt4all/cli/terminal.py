"""What a terminal is shown, and what is typed there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from gpt4all.cli.highlight import Highlighter

if sys.platform != "win32":
    import termios

#: Control characters, all but line ends and tabs: with them a model's text could move the cursor, or worse.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}

Reader = Callable[[str], str]


class AnswerWriter:
    """Writes a model's text to stdout as it comes.

    A terminal obeys no control characters in it, and shows Markdown in colours where it has them.
    """

    def __init__(self) -> None:
        self._highlighter = Highlighter() if has_colours(sys.stdout) else None

    def write(self, piece: str) -> None:
        if sys.stdout.isatty():
            piece = piece.translate(_CONTROLS)
        self._write(piece if self._highlighter is None else self._highlighter.feed(piece))

    def end(self) -> None:
        """The answer has come to its end, or was stopped."""
        self._write("" if self._highlighter is None else self._highlighter.end())

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def write_aside(piece: str) -> None:
    """A piece of text that is no answer, such as thinking, to stderr; dim in a terminal with colours."""
    if sys.stderr.isatty():
        piece = piece.translate(_CONTROLS)
        piece = f"\x1b[2m{piece}\x1b[0m" if has_colours(sys.stderr) else piece
    print(piece, end="", file=sys.stderr, flush=True)


def has_colours(stream: TextIO) -> bool:
    """Whether that is a terminal that shows them, and nobody has set ``NO_COLOR``."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def echo(on: bool) -> Iterator[None]:
    """Whether the terminal shows what is typed meanwhile: in the midst of an answer it does not belong."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    # In lines, a Ctrl-D would be gone before the next prompt, which reads keys, could see it.
    both = termios.ECHO | termios.ICANON
    flags = before[3] | both if on else before[3] & ~both
    termios.tcsetattr(sys.stdin, termios.TCSANOW, [*before[:3], flags, *before[4:]])
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def forget_typed(file: TextIO) -> None:
    """Drops what was typed before a question came, and can be no answer to it."""
    if sys.platform != "win32" and file.isatty():
        termios.tcflush(file, termios.TCIFLUSH)


def line_reader(words: list[str], *, keep_history: bool) -> Reader:
    """What reads a line: with prompt_toolkit where that is installed, with readline, or plainly from a pipe.

    Args:
        words: what the Tab key completes at the beginning of a line.
        keep_history: keeps the lines in a file for the next time.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _plain
    history = _history_folder() if keep_history else None
    with contextlib.suppress(ImportError):
        return _comfortable(words, history)
    with contextlib.suppress(ImportError):  # Windows has none
        _prepare_readline(words, history)
    return input


def _plain(prompt: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _comfortable(words: list[str], history: Path | None) -> Reader:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.output import ColorDepth

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory() if history is None else FileHistory(str(history / "chat-lines")),
        completer=WordCompleter(words, sentence=True),
        complete_while_typing=False,
        key_bindings=keys,
        color_depth=None if has_colours(sys.stdout) else ColorDepth.DEPTH_1_BIT,
    )
    return lambda prompt: session.prompt(prompt)


def _prepare_readline(words: list[str], history: Path | None) -> None:
    import atexit
    import readline

    readline.set_completer(lambda text, n: next(iter([word for word in words if word.startswith(text)][n:]), None))
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    if history is not None:
        file = history / "chat-lines.readline"
        with contextlib.suppress(OSError):
            readline.read_history_file(file)
        readline.set_history_length(1000)
        atexit.register(_save_readline, file)


def _save_readline(file: Path) -> None:
    import readline

    with contextlib.suppress(OSError):
        readline.write_history_file(file)


def _history_folder() -> Path | None:
    """Only for this user to read; ``None`` where it cannot be."""
    from platformdirs import user_state_path

    try:
        folder = user_state_path("gpt4all", appauthor=False)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("chat-lines", "chat-lines.readline"):
            (folder / name).touch(mode=0o600)
    except (OSError, RuntimeError):
        return None
    return folder
