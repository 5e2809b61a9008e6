"""Tables, JSON and a page of a run."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bench.results import OURS, QUANTITIES, Results
from bench.targets import Verdict, judge

__all__ = ["as_json", "figures_table", "from_json", "number", "page", "targets_table"]

#: Sections of the page, by what keys of their quantities begin with.
_SECTIONS = {
    "One caller": ("generation.", "prompt", "import", "load", "memory.", "stop.", "overhead."),
    "Embeddings": ("embed",),
    "Answers together": ("many.",),
    "Over HTTP": ("served.",),
    "A mixed load": ("mixed.", "question.", "idle."),
    "A busy machine": ("busy.",),
    "How it scales": ("scale.",),
    "Thousands of calls": ("stress.",),
}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well in a terminal."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures_table(results: Results, keys: Collection[str] = QUANTITIES) -> str:
    """One line a quantity: ours, and each peer's with ours as a multiple of it."""
    subjects = results.subjects(keys)
    rows = []
    for key, quantity in QUANTITIES.items():
        if key not in results.samples or key not in keys:
            continue
        noise = results.noise.get(key)
        rows.append(
            [f"{quantity.title}, {quantity.unit}"]
            + [_cell(results, key, subject) for subject in subjects]
            + [f"{100 * statistics.median(noise):.0f} %" if noise else ""]
        )
    return _table(["", *subjects, "CPU taken by others"], rows)


def _cell(results: Results, key: str, subject: str) -> str:
    value = results.value(key, subject)
    if value is None:
        return ""
    ratio = None if subject == OURS else results.ratio(key, subject)
    return number(value) if ratio is None else f"{number(value)} (ours {ratio:.2f} ×)"


def targets_table(verdicts: Iterable[Verdict]) -> str:
    return _table(
        ["target", "", "measured", ""],
        [[QUANTITIES[it.target.key].title, str(it.target), _measured(it), it.word] for it in verdicts],
    )


def _measured(verdict: Verdict) -> str:
    if verdict.measured is None:
        return ""
    if verdict.target.peer is not None:
        return f"{verdict.measured:.3f} ×"
    return f"{number(verdict.measured)} {QUANTITIES[verdict.target.key].unit}"


def page(results: Results, facts: dict[str, Any], pictures: Mapping[str, Sequence[str]]) -> str:
    """All of it in Markdown, with pictures by their addresses, each with the keys of what it shows."""
    parts = [
        "# Benchmark",
        f"{facts['machine']}; {facts['threads']} threads; ours: {facts['subject']}; {facts['when'][:10]}. Made by "
        "`scripts/dev bench --report`; figures count as ratios within a line, which come from one run, in turns.",
    ]
    for title, beginnings in _SECTIONS.items():
        keys = [key for key in results.samples if key.startswith(beginnings)]
        if keys:
            parts += [f"## {title}", figures_table(results, keys)]
            parts += [
                f"![{QUANTITIES[shown[0]].title} and more]({address})"
                for address, shown in pictures.items()
                if not set(shown).isdisjoint(keys)
            ]
    judged = [verdict for verdict in judge(results) if verdict.measured is not None]
    if judged:
        parts += ["## Targets", targets_table(judged)]
    return "\n\n".join(parts) + "\n"


def as_json(results: Results, facts: dict[str, Any]) -> dict[str, Any]:
    """Everything, samples included, for later comparison."""
    return {
        **facts,
        "quantities": {
            key: {
                "unit": QUANTITIES[key].unit,
                "summary": QUANTITIES[key].summary,
                "others_cpu_share": results.noise.get(key, []),
                "subjects": {
                    subject: {"value": results.value(key, subject), "samples": samples}
                    for subject, samples in by_subject.items()
                },
            }
            for key, by_subject in results.samples.items()
        },
        "targets": [
            {
                "quantity": verdict.target.key,
                "target": str(verdict.target),
                "measured": verdict.measured,
                "verdict": verdict.word,
            }
            for verdict in judge(results)
        ],
    }


def from_json(report: dict[str, Any]) -> Results:
    """The samples of ``as_json``."""
    results = Results()
    for key, measured in report["quantities"].items():
        for subject, samples in measured["subjects"].items():
            results.add(subject, {key: samples["samples"]})
        results.noise[key] = measured["others_cpu_share"]
    return results
