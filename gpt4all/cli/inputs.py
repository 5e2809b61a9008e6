"""Reading many texts, one after the other, and finishing a file of results that was begun earlier."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gpt4all.cli.failures import UsageError, say


@dataclass(frozen=True)
class Item:
    """An input.

    Attributes:
        index: its place among all, counted from 0.
        id: what it is called, ``None`` where it has no name.
        value: what it says.
        error: why the line is none.
    """

    index: int
    id: Any
    value: Any
    error: str | None = None


def jsonl(name: str) -> Iterator[Item]:
    """A text or an object a line; empty lines do not count."""
    index = 0
    for number, line in enumerate(_lines(name), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as failure:
            yield Item(index, None, line, f"{name}, line {number} is not JSON: {failure}")
        else:
            id_ = value.get("id", value.get("custom_id")) if isinstance(value, dict) else None
            known = isinstance(value, (str, dict))
            error = None if known else f"{name}, line {number} is neither a text nor an object"
            yield Item(index, id_, value, error)
        index += 1


def lines(name: str) -> Iterator[Item]:
    """A text a line, empty ones too."""
    for index, line in enumerate(_lines(name)):
        yield Item(index, None, line)


def _lines(name: str) -> Iterator[str]:
    if name == "-" and sys.stdin.isatty():
        say("reading what you type, a line each; Ctrl-D ends it")
    with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UsageError(f"{name}, line {number} is not UTF-8 text (byte {error.start})") from None
            yield text.removesuffix("\n").removesuffix("\r")


def count(name: str, *, blank_too: bool) -> int | None:
    """How many lines a regular file has, ``None`` for another."""
    if name == "-" or not os.path.isfile(name):
        return None
    with open(name, "rb") as file:
        return sum(1 for line in file if blank_too or line.strip())


@contextlib.contextmanager
def progress_bar(what: str, unit: str, total: int | None, done: int) -> Iterator[Any]:
    """A bar on stderr, where that is a terminal."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, total=total, initial=done, file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        yield bar


def append_whole_lines(path: Path) -> IO[str]:
    """A file opened for more lines; half a line, which a killed process leaves, is cut off."""
    if path.exists() and not path.is_file():  # a device or a pipe, which has no half lines
        return open(path, "w", encoding="utf-8", newline="\n")
    with open(path, "a+b") as file:
        keep = size = file.seek(0, os.SEEK_END)
        while keep:
            start = max(keep - 65536, 0)
            file.seek(start)
            end = file.read(keep - start).rfind(b"\n") + 1
            if end:
                keep = start + end
                break
            keep = start
        if keep < size:
            file.truncate(keep)
    return open(path, "a", encoding="utf-8", newline="\n")
