"""Command line of ``scripts/dev bench``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nativebuild.report import BuildError, say

from bench.children import wait_until_quiet
from bench.peers import Peers
from bench.plots import write_plots
from bench.report import as_json, figures_table, from_json, page, targets_table
from bench.results import QUANTITIES, SUBJECTS, Results
from bench.rows import ROWS
from bench.run import Bench, Step
from bench.subject import Subject, from_clone, from_wheel
from bench.targets import judge

__all__ = ["main", "too_wide"]

_ROOT = Path(__file__).resolve().parents[2]
_NOISE_LIMIT = 0.1
_SPREAD_LIMIT = 0.25
_ATTEMPTS = 3

_DESCRIPTION = """\
Measure this package beside llama.cpp's own tools, llama-cpp-python and gpt4all 2.8.2, all in one run, and print how
they compare. The subjects take turns within each round. The first run builds the peers, which takes a while.

rows: {rows}
"llama.cpp" is llama-bench (tg128, pp512) of a stock native build of the same source; for load and memory, a C program
that makes llama-bench's own calls on the same libraries.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status is 1 when ``--check`` is given and a target was missed, 2 when samples part too far."""
    options = _parser().parse_args(arguments)
    subject = from_wheel(options.wheel) if options.wheel else from_clone(options.backend_path)
    native = from_clone() if options.wheel else None
    bench = Bench(subject, Peers(), options.threads, native)
    results = _measure(bench, options)
    facts = _facts(subject, options)
    for path in options.earlier:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if not results.samples:
            facts = {name: earlier[name] for name in facts}
        for name in ("machine", "threads", "subject"):
            if facts[name] != earlier[name]:
                raise BuildError(f"{path} was measured with another {name}: {earlier[name]!r}, not {facts[name]!r}")
        results.update(from_json(earlier))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    samples = json.dumps(as_json(results, facts), indent=1, ensure_ascii=False)
    options.json.write_text(samples + "\n", encoding="utf-8")
    print(f"\nsamples: {options.json}")
    if wide := too_wide(results, options.max_spread):
        print("\nno report: samples of the same thing part too far; leave the machine alone, or take more rounds")
        print("\n".join(wide))
        return 2
    print(f"\n{facts['machine']}; {facts['threads']} threads; ours: {facts['subject']}")
    print(f"native build: {native.description}\n" if native else "")
    print(figures_table(results))
    print()
    print(targets_table(judge(results)))
    if options.report is not None:
        folder = options.report.parent
        pictures = write_plots(results, folder / "assets" / options.report.stem)
        addresses = {picture.relative_to(folder).as_posix(): keys for picture, keys in pictures.items()}
        options.report.write_text(page(results, facts, addresses), encoding="utf-8")
        print(f"page: {options.report}")
    missed = [verdict for verdict in judge(results) if verdict.missed]
    return 1 if options.check and missed else 0


def too_wide(results: Results, limit: float) -> list[str]:
    """Speeds whose samples part by more than the limit, each in a line."""
    return [
        f"{QUANTITIES[key].title}, {subject}: {spread:.0%}"
        for key, by_subject in results.samples.items()
        if QUANTITIES[key].more_is_better
        for subject in by_subject
        if (spread := results.spread(key, subject)) is not None and spread > limit
    ]


def _row_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"unknown row {unknown[0]!r}; known: {', '.join(ROWS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/dev bench",
        description=_DESCRIPTION.format(rows=", ".join(ROWS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=_row_names, default=list(ROWS), metavar="ROW,ROW", help="only these rows")
    parser.add_argument(
        "--subjects",
        nargs="+",
        choices=SUBJECTS,
        default=SUBJECTS,
        metavar="NAME",
        help="only these: ours, llama.cpp and others of the table's head; a peer left out is neither built nor fetched",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often everybody takes a turn (5)")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--json", type=Path, default=_ROOT / "build" / "bench.json", metavar="FILE")
    parser.add_argument(
        "--with",
        dest="earlier",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="also report what these earlier runs of the same thing measured that this one does not (--rounds 0: all)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="also write a page in Markdown, its pictures in assets/ beside it"
    )
    parser.add_argument(
        "--max-spread",
        type=float,
        default=_SPREAD_LIMIT,
        metavar="SHARE",
        help="no report where the middle half of a speed's samples spans more of their median (%(default)s)",
    )
    parser.add_argument("--threads", type=int, default=_default_threads(), metavar="N", help="for every subject")
    parser.add_argument(
        "--max-wait", type=float, default=10, metavar="MINUTES", help="in all, for others to leave the machine alone"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--wheel", type=Path, metavar="FILE", help='measure this wheel, beside the clone as "native build"'
    )
    which.add_argument(
        "--backend-path", type=Path, metavar="DIR", help="measure the clone with the backend in DIR/cpu/"
    )
    return parser


def _default_threads() -> int:
    return len(os.sched_getaffinity(0))


def _measure(bench: Bench, options: argparse.Namespace) -> Results:
    results, patience = Results(), 60 * options.max_wait
    for number in range(options.rounds):
        bench.round = number
        for row in options.only:
            say(f"round {number + 1} of {options.rounds}: {row}")
            steps = [step for step in ROWS[row](bench) if step.subject in options.subjects]
            # Whoever comes first finds the machine cooler: everybody once.
            turn = number % len(steps) if steps else 0
            for step in steps[turn:] + steps[:turn]:
                patience -= _take_turn(step, results, patience)
    return results


def _take_turn(step: Step, results: Results, patience: float) -> float:
    """One measurement, again when others disturbed it and patience is left; returns the seconds waited."""
    waited = 0.0
    for attempt in range(_ATTEMPTS):
        waited += wait_until_quiet(patience - waited)
        values, child = step.measure()
        noise = child.others_share
        if noise is None or noise < _NOISE_LIMIT or attempt + 1 == _ATTEMPTS or waited >= patience:
            break
        waited += child.wall_seconds
    results.add(step.subject, values, noise)
    return waited


def _machine() -> str:
    return f"{_processor()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def _facts(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "machine": _machine(),
        "python": sys.version,
        "threads": options.threads,
        "rounds": options.rounds,
        "subject": subject.description,
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "load_average": os.getloadavg(),
    }
