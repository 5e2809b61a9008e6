"""The texts that every subject embeds: standard library only."""

from __future__ import annotations

import random

_WORDS = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
]

#: The most words of a text; a word is about one token.
LONGEST = 118


def mixed_texts(count: int, seed: int) -> list[str]:
    """From 13 to 118 words each."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(_WORDS, k=draw.randint(13, LONGEST))) for _ in range(count)]


def equal_texts(count: int, n_words: int) -> list[str]:
    draw = random.Random(n_words)
    return [" ".join(draw.choices(_WORDS, k=n_words)) for _ in range(count)]
