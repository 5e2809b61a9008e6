"""Texts as BERT's tokenizer normalises them, beside the tokenizers library."""

from __future__ import annotations

import random
import unicodedata

import pytest

from gpt4all._native.backend import WordPiece
from gpt4all.engine.wordpiece import MAX_WORD_LENGTH, UNKNOWN, normalize, split_unknown

UNCASED = WordPiece(lowercase=True, strip_accents=True)
CASED = WordPiece(lowercase=False, strip_accents=False)
TEXTS = [
    "Hello, World!",
    "café naïve Zürich ÀÉÎÕÜ e\u0301",
    "中文字符test中文 日本語 𠀀",
    "안녕하세요 세계",
    "नमस्ते दुनिया तमिल தமிழ்",
    "ΣΑΣ İstanbul ß ﬁ ½",
    "a\x00b\x07c\x0bd\x0ce\x1cf\x85g\u2028h\u200bi\u200dj\ufeffk\ufffdl",
    "tab\tline\nreturn\rspace\u00a0thin\u2009ideographic\u3000end",
    "👩‍👩‍👧 🥰🫠",
    "\ue000 private \U000f0000",
]


@pytest.mark.parametrize("rules", [UNCASED, CASED], ids=["uncased", "cased"])
def test_as_the_tokenizers_library_does(rules: WordPiece) -> None:
    normalizers = pytest.importorskip("tokenizers").normalizers
    reference = normalizers.BertNormalizer(lowercase=rules.lowercase, strip_accents=rules.strip_accents)
    # Its tables are those of an old Unicode: what came or changed later is left out here.
    draw = random.Random(0)
    old = [c for c in map(chr, range(0x3000)) if unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c) != "Cn"]
    texts = [*TEXTS, *("".join(draw.choices(old, k=20)) for _ in range(500))]
    for text in texts:
        text = text.replace("\u2581", "")
        assert normalize(text, rules) == reference.normalize_str(text), ascii(text)


def test_the_engines_mark_for_the_start_of_a_word_is_no_part_of_a_text() -> None:
    assert "\u2581" not in normalize("one \u2581two", UNCASED)


LONG = "b" * (MAX_WORD_LENGTH + 1)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [("", False)]),
        ("a " + "b" * MAX_WORD_LENGTH, [("a " + "b" * MAX_WORD_LENGTH, False)]),
        (LONG, [(UNKNOWN, True)]),
        (f"x {LONG}! ok", [("x ", False), (UNKNOWN, True), ("! ok", False)]),
        (f"{LONG}-{LONG}", [(UNKNOWN, True), ("-", False), (UNKNOWN, True)]),
        ("c" * 60 + "." + "d" * 60, [("c" * 60 + "." + "d" * 60, False)]),
    ],
)
def test_words_that_are_too_long_are_unknown(text: str, parts: list[tuple[str, bool]]) -> None:
    assert split_unknown(text) == parts
