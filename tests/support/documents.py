"""Reads the code out of Markdown pages: the README and those in docs/.

What a block is, its language says:

- ``python`` is run, after the blocks before it on the page and in the same namespace;
- ``console`` is a recorded run: lines after ``$`` are commands for a shell, what follows each is what it writes;
- ``text`` is what the block before it writes; its last line may be the error that this one ends with;
- ``bash`` is for a reader to copy, and says in a comment why it is not run;
- others are not for running.

In what is written ``…`` stands for anything. An HTML comment in front of a block changes what is done with it:

- ``not run: REASON``: nothing;
- ``file: NAME``: it is written to a file of that name, and run if it is ``python``'s or ``console``'s all the same;
- ``until the end of the page``: the command goes on while the rest of the page is run;
- ``words of a model``: only the first words of each output are compared, for the rest differs between processors;
- ``of one machine``: another writes something else, in which only the heads of a table's lines are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "Page", "pages"]

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)(<!-- (?P<remark>[^\n]+?) -->\n+[ ]*)?(?P<fence>```+) ?(?P<language>[\w-]*)[^\n]*\n"
    r"(?P<code>.*?)^(?P=indent)(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
#: What a table's line begins with.
_HEAD = re.compile(r"^(\w+(?: \w+)?) {2,}\S", re.MULTILINE)
#: How many words of a model's text are the same on all processors.
_SURE_WORDS = 3


@dataclass(frozen=True)
class Block:
    """A fenced block, without its indentation."""

    line: int
    language: str
    code: str
    remark: str

    def said(self, kind: str) -> str | None:
        """What stands behind ``kind:`` in the comment before the block."""
        head, colon, rest = self.remark.partition(": ")
        return rest if colon and head == kind else None

    def shows(self, expected: str, got: str) -> bool:
        """Whether an output is what is shown for it."""
        if self.remark == "words of a model":
            return got.split()[:_SURE_WORDS] == expected.split()[:_SURE_WORDS]
        if self.remark == "of one machine":
            return bool(got.strip()) and set(_HEAD.findall(expected)) <= set(_HEAD.findall(got))
        pattern, text = ("\n".join(map(str.rstrip, part.strip().splitlines())) for part in (expected, got))
        return re.fullmatch(".*?".join(map(re.escape, pattern.split("…"))), text, re.DOTALL) is not None


@dataclass(frozen=True)
class Page:
    """A Markdown file and its blocks."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def blocks(self) -> list[Block]:
        text = self.path.read_text(encoding="utf-8")
        return [
            Block(
                text.count("\n", 0, found.start("code")) + 1,
                found["language"],
                re.sub(f"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
                found["remark"] or "",
            )
            for found in _BLOCK.finditer(text)
        ]


def pages() -> list[Page]:
    """Every page whose blocks are run."""
    return [Page(ROOT / "README.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]
