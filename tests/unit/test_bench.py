"""The benchmarks' pure parts: summing up, targets, tables, llama-bench's output. Nothing is measured here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from bench import llama_bench, rows, together
from bench.children import Child, Spinners
from bench.cli import too_wide
from bench.drivers.mixed_load import mixed_load, percentile
from bench.peers import Peers
from bench.plots import write_plots
from bench.report import as_json, figures_table, from_json, number, page, targets_table
from bench.results import GPT4ALL_OLD, LLAMA_BENCH, LLAMA_CPP_PYTHON, NATIVE, OURS, QUANTITIES, Quantity, Results
from bench.run import Bench
from bench.subject import Subject
from bench.targets import TARGETS, Target, Verdict, judge
from bench.together import N_REQUESTS, mixed_plan


@pytest.fixture
def results() -> Results:
    found = Results()
    found.add(OURS, {"generation.greedy": [90.0, 98.0]}, noise=0.02)
    found.add(LLAMA_BENCH, {"generation.greedy": [100.0, 80.0]}, noise=0.04)
    found.add(GPT4ALL_OLD, {"generation.greedy": [50.0]}, noise=0.5)
    found.add(OURS, {"import": [40.0, 80.0, 44.0]})
    return found


@pytest.mark.parametrize(
    ("summary", "more_is_better", "expected"),
    [
        ("best", True, 5.0),
        ("best", False, 1.0),
        ("worst", True, 1.0),
        ("worst", False, 5.0),
        ("median", True, 2.0),
    ],
)
def test_samples_become_one_figure(summary: str, more_is_better: bool, expected: float) -> None:
    quantity = Quantity("key", "title", "unit", more_is_better, summary)  # type: ignore[arg-type]
    assert quantity.summarize([2.0, 5.0, 1.0]) == expected


def test_ratio_is_ours_to_theirs(results: Results) -> None:
    assert results.value("generation.greedy") == 98.0
    assert results.ratio("generation.greedy", LLAMA_BENCH) == pytest.approx(0.98)
    assert results.ratio("generation.greedy", LLAMA_CPP_PYTHON) is None
    assert results.ratio("prompt", LLAMA_BENCH) is None


def test_samples_of_several_rounds_add_up() -> None:
    found = Results()
    found.add(OURS, {"load": [3.0]})
    found.add(OURS, {"load": [1.0, 2.0]})
    assert found.samples["load"][OURS] == [3.0, 1.0, 2.0]
    assert found.value("load") == 2.0


def test_unknown_quantity_is_refused() -> None:
    with pytest.raises(KeyError, match="speed"):
        Results().add(OURS, {"speed": [1.0]})


def test_subjects_come_in_the_order_of_comparison(results: Results) -> None:
    assert results.subjects() == [OURS, LLAMA_BENCH, GPT4ALL_OLD]


@pytest.mark.parametrize(
    ("at_least", "limit", "measured", "word"),
    [
        (True, 0.97, 0.98, "ok"),
        (True, 0.97, 0.97, "ok"),
        (True, 0.97, 0.96, "MISSED"),
        (False, 30, 12.0, "ok"),
        (False, 30, 31.0, "MISSED"),
        (False, 30, None, "not measured"),
    ],
)
def test_verdict(at_least: bool, limit: float, measured: float | None, word: str) -> None:
    verdict = Verdict(Target("load", at_least, limit), measured)
    assert verdict.word == word
    assert verdict.missed == (word == "MISSED")


def test_only_measured_quantities_are_judged(results: Results) -> None:
    words = {str(verdict.target): verdict.word for verdict in judge(results)}
    assert words == {
        "≥ 0.97 × llama.cpp": "ok",
        "≥ 1.7 × gpt4all 2.8.2": "ok",
        "≥ 1.3 × llama-cpp-python": "not measured",
        "≤ 60 ms": "ok",
    }


def test_every_target_names_a_quantity() -> None:
    assert {target.key for target in TARGETS} <= QUANTITIES.keys()


def test_figures_table(results: Results) -> None:
    lines = figures_table(results).splitlines()
    assert len({len(line) for line in lines}) == 1, "columns are aligned"
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == [
        "generation, greedy, tokens/s",
        "98.0",
        "100 (ours 0.98 ×)",
        "50.0 (ours 1.96 ×)",
        "4 %",
    ]
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == [
        "import, above bare Python, ms",
        "44.0",
        "",
        "",
        "",
    ]


def test_targets_table(results: Results) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in targets_table(judge(results)).splitlines()[2:]
    ]
    assert ["generation, greedy", "≥ 0.97 × llama.cpp", "0.980 ×", "ok"] in rows
    assert ["generation, greedy", "≥ 1.3 × llama-cpp-python", "", "not measured"] in rows
    assert ["import, above bare Python", "≤ 60 ms", "44.0 ms", "ok"] in rows


def test_a_native_build_is_a_target_only_beside_a_wheel(results: Results) -> None:
    assert not any(verdict.target.peer == NATIVE for verdict in judge(results))
    results.add(NATIVE, {"generation.greedy": [100.0]})
    (verdict,) = (verdict for verdict in judge(results) if verdict.target.peer == NATIVE)
    assert verdict.measured == pytest.approx(0.98)
    assert verdict.word == "ok"


class NoPeers:
    """Peers of which nothing is built or fetched."""

    model = Path("model.gguf")


class Asked(Bench):
    """A run that writes no prompts."""

    def prompts(self, lengths: Sequence[int], **more: Any) -> list[str]:
        return ["text"] * len(lengths)


@pytest.mark.parametrize("row", ["generation", "prompt", "import", "load", "embed", "many", "mixed"])
@pytest.mark.parametrize("native", [None, Subject(Path("native"), "")])
def test_a_row_asks_for_no_peer_before_its_turn(
    row: str, native: Subject | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in rows, together:
        monkeypatch.setattr(module, "test_model", lambda name: Path(name))
    monkeypatch.setattr(NoPeers, "model", tmp_path / "model.gguf")
    NoPeers.model.touch()
    bench = Asked(Subject(Path("ours"), ""), cast(Peers, NoPeers()), 2, native)
    subjects = {step.subject for step in rows.ROWS[row](bench)}
    assert OURS in subjects
    assert (NATIVE in subjects) == (native is not None and row in ("generation", "prompt", "embed"))


def test_json_keeps_the_samples(results: Results) -> None:
    report = json.loads(json.dumps(as_json(results, {"machine": "here"})))
    assert report["machine"] == "here"
    assert report["quantities"]["import"]["subjects"][OURS] == {"value": 44.0, "samples": [40.0, 80.0, 44.0]}
    assert report["quantities"]["generation.greedy"]["others_cpu_share"] == [0.02, 0.04, 0.5]
    assert {"quantity": "import", "target": "≤ 60 ms", "measured": 44.0, "verdict": "ok"} in report["targets"]


def test_samples_are_read_again(results: Results) -> None:
    again = Results()
    again.add(OURS, {"import": [1.0]})
    again.update(from_json(json.loads(json.dumps(as_json(results, {})))))
    assert again.samples == {**results.samples, "import": {OURS: [1.0]}}
    assert again.noise["generation.greedy"] == [0.02, 0.04, 0.5]


def test_a_page_has_what_was_measured_in_sections(results: Results) -> None:
    results.add(OURS, {"many.smollm2.1": [200.0]})
    facts = {"machine": "here", "threads": 2, "subject": "a wheel", "when": "2026-11-27T12:00:00+0000"}
    text = page(results, facts, {"assets/many.png": ["many.smollm2.1"]})
    first, one, together, targets = text.split("\n## ")
    assert "here; 2 threads; ours: a wheel; 2026-11-27." in first
    assert one.startswith("One caller\n\n| ")
    assert "gpt4all 2.8.2" in one
    assert "| SmolLM2, generation, 1 together, tokens/s | 200  |" in together
    assert "gpt4all 2.8.2" not in together
    assert together.endswith("![SmolLM2, generation, 1 together and more](assets/many.png)\n")
    assert targets.startswith("Targets\n\n| ")


def test_samples_that_part_too_far_are_named(results: Results) -> None:
    assert results.spread("generation.greedy", OURS) is None
    results.add(OURS, {"generation.greedy": [90.0, 98.0]})
    results.add(LLAMA_BENCH, {"generation.greedy": [100.0, 150.0, 60.0]})
    assert results.spread("generation.greedy", OURS) == pytest.approx(8 / 94)
    assert too_wide(results, 0.25) == ["generation, greedy, llama.cpp: 55%"]
    assert too_wide(results, 0.6) == []


def test_pictures_are_drawn_of_what_was_measured(results: Results, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results.add(OURS, {"scale.prompt.16": [700.0, 710.0], "scale.prompt.1024": [800.0]})
    results.add(LLAMA_BENCH, {"scale.prompt.16": [690.0]})
    results.add(OURS, {"many.smollm2.1": [200.0], "many.smollm2.4": [400.0, 500.0]})
    written = write_plots(results, tmp_path / "new")
    assert [path.name for path in written] == ["prompt.png", "many-smollm2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, "0"), (0.456, "0.46"), (12.34, "12.3"), (1234.5, "1234"), (-0.25, "-0.25")]
)
def test_number(value: float, expected: str) -> None:
    assert number(value) == expected


def test_llama_bench_command() -> None:
    command = llama_bench.arguments(
        Path("bench"), Path("m.gguf"), threads=3, n_prompt=0, n_gen=128, n_batch=64, repetitions=2
    )
    assert command[0] == "bench"
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--threads"] == "3"
    assert (options["--n-prompt"], options["--n-gen"]) == ("0", "128")
    assert options["--ubatch-size"] == "64"
    assert options["--output"] == "json"


def test_llama_bench_output() -> None:
    tests = [
        {"n_prompt": 512, "n_gen": 0, "samples_ts": [500.5, 501]},
        {"n_prompt": 0, "n_gen": 128, "samples_ts": [100, 101.5]},
    ]
    assert llama_bench.tokens_per_second(json.dumps(tests), n_prompt=0, n_gen=128) == [100.0, 101.5]


@pytest.mark.parametrize("output", ["", "error: no model", "{}", "[]", '[{"n_prompt": 512, "n_gen": 0}]'])
def test_llama_bench_output_without_the_test(output: str) -> None:
    with pytest.raises(ValueError, match="llama-bench"):
        llama_bench.tokens_per_second(output, n_prompt=0, n_gen=128)


def test_llama_batched_bench_output() -> None:
    tests = [{"pp": 16, "tg": 128, "pl": 4, "speed_tg": rate} for rate in (200.5, 201)]
    output = "\n".join(["", *map(json.dumps, tests), "llama_perf_context_print: 1 ms"])
    assert llama_bench.batched_tokens_per_second(output, n_prompt=16, n_gen=128, count=4) == [200.5, 201.0]
    with pytest.raises(ValueError, match="no 8 sequences"):
        llama_bench.batched_tokens_per_second(output, n_prompt=16, n_gen=128, count=8)


def test_the_mixed_load_is_the_same_every_time() -> None:
    plan = mixed_plan()
    assert plan == mixed_plan()
    assert len(plan) == N_REQUESTS
    assert plan[0]["at"] == 0
    assert sorted(request["at"] for request in plan) == [request["at"] for request in plan]
    assert all(16 <= request["n_prompt"] <= 1024 and 16 <= request["n_new"] <= 256 for request in plan)


def test_a_mixed_load_is_asked_for_and_timed() -> None:
    requests = [{"at": 0.0, "prompt": f"prompt {number}", "n_new": number} for number in range(1, 4)]
    asked = []

    def ask(prompt: str, n_new: int, on_first: Callable[[], None]) -> int:
        asked.append(prompt)
        on_first()
        return n_new

    values = mixed_load("mixed.smollm2", requests, ask)
    assert values.keys() == {"mixed.smollm2.total", "mixed.smollm2.first", "mixed.smollm2.first.p95"}
    assert values.keys() <= QUANTITIES.keys()
    assert sorted(asked[1:]) == ["prompt 1", "prompt 2", "prompt 3"]
    with pytest.raises(ValueError, match="got 0 tokens, not 1"):
        mixed_load("mixed.smollm2", requests[:1], lambda prompt, n_new, on_first: 0)


def test_percentile() -> None:
    assert percentile(list(range(1, 101)), 0.95) == 95
    assert percentile([7.0], 0.95) == 7.0


def test_what_spins_on_purpose_is_no_noise() -> None:
    spinners = Spinners()
    spinners.seconds = 5.0 * (os.cpu_count() or 1)
    assert spinners.left_out(Child("", 10.0, 0.6)).others_share == pytest.approx(0.1)
    assert spinners.left_out(Child("", 10.0, None)).others_share is None
