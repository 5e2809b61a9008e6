"""``scripts/dev gpu`` on the kompute backend: what someone with a GPU runs must not fail for reasons of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gpucheck import cli, speed
from gpucheck.checks import CHECKS, CheckFailedError, Subject

from gpt4all._native.device_memory import Device
from gpt4all.devices import probe

pytestmark = [pytest.mark.gpu, pytest.mark.model]


@pytest.fixture(autouse=True)
def _asked_afresh(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_answers", {})


@pytest.fixture
def subject(model_file: Callable[[str], Path]) -> Subject:
    return Subject("kompute", "kompute", model_file("tiny-llama"), cycles=2)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Answers as llama-bench does, and notes what it was asked."""
    path = tmp_path / "llama-bench"
    rows = [{"n_gen": 0, "avg_ts": 1000.0}, {"n_gen": speed.N_GENERATE, "avg_ts": 100.0}]
    path.write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"pathlib.Path({str(tmp_path / 'asked')!r}).write_text(json.dumps(sys.argv[1:]))\n"
        f"print({json.dumps(rows)!r})\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_all_checks_hold(subject: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["--backend", "kompute", "--model", str(subject.model), "--cycles", "2", "--rounds", "0"])
    said = capsys.readouterr().out
    assert (code, said.count("\nok "), "FAIL" in said) == (0, len(CHECKS), False), said


@pytest.mark.slow
def test_speed_beside_llama_bench(subject: Subject, gpu: Device, bench: Path, tmp_path: Path) -> None:
    speeds = speed.measure(subject, bench, rounds=1)
    assert (speeds.bench_prompt, speeds.bench_generation) == (1000.0, 100.0)
    assert speeds.prompt > 0
    assert speeds.generation > 0
    assert [line.split(":")[0] for line in speeds.lines()] == ["prompt of 512 tokens", "generation of 128 tokens"]
    asked = json.loads((tmp_path / "asked").read_text())
    # The one device that ours is on.
    assert asked[asked.index("-dev") + 1] == gpu.name
    assert str(subject.model) in asked


def test_a_llama_bench_that_fails(subject: Subject, bench: Path) -> None:
    bench.write_text("#!/bin/sh\necho no such device >&2\nexit 3\n")
    with pytest.raises(CheckFailedError, match=r"(?s)ended with 3.*no such device"):
        speed.measure(subject, bench, rounds=1)


def test_a_check_that_does_not_hold_is_told(subject: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    def wrong_check(subject: Subject) -> str:
        raise CheckFailedError("first line\nsecond line")

    assert not cli._run(wrong_check, subject)
    assert capsys.readouterr().out.startswith("FAIL wrong check (")


def test_without_a_device_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], subject: Subject
) -> None:
    monkeypatch.delenv(probe.SOFTWARE_VARIABLE)
    if probe.probe("kompute").usable:
        pytest.skip("a real GPU is at hand")
    assert cli.main(["--backend", "kompute", "--model", str(subject.model)]) == 1
    assert "no device for device='kompute'" in capsys.readouterr().err
