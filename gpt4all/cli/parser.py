"""argparse with errors of one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from gpt4all.cli.failures import UsageError


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations: a new option would change what they mean."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help)")
