"""Command line of ``scripts/dev bench-embeddings``: a table over texts, tokens of each, and threads."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from bench.drivers.common import megabytes
from bench.drivers.embedding_texts import equal_texts
from gpt4all import Embed4All

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a row as soon as it is known."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev bench-embeddings",
        description="Time Embed4All over numbers of texts, their lengths and threads.",
    )
    parser.add_argument("model", type=Path, help="a GGUF file of an embedding model")
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 10, 100, 1000, 10_000, 100_000])
    parser.add_argument("--tokens", type=int, nargs="+", default=[8, 32, 128, 512, 2048, 8192])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--most", type=int, default=500_000, help="tokens of one measurement; larger ones are left out")
    options = parser.parse_args(arguments)
    print("| texts | words each | threads | seconds | texts/s | tokens/s | resident, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for threads in options.threads:
        with Embed4All(options.model, n_threads=threads) as model:
            model.embed("warm")
            for count in options.texts:
                for n_words in options.tokens:
                    if count * n_words > options.most:
                        continue
                    texts = equal_texts(count, n_words)
                    started = time.perf_counter()
                    n_tokens = model.embed(texts, return_dict=True)["n_prompt_tokens"]
                    seconds = time.perf_counter() - started
                    print(
                        f"| {count} | {n_words} | {threads} | {seconds:.3f} | {count / seconds:.1f} | "
                        f"{n_tokens / seconds:.0f} | {megabytes('VmRSS'):.0f} |",
                        flush=True,
                    )
    return 0
