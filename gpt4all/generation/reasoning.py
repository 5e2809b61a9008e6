"""Tells a reasoning model's thinking from its answer, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TagStyle:
    """Marks around the thinking; ``control`` where they are control tokens, which are not text by themselves."""

    opening: str
    closing: str
    control: bool


# As the chat templates of these families write them.
TAG_STYLES = (
    TagStyle("<think>", "</think>", control=False),  # DeepSeek-R1, Qwen3, SmolLM3, …
    TagStyle("[THINK]", "[/THINK]", control=True),  # Magistral
    TagStyle("<|START_THINKING|>", "<|END_THINKING|>", control=True),  # Command-A
    TagStyle("<seed:think>", "</seed:think>", control=False),  # Seed-OSS
)
CHANNEL_MARK = "<|channel|>"  # gpt-oss


class TagSplitter:
    """Splits at the marks of a ``TagStyle``; thinking can only come first."""

    def __init__(self, style: TagStyle, *, inside: bool) -> None:
        self.control = style.control
        #: Around the thinking; the first is empty where it has begun.
        self.marks = ("" if inside else style.opening, style.closing)
        self._style = style
        self._inside = inside
        self._answering = False
        self._pending = ""
        self._trim = inside

    def feed(self, piece: str) -> tuple[str, str]:
        """The thinking and the answer that ``piece`` makes known; what may be part of a mark waits."""
        if self._answering:
            return "", self._answer(piece)
        self._pending += piece
        if not self._inside:
            text = self._pending.lstrip()
            if text.startswith(self._style.opening):
                self._inside = self._trim = True
                self._pending = text[len(self._style.opening) :]
            elif self._style.opening.startswith(text):
                return "", ""
            else:
                self._answering = True
                return "", self._take()
        before, mark, after = self._pending.partition(self._style.closing)
        if not mark:
            keep = _partial(self._pending, self._style.closing)
            thinking = self._pending[: len(self._pending) - keep]
            self._pending = self._pending[len(thinking) :]
            return self._thinking(thinking), ""
        self._pending = ""
        thinking = self._thinking(before)
        self._answering = self._trim = True
        return thinking, self._answer(after)

    def finish(self) -> tuple[str, str]:
        """What was held back."""
        text = self._take()
        return (text, "") if self._inside and not self._answering else ("", text)

    def _take(self) -> str:
        text, self._pending = self._pending, ""
        return text

    def _thinking(self, text: str) -> str:
        return self._trimmed(text)

    def _answer(self, text: str) -> str:
        return self._trimmed(text)

    def _trimmed(self, text: str) -> str:
        # Line ends after a mark belong to the mark.
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        return text


class ChannelSplitter:
    """Splits gpt-oss's messages by their channel: ``final`` is the answer, everything else is thinking."""

    control = True

    _MESSAGE = "<|message|>"
    #: Whatever the other channels are called, it is over where the answer begins.
    marks = ("", f"{CHANNEL_MARK}final{_MESSAGE}")
    _ENDS = ("<|end|>", "<|return|>", "<|call|>")

    def __init__(self) -> None:
        self._pending = ""
        self._channel: str | None = None

    def feed(self, piece: str) -> tuple[str, str]:
        self._pending += piece
        thinking = answer = ""
        while True:
            if self._channel is None:
                header, mark, rest = self._pending.partition(self._MESSAGE)
                if not mark:
                    return thinking, answer
                self._channel = header.rpartition(CHANNEL_MARK)[2].split("<|")[0].strip().split(" ")[0]
                self._pending = rest
            end = min(
                (self._pending.find(mark), mark) if mark in self._pending else (len(self._pending), "")
                for mark in self._ENDS
            )
            keep = 0 if end[1] else max(_partial(self._pending, mark) for mark in self._ENDS)
            text = self._pending[: end[0] - keep]
            if self._channel == "final":
                answer += text
            else:
                thinking += text
            self._pending = self._pending[len(text) + len(end[1]) :]
            if not end[1]:
                return thinking, answer
            self._channel = None

    def finish(self) -> tuple[str, str]:
        text, self._pending = self._pending, ""
        if self._channel is None:
            # A header that never ended is no text of either kind, but plain text without any mark is an answer.
            return ("", text) if "<|" not in text else ("", "")
        return ("", text) if self._channel == "final" else (text, "")


Splitter = TagSplitter | ChannelSplitter


def splitter_for(template: str, prompt_ending: str) -> Splitter | None:
    """The splitter that suits a chat template, ``None`` for a model that does not reason aloud.

    ``prompt_ending`` is the last text of the prompt: a template may open the thinking itself, or close it to skip it.
    """
    if CHANNEL_MARK in template:
        return ChannelSplitter()
    for style in TAG_STYLES:
        if style.opening in template or style.closing in template:
            return TagSplitter(style, inside=prompt_ending.rstrip().endswith(style.opening))
    return None


def _partial(text: str, mark: str) -> int:
    """Length of the longest end of ``text`` that begins ``mark``."""
    for length in range(min(len(text), len(mark) - 1), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
