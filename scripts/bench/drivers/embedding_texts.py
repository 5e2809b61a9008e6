"""The texts that every subject embeds: standard library only."""

from __future__ import annotations

import random

_COMMON = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room
"""
#: English words, which most vocabularies have as one token each.
WORDS = _COMMON.split()

#: The most words of a text; a word is about one token.
LONGEST = 118


def mixed_texts(count: int, seed: int) -> list[str]:
    """From 13 to 118 words each."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(13, LONGEST))) for _ in range(count)]


def equal_texts(count: int, n_words: int) -> list[str]:
    draw = random.Random(n_words)
    return [" ".join(draw.choices(WORDS, k=n_words)) for _ in range(count)]


#: What tokenisers and pooling get wrong, if anything.
_ODD_TEXTS = [
    " ",
    "\n\t ",
    "\u200b",
    "...",
    "\x00",
    "\x07\x1b[0m",
    "😀",
    "👩\u200d👩\u200d👧 🥰🫠",
    "中文字符测试",
    "你好,世界!",
    "안녕하세요 세계",
    "नमस्ते दुनिया",
    "Привет, мир",
    "مرحبا بالعالم",
    "ไทย ภาษา",
    "日本語のテキスト",
    "ÀÉÎÕÜ naïve Zürich e\u0301",
    "Ω ΣΑΣ ß ﬁ ½ İ ｗｉｄｅ",
    "a\x0bb\x0cc\x1cd\x85e\u2028f",
    "\ufffd\ufffd",
    "a" * 101,
    "https://example.com/a/b?c=d&e=f#g",
    "word " * 10_000,
]
_ODD_CHARACTERS = "abcxyzABC012 .,;:!?-_/'\"()[]éüñçßøπΩж中日한🙂🚀\t\n\x01\u200d"


def hard_texts(count: int = 500) -> list[str]:
    """Odd ones, random characters, and prose of every length up to what a model of 512 tokens takes."""
    draw = random.Random(7)
    texts = list(_ODD_TEXTS)
    while len(texts) < count // 5:
        texts.append("".join(draw.choices(_ODD_CHARACTERS, k=draw.randint(5, 200))))
    while len(texts) < count:
        texts.append(" ".join(draw.choices(WORDS, k=draw.choice([1, 2, 3, 5, 8, 12, 20, 40, 80, 120, 480]))))
    return texts
