"""Command line of ``scripts/dev bench-vectors``: vectors beside those of sentence-transformers on the same weights.

Fails where a cosine is below 0.9999. The first run installs sentence-transformers and PyTorch into the build cache.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from nativebuild.venvs import child_environment

from bench.children import run_driver
from bench.drivers.embedding_texts import hard_texts
from bench.models import test_model
from bench.peers import Peers
from gpt4all import Embed4All

__all__ = ["main"]

_LEAST = 0.9999


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status is 0 where all of them agree."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev bench-vectors", description="Compare Embed4All with sentence-transformers, text by text."
    )
    parser.add_argument("--count", type=int, default=500, help="how many texts (500)")
    options = parser.parse_args(arguments)
    texts = hard_texts(options.count)
    file, python = test_model("minilm"), Peers().sentence_transformers
    spec = {"threads": 2, "count": options.count}
    theirs, _ = run_driver(python, "sentence_transformers", {**spec, "task": "vectors"}, child_environment())
    with Embed4All(str(file)) as model:
        # sentence-transformers cuts what is too long.
        ours = model.embed(texts, long_text_mode="truncate")
    cosines = sorted((_cosine(a, b), repr(text[:40])) for a, b, text in zip(ours, theirs, texts, strict=True))
    print(f"{len(texts)} texts; least cosines:")
    for cosine, text in cosines[:5]:
        print(f"  {cosine:.7f}  {text}")
    return int(cosines[0][0] < _LEAST)
