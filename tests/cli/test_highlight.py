"""Markdown that is coloured while it is written."""

from __future__ import annotations

import random
import re

import pytest

from gpt4all.cli.highlight import Highlighter

ANSWER = """# A heading
Plain, **bold**, `code`, ``a ` b``, 2 ** 3, *one star*, **never closed
next line #no heading

  ```python
x = "**not bold**"  # `nor code`
~~~
```
after ~~~ and ```
 ## Second **still bold**
"""


def styles(pieces: list[str]) -> list[tuple[str, str]]:
    """Each character with its style."""
    highlighter = Highlighter()
    shown = "".join([*map(highlighter.feed, pieces), highlighter.end()])
    found = []
    style = ""
    for part in re.split(r"(\x1b\[[\d;]*m)", shown):
        if part.startswith("\x1b"):
            style = part[2:-1].removeprefix("0")
        else:
            found += [(character, style) for character in part]
    assert style == ""
    return found


def styled(text: str, words: str) -> set[str]:
    found = styles([text])
    at = text.index(words)
    return {style for _, style in found[at : at + len(words)]}


def test_every_character_stays_whatever_the_pieces() -> None:
    whole = styles([ANSWER])
    assert "".join(character for character, _ in whole) == ANSWER
    assert styles(list(ANSWER)) == whole
    draw = random.Random(1)
    for _ in range(50):
        cuts = sorted(draw.sample(range(1, len(ANSWER)), 20))
        pieces = [ANSWER[start:end] for start, end in zip([0, *cuts], [*cuts, len(ANSWER)], strict=True)]
        assert styles(pieces) == whole


@pytest.mark.parametrize(
    ("words", "style"),
    [
        ("# A heading", "1"),
        ("Plain, ", ""),
        ("**bold**", "1"),
        ("`code`", "36"),
        ("``a ` b``", "36"),
        (", 2 ** 3, *one star*, ", ""),
        ("**never closed", "1"),
        ("next line #no heading", ""),
        ("  ```python", "2"),
        ('x = "**not bold**"  # `nor code`', "36"),
        ("~~~", "36"),
        ("after ~~~ and ", ""),
        (" ## Second **still bold**", "1"),
    ],
)
def test_styles(words: str, style: str) -> None:
    assert styled(ANSWER, words) == {style}


def test_a_longer_fence_has_shorter_ones_in_it() -> None:
    text = "````markdown\n```\nx\n```\nstill\n````\nout\n"
    whole = styles([text])
    assert styles(list(text)) == whole
    assert [style for character, style in whole if character in "xou"][-2:] == ["", ""]
    assert styled(text, "still") == {"36"}


def test_nothing_waits_for_longer_than_it_must() -> None:
    highlighter = Highlighter()
    assert highlighter.feed("A word") == "A word"
    assert highlighter.feed(" *") == " "
    assert highlighter.feed("*bold") == "\x1b[1m**\x1b[0m\x1b[1mbold\x1b[0m"
    assert highlighter.feed("\n``") == "\n"
    assert highlighter.feed("`") == ""
