"""Pictures of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.results import COUNTS, MODELS_TOGETHER, QUANTITIES, SCALES, SERVED_COUNTS, Results

__all__ = ["write_plots"]


def write_plots(results: Results, folder: Path) -> dict[Path, list[str]]:
    """A picture for each thing that speed was measured against: lines for ours and peers, spread as bars.

    Returns:
        The files, each with the keys of what it shows.
    """
    from matplotlib.figure import Figure

    written = {}
    for name, title, axis, keys in _plots():
        if not any(key in results.samples for key in keys.values()):
            continue
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.add_subplot()
        for subject in results.subjects(keys.values()):
            _draw(axes, results, subject, keys)
        axes.set(title=title, xlabel=axis, ylabel="tokens/s", xscale="log")
        axes.set_xticks(list(keys), labels=[f"{x:,}" for x in keys])
        axes.set_xticks([], minor=True)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=120)
        written[folder / f"{name}.png"] = list(keys.values())
    return written


def _plots() -> Iterator[tuple[str, str, str, dict[int, str]]]:
    """A file's name, a title, an axis, and the quantity at each place of it."""
    for name, scale in SCALES.items():
        yield name, scale.title, scale.axis, {value: f"scale.{name}.{value}" for value in scale.values}
    for model, title in MODELS_TOGETHER.items():
        yield f"many-{model}", f"{title}, answers", "computed together", {n: f"many.{model}.{n}" for n in COUNTS}
        served = {n: f"served.{model}.{n}" for n in SERVED_COUNTS}
        yield f"served-{model}", f"{title}, answers over HTTP", "clients", served


def _draw(axes: Any, results: Results, subject: str, keys: dict[int, str]) -> None:
    points = {}
    for x, key in keys.items():
        samples = results.samples.get(key, {}).get(subject)
        if samples:
            points[x] = QUANTITIES[key].summarize(samples), min(samples), max(samples)
    if points:
        middle, low, high = zip(*points.values(), strict=True)
        bars = [[m - a for m, a in zip(middle, low, strict=True)], [b - m for m, b in zip(middle, high, strict=True)]]
        axes.errorbar(list(points), middle, yerr=bars, marker="o", capsize=3, label=subject)
