"""argparse with errors of one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from gpt4all.cli.failures import UsageError


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations: a new option would change what they mean."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **arguments)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options; they may stand before, between and behind the other words."""
        return self.parse_args(words) if self._subparsers is not None else self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help)")
