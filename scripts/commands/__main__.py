"""Runs a subcommand, with the Python and the packages that it needs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
# The one place that says where packages are: those beside this one, then gpt4all and tests.
sys.path[:1] = [str(_HERE.parent), str(_ROOT)]

from nativebuild.report import BuildError, say  # noqa: E402

from commands.table import COMMANDS, GROUPS, Command  # noqa: E402

_INSIDE = "--in-environment"


def _parser() -> argparse.ArgumentParser:
    lines = []
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:17} {command.line}" for name, command in group.items())]
    parser = argparse.ArgumentParser(
        prog="scripts/dev",
        usage="%(prog)s SUBCOMMAND [ARGUMENT ...]",
        description="What contributors run. Each subcommand sets up what it needs, and has a --help of its own.",
        epilog="\n".join(lines[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subcommand", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _run(command: Command, arguments: Sequence[str]) -> int:
    main = importlib.import_module(command.module).main
    return int(main(arguments))


def _dispatch(words: Sequence[str]) -> int:
    if words[:1] == [_INSIDE]:
        return _run(COMMANDS[words[1]], words[2:])
    parser = _parser()
    options = parser.parse_args(words or ["--help"])
    command = COMMANDS.get(options.subcommand)
    if command is None:
        parser.error(f"unknown subcommand {options.subcommand!r}; scripts/dev --help lists them")
    if command.extras is None:
        return _run(command, options.arguments)
    if {"-h", "--help"}.intersection(options.arguments):
        # Nothing is built for a look at the options, if the module does without.
        with contextlib.suppress(ModuleNotFoundError):
            return _run(command, options.arguments)
    from commands.setup import set_up

    python = set_up(command.extras)
    os.execv(python, [str(python), str(_HERE), _INSIDE, options.subcommand, *options.arguments])


def main() -> int:
    """The exit status: the subcommand's, 1 for a failure that was explained, 130 after Ctrl-C."""
    try:
        return _dispatch(sys.argv[1:])
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("interrupted; what is finished is kept")
        return 130


if __name__ == "__main__":
    sys.exit(main())
