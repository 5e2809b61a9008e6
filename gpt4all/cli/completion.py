"""Writes a script that completes gpt4all's commands, options and files in a shell."""

from __future__ import annotations

import argparse

from gpt4all.cli.failures import DONE, CommandError

_FILES = ("FILE", "MODEL", "DIR", "INPUT", "OUTPUT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.epilog = "for bash:  gpt4all completion bash > ~/.local/share/bash-completion/completions/gpt4all"
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    try:
        import shtab
    except ImportError:
        from gpt4all._native.installation import requirement

        raise CommandError(f"completion needs shtab: pip install {requirement('cli')}") from None
    from gpt4all.cli.main import ALIASES, COMMANDS, command_parser

    whole = argparse.ArgumentParser(prog="gpt4all")
    commands = whole.add_subparsers()
    names = {**{name: name for name in COMMANDS}, **ALIASES}
    for name, meant in names.items():
        # Its own, with its actions and none of its prog.
        parser = command_parser(meant)
        _complete_files(parser, shtab)
        commands.add_parser(
            name, parents=[parser], add_help=False, description=COMMANDS[meant][1], help=COMMANDS[meant][1]
        )
    print(shtab.complete(whole, options.shell))
    return DONE


def _complete_files(parser: argparse.ArgumentParser, shtab: object) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _complete_files(inner, shtab)
        elif action.metavar in _FILES:
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
