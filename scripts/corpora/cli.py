"""Command line of ``scripts/dev corpora``.

Embeds a corpus through Ray Data, Spark and datasets, with one worker and with two of one thread each, and compares the
vectors with those of one process. With ``--kill`` a worker is killed meanwhile, and nothing may be lost by it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testmodels import ensure

#: The numbers of a vector, of length 1, may part by this: texts are computed in other company.
TOLERANCE = 1e-4
_WORDS = """
harbour window river seven letter quiet garden market engine winter paper copper valley morning bridge doctor silver
number island answer corner music forest summer village history science
"""
#: Ray's local cluster without a token, and this Python for Spark's workers.
_SETTINGS = {"RAY_AUTH_MODE": "disabled", "PYSPARK_PYTHON": sys.executable}
_ENGINES = ("ray", "spark mapInPandas", "spark predict_batch_udf", "datasets")


@dataclass(frozen=True)
class Ran:
    """What came of a run: vectors of shape (texts, size), and a line for each batch."""

    vectors: Any
    batches: list[dict[str, float]]

    @property
    def texts_per_second(self) -> float:
        """From when the last worker had its first batch done to when the first was through."""
        return self._rate(*self._all_at_work())

    @property
    def pace_at_the_end(self) -> float:
        """How fast the last quarter of that time was, beside the first."""
        begin, end = self._all_at_work()
        quarter = (end - begin) / 4
        return self._rate(end - quarter, end) / self._rate(begin, begin + quarter)

    def _all_at_work(self) -> tuple[float, float]:
        ends: dict[float, list[float]] = {}
        for batch in self.batches:
            ends.setdefault(batch["pid"], []).append(batch["ended"])
        return max(min(times) for times in ends.values()), min(max(times) for times in ends.values())

    def _rate(self, begin: float, end: float) -> float:
        rows = sum(batch["rows"] for batch in self.batches if begin < batch["ended"] <= end)
        return rows / (end - begin) if end > begin and rows else float("nan")

    @property
    def growth_mb(self) -> float:
        """Most memory that a worker gained from its first quarter to its last, in medians."""
        growth = 0.0
        for pid in {batch["pid"] for batch in self.batches}:
            resident = [batch["resident_kb"] / 1e3 for batch in self.batches if batch["pid"] == pid]
            quarter = max(1, len(resident) // 4)
            growth = max(growth, statistics.median(resident[-quarter:]) - statistics.median(resident[:quarter]))
        return growth


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/dev corpora", description=__doc__.partition("\n")[2].strip())
    parser.add_argument("--texts", type=int, default=2000, metavar="N")
    parser.add_argument("--short", action="store_true", help="texts of three words instead of 12 to 40")
    parser.add_argument("--engine", action="append", choices=_ENGINES, help="may be given several times")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--kill", action="store_true", help="kill a worker of each run after a few batches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    model = str(ensure("minilm"))
    figures, failed = [], False
    with tempfile.TemporaryDirectory(prefix="gpt4all-corpora-") as folder:
        texts = Path(folder, "texts")
        texts.write_text("\n".join(_texts(options.texts, options.short)), encoding="utf-8")
        alone = _run("one process", 1, texts, model, kill=False)
        print(f"{'one process':24} 1  {alone.texts_per_second:8.1f} texts/s")
        for engine in options.engine or _ENGINES:
            rate = None
            for workers in options.workers:
                ran = _run(engine, workers, texts, model, kill=options.kill)
                apart = float(abs(ran.vectors - alone.vectors).max())
                failed |= not apart <= TOLERANCE
                ratio = f"  {ran.texts_per_second / rate:.2f} x of one" if rate is not None else ""
                rate = rate or ran.texts_per_second
                print(
                    f"{engine:24} {workers}  {ran.texts_per_second:8.1f} texts/s  vectors apart by {apart:.1e}  "
                    f"memory grew by {ran.growth_mb:.0f} MB  pace at the end {ran.pace_at_the_end:.2f}{ratio}",
                    flush=True,
                )
                figures.append(
                    {
                        "engine": engine,
                        "workers": workers,
                        "texts": options.texts,
                        "texts_per_second": ran.texts_per_second,
                        "apart": apart,
                        "growth_mb": ran.growth_mb,
                        "pace_at_the_end": ran.pace_at_the_end,
                    }
                )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))
    return int(failed)


def _texts(count: int, short: bool) -> list[str]:
    drawn = random.Random(1)
    return [" ".join(drawn.choices(_WORDS.split(), k=3 if short else drawn.randint(12, 40))) for _ in range(count)]


def _run(engine: str, workers: int, texts: Path, model: str, *, kill: bool) -> Ran:
    import numpy as np

    with tempfile.TemporaryDirectory(dir=texts.parent) as folder:
        log, vectors = Path(folder, "log"), Path(folder, "vectors.npy")
        log.touch()
        spec = {
            "engine": engine,
            "workers": workers,
            "texts": str(texts),
            "model": model,
            "log": str(log),
            "vectors": str(vectors),
        }
        child = subprocess.Popen(
            # Not with -m: what is in __main__ would be pickled by its code, and not by its name.
            [sys.executable, "-c", "from corpora.engines import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **_SETTINGS},
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps(spec))
        child.stdin.close()
        child.stdin = None
        if kill:
            _kill_a_worker(log, child)
        output, _ = child.communicate()
        if child.returncode != 0:
            raise SystemExit(f"{engine} with {workers} workers failed:\n{output[-4000:]}")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return Ran(np.load(vectors), lines)


def _kill_a_worker(log: Path, child: subprocess.Popen[str]) -> None:
    while child.poll() is None:
        lines = log.read_text().splitlines()
        if len(lines) >= 3:
            os.kill(int(json.loads(lines[-1])["pid"]), signal.SIGKILL)
            return
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
