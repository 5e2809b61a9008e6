"""How embedding is timed, the same for every subject."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.drivers.common import Spec, Values
from bench.drivers.embedding_texts import mixed_texts


def embed_values(spec: Spec, embed: Callable[[Any], Any]) -> Values:
    """Texts per second in one call, and one by one."""
    texts = mixed_texts(spec["count"], spec["seed"])
    embed(texts[:2])

    def together() -> float:
        started = time.perf_counter()
        embed(texts)
        return len(texts) / (time.perf_counter() - started)

    def one_by_one() -> float:
        few = texts[: spec["count_single"]]
        started = time.perf_counter()
        for text in few:
            embed(text)
        return len(few) / (time.perf_counter() - started)

    repeat = spec["repeat"]
    return {"embed": [together() for _ in range(repeat)], "embed.single": [one_by_one() for _ in range(repeat)]}
