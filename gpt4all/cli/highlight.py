"""Markdown in a terminal, coloured as it is written."""

from __future__ import annotations

import re

_BOLD, _CODE, _QUIET = "1", "36", "2"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6} ")
#: What may become one of them with the next characters.
_UNDECIDED = re.compile(r" {0,3}(`*|~*|#{1,6})")
_INLINE = re.compile(r"\n|\*+|`+|[^\n*`]+")


class Highlighter:
    """Colours headings, code and what is bold, and leaves all characters where they are.

    A renderer, as that of rich, would draw again what is on the screen whenever more comes: it loses what has left the
    screen, and its place when the window changes its size. Here a terminal wraps, keeps and copies an answer as the
    model wrote it, code too.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._at_line_start = True
        #: What the line is all through: a heading, a fence.
        self._line = ""
        self._fence = ""
        self._is_bold = False
        self._code = ""

    def feed(self, piece: str) -> str:
        """The text that is certain by now, in colours; the rest comes with the next piece."""
        self._rest += piece
        return self._take(is_all=False)

    def end(self) -> str:
        """What is left, after the last piece."""
        return self._take(is_all=True)

    def _take(self, *, is_all: bool) -> str:
        taken = []
        while self._rest:
            if self._at_line_start and not self._begin_line(is_all=is_all):
                break
            found = _INLINE.match(self._rest)
            assert found is not None
            text = found[0]
            # Two stars are more than one, and what follows tells what they are.
            if text[0] in "*`" and len(text) == len(self._rest) and not is_all:
                break
            self._rest = self._rest[len(text) :]
            taken.append(self._styled(text))
        return "".join(taken)

    def _begin_line(self, *, is_all: bool) -> bool:
        if not is_all and _UNDECIDED.fullmatch(self._rest):
            return False
        fence = _FENCE.match(self._rest)
        if fence is not None and not self._fence:
            self._line, self._fence = _QUIET, fence[1]
        elif fence is not None and fence[1].startswith(self._fence):
            self._line, self._fence = _QUIET, ""
        elif not self._fence and _HEADING.match(self._rest):
            self._line = _BOLD
        self._at_line_start = False
        return True

    def _styled(self, text: str) -> str:
        if text == "\n":
            self._at_line_start, self._line, self._is_bold, self._code = True, "", False, ""
            return text
        if self._line or self._fence:
            return _in(self._line or _CODE, text)
        was_bold, was_code = self._is_bold, self._code
        if text[0] == "`":
            self._code = text if not self._code else "" if self._code == text else self._code
        elif text == "**" and not self._code:
            # Not the power of mathematics, which has spaces around it.
            self._is_bold = not was_bold and self._rest[:1].strip() != ""
        styles = [_BOLD] * (was_bold or self._is_bold) + [_CODE] * bool(was_code or self._code)
        return _in(";".join(styles), text)


def _in(style: str, text: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style else text
