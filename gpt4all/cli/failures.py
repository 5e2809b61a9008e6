"""Exit statuses, and what a person reads when something goes wrong: one line that says what to do."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable

DONE = 0
FAILED = 1
USAGE = 2
NO_MODEL = 3
NO_DEVICE = 4
PARTLY = 5
INTERRUPTED = 130
READER_LEFT = 141


#: What the package's messages call things, and what a command line does.
_HERE = (
    ("expected_md5", "--md5"),
    ("expected_sha256", "--sha256"),
    ("call list_models() first", "run gpt4all models search first"),
    ("allow_download is False", "--offline keeps it from being fetched"),
    ("list_gpus()", "gpt4all doctor"),
)


class CommandError(Exception):
    """A failure that has been explained; ``status`` is the exit status."""

    status = FAILED


class UsageError(CommandError):
    """The arguments, or what they name, make no sense."""

    status = USAGE


class PartlyError(CommandError):
    """Something was left undone."""

    status = PARTLY


def guarded(run: Callable[[], int], *, verbose: bool) -> int:
    """Runs a command; with ``verbose`` errors come with their traceback.

    Returns:
        The exit status.
    """
    _open_what_is_closed()
    _use_utf8()
    _show_warnings_shortly()
    try:
        status = run()
        sys.stdout.flush()
        return status
    except SystemExit as ended:  # argparse's --help
        return ended.code if isinstance(ended.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return READER_LEFT
    except Exception as error:
        if verbose and not isinstance(error, CommandError):
            import traceback

            traceback.print_exc()
        known = status_of(error)
        if known is None:
            raise
        say(f"error: {text_of(error)}")
        return known


def status_of(error: BaseException) -> int | None:
    """The exit status for an error; ``None`` for one that nobody foresaw."""
    from gpt4all import errors

    if isinstance(error, CommandError):
        return error.status
    if isinstance(error, errors.ModelNotFoundError):
        return NO_MODEL
    if isinstance(error, (errors.DeviceError, errors.BackendLoadError)):
        return NO_DEVICE
    if isinstance(error, errors.GPT4AllError):
        return FAILED
    # The network's errors are those of requests, which are OSErrors.
    if isinstance(error, OSError):
        return FAILED
    # An argument that the package refuses.
    return USAGE if isinstance(error, (ValueError, TypeError)) else None


def text_of(error: BaseException) -> str:
    """What an error says, with the file's name where the system only gave a number, and for a command line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = str(error)
    # Only who asked a server has imported it.
    if "requests" in sys.modules and isinstance(error, sys.modules["requests"].exceptions.RequestException):
        from gpt4all.downloads import http

        text = http.reason(error)
    for argument, option in _HERE:
        text = text.replace(argument, option)
    return text or type(error).__name__


def say(message: str) -> None:
    """A line on stderr, which nobody may be reading."""
    with contextlib.suppress(OSError, AttributeError):  # closed, or none at all
        print(f"gpt4all: {message}", file=sys.stderr, flush=True)


def _open_what_is_closed() -> None:
    """``>&-`` leaves ``None``, and a number that the next file opened, such as a model, would be given."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - until the end


def _use_utf8() -> None:
    """Models write every script, whatever a pipe or an old console would take."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    if hasattr(sys.stdin, "reconfigure") and not sys.stdin.isatty():
        sys.stdin.reconfigure(encoding="utf-8-sig")


def _show_warnings_shortly() -> None:
    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        say(f"warning: {message}")

    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.showwarning = show


def _forget_output() -> None:
    """Python flushes once more at its end, into a pipe that nobody reads."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
