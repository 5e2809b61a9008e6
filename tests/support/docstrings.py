"""Reads docstrings: their sections, and what the sections list."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

#: In this order.
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example")
_HEAD = re.compile(r"([A-Z]\w*( \w+)?):$")
_ENTRY = re.compile(r" {4}(?P<names>\*{0,2}[\w.]+(, [\w.]+)*): +\S")


@dataclass(frozen=True)
class Docstring:
    """A docstring, without its indentation."""

    text: str

    @classmethod
    def of(cls, thing: object) -> Docstring:
        # Its own: getdoc() would take that of a base.
        return cls(inspect.cleandoc(getattr(thing, "__doc__", None) or ""))

    @property
    def summary(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def heads(self) -> list[str]:
        """Names of the sections, and of what looks like one."""
        return [found[1] for line in self.text.splitlines() if (found := _HEAD.match(line))]

    def section(self, head: str) -> list[str]:
        """The lines of a section, without those of its neighbours; empty if there is none."""
        lines = self.text.splitlines()
        if f"{head}:" not in lines:
            return []
        rest = lines[lines.index(f"{head}:") + 1 :]
        end = next((index for index, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
        return [line for line in rest[:end] if line]

    def after_sections(self) -> list[str]:
        """Lines of plain text that come behind the first section."""
        lines = self.text.splitlines()
        start = next((index for index, line in enumerate(lines) if line.rstrip(":") in SECTIONS), len(lines))
        return [line for line in lines[start:] if line and not line.startswith(" ") and not _HEAD.match(line)]

    def entries(self, head: str) -> list[str]:
        """The names that a section lists, several of one entry apart."""
        names: list[str] = []
        for line in self.section(head):
            if found := _ENTRY.match(line):
                names += found["names"].split(", ")
        return names

    def loose_lines(self, head: str) -> list[str]:
        """Lines of a section of entries that belong to none."""
        lines = self.section(head)
        return [line for line in lines if not line.startswith(" " * 5) and not _ENTRY.match(line)]

    def single_backticks(self) -> list[str]:
        """What stands between single backticks, with a role before it or not."""
        return re.findall(r"`[^`]*`?", re.sub(r"``[^`]+``", "", self.text))
