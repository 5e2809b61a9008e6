"""Normalises a text as BERT's own tokenizer does, before the engine cuts it into pieces.

The engine's rules are simpler: it drops marks that belong to a letter in Indic
scripts, takes no Korean syllable apart, ends words at some control characters,
and cuts words that BERT gives up on. Each makes other tokens, and so another
vector, than the one the model was trained to give.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt4all._native.backend import WordPiece

#: A word with more characters than this is unknown as a whole.
MAX_WORD_LENGTH = 100
UNKNOWN = "[UNK]"

# How the engine marks a word's first piece, which no text must bring in; it is
# exchanged for its taller neighbour, as unknown as it is.
_WORD_START = "\u2581"
_IN_NO_VOCABULARY = "\u2582"

_LONG_RUN = re.compile(rf"\S{{{MAX_WORD_LENGTH + 1},}}")
# The ranges that the tokenizers library takes for Chinese; one of them begins
# 256 characters late there, and models were trained with that.
_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class _Cleaning(dict[int, str]):
    """What becomes of each character at first, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = result = _clean(chr(code))
        return result


class _Folding(dict[int, str]):
    """What becomes of each character of a decomposed text."""

    def __init__(self, lowercase: bool, strip_accents: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._strip_accents = strip_accents

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if self._strip_accents and unicodedata.category(character) == "Mn":
            result = ""
        else:
            # One by one: as part of a word, a final sigma would become another letter.
            result = character.lower() if self._lowercase else character
        self[code] = result
        return result


def _clean(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in "\0\N{REPLACEMENT CHARACTER}" or unicodedata.category(character) in ("Cc", "Cf", "Co"):
        return ""
    if character.isspace():
        return " "
    if character == _WORD_START:
        return _IN_NO_VOCABULARY
    code = ord(character)
    if any(first <= code <= last for first, last in _CHINESE):
        return f" {character} "
    return character


_cleaning = _Cleaning()


@cache
def _folding(lowercase: bool, strip_accents: bool) -> _Folding:
    return _Folding(lowercase, strip_accents)


def normalize(text: str, rules: WordPiece) -> str:
    """``text`` cleaned of control characters, its Chinese characters set apart, its case and accents folded."""
    text = text.translate(_cleaning)
    if rules.strip_accents and not text.isascii():
        text = unicodedata.normalize("NFD", text)
    return text.translate(_folding(rules.lowercase, rules.strip_accents))


def split_unknown(text: str) -> list[tuple[str, bool]]:
    """A normalised text in parts, each with whether it is the mark of an unknown word in place of a long one."""
    if _LONG_RUN.search(text) is None:
        return [(text, False)]
    parts: list[tuple[str, bool]] = []
    kept: list[str] = []
    for word in _words(text):
        if len(word) > MAX_WORD_LENGTH:
            parts += [("".join(kept), False), (UNKNOWN, True)]
            kept = []
        else:
            kept.append(word)
    parts.append(("".join(kept), False))
    return [part for part in parts if part[0]]


def _words(text: str) -> list[str]:
    """Words, and between them single punctuation marks and spaces; joined they are ``text``."""
    words = []
    start = 0
    for end, character in enumerate(text):
        if character.isspace() or _is_punctuation(character):
            words += [text[start:end], character]
            start = end + 1
    return [*words, text[start:]]


def _is_punctuation(character: str) -> bool:
    # All that is printable in ASCII and no letter or digit counts.
    if character.isascii():
        return not character.isalnum() and character.isprintable() and character != " "
    return unicodedata.category(character).startswith("P")
