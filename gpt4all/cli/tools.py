"""Functions of a user's file that a model may call, each call asked for before it runs."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.cli.failures import UsageError
from gpt4all.cli.terminal import echo, forget_typed

if TYPE_CHECKING:
    from gpt4all import ToolCall


class UserTools:
    """The public functions of a Python file, or what its ``__all__`` names.

    Args:
        name: the file, which is run.
        is_asked: whether each call is asked for.

    Raises:
        UsageError: it cannot be run, or has nothing that can be called.
    """

    def __init__(self, name: str, *, is_asked: bool = True) -> None:
        from gpt4all.tools.toolbox import read_tools

        self.functions = _functions(Path(name).expanduser())
        try:
            self._toolbox = read_tools(self.functions)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name}: {error}") from None
        self._is_asked = is_asked
        #: Those that need not be asked for any more.
        self._always: set[str] = set()

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``generate``."""
        return {"tools": self.functions, "tool_callback": self.confirm}

    def lines(self) -> list[str]:
        """What each of them is and does."""
        found = []
        for tool in self._toolbox:
            first = tool.description.partition("\n")[0]
            found.append(f"{tool.name}({', '.join(tool.parameters['properties'])})  {first}".rstrip())
        return found

    def confirm(self, call: ToolCall) -> bool:
        """Shows a call and asks for it, unless the user has said ``always``."""
        shown = f"{call.name}({', '.join(f'{name}={_visible(value)}' for name, value in call.arguments.items())})"
        if not self._is_asked or call.name in self._always:
            print(f"[{shown}]", file=sys.stderr, flush=True)
            return True
        while True:
            answer = _ask(f"\nThe model wants to call {shown}\nRun it? [y]es, [n]o, [a]lways: ").strip().lower()
            if answer in ("a", "always"):
                self._always.add(call.name)
            if answer in ("y", "yes", "a", "always"):
                return True
            if answer in ("", "n", "no"):
                return False


def check_can_ask() -> None:
    """Before a model is loaded for nothing.

    Raises:
        UsageError: there is no terminal.
    """
    if not sys.stdin.isatty():
        try:
            _open_terminal().close()
        except OSError:
            raise UsageError("--tools asks before each call, and there is no terminal; --yes calls unasked") from None


def _functions(path: Path) -> list[Callable[..., Any]]:
    import importlib.util

    # A name of its own: calendar.py would take the place of the standard library's.
    name = f"gpt4all_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path) if path.suffix == ".py" else None
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for theirs.
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except OSError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}") from None
    names = getattr(module, "__all__", None)
    if names is None:
        own = inspect.getmembers(module, lambda found: inspect.isfunction(found) and found.__module__ == spec.name)
        names = [name for name, _ in own if not name.startswith("_")]
    elif missing := [name for name in names if not hasattr(module, name)]:
        raise UsageError(f"{path} has no {', '.join(missing)}, which its __all__ names")
    if not names:
        raise UsageError(f"{path} has no function whose name does not begin with _, or an empty __all__")
    return [getattr(module, name) for name in names]


def _visible(value: Any) -> str:
    """JSON on one line. What could move the cursor or turn text around is written out, for a model made it up."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def _ask(question: str) -> str:
    """A line of the user's, also where a pipe has the prompt; nothing at the end."""
    with echo(True), contextlib.nullcontext(sys.stdin) if sys.stdin.isatty() else _open_terminal() as terminal:
        forget_typed(terminal)
        print(question, end="", file=sys.stderr, flush=True)
        return str(terminal.readline())


def _open_terminal() -> Any:
    return Path("CONIN$" if os.name == "nt" else "/dev/tty").open(encoding="utf-8", errors="replace")
