"""Facts for bug reports: always there, always JSON, whatever is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import gpt4all
from gpt4all import diagnostics
from gpt4all.devices import probe, probe_process

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "gpt4all",
    "python",
    "platform",
    "cpu",
    "threads",
    "memory",
    "backends",
    "gpus",
    "cuda",
    "models",
    "environment",
)
GIB = 1 << 30

CPU = {
    "index": 0,
    "type": "cpu",
    "name": "CPU",
    "description": "A processor",
    "memory_total": 8 * GIB,
    "memory_free": 6 * GIB,
    "id": "",
}
GPU = {**CPU, "index": 1, "type": "gpu", "name": "Vulkan0", "description": "RTX 4090", "id": "0000:01:00.0"}


def report(backend: str, *devices: dict[str, Any], error: str | None = None) -> dict[str, Any]:
    return {
        "path": f"/lib/{backend}",
        "build": f"{backend} llama.cpp",
        "cpu": "haswell: SSE3 AVX2",
        "devices": list(devices),
        "driver": {"devices": [], "error": error},
    }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the child processes tell, by backend: a report, or the exception that asking raises."""
    answers: dict[str, Any] = {}

    @contextmanager
    def ask(backend: str) -> Iterator[Callable[[], Any]]:
        answer = answers[backend]
        if isinstance(answer, probe_process.CannotAskError):
            raise answer

        def wait() -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        yield wait

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(probe_process, "ask", ask)
    monkeypatch.setattr(probe, "_missing_library", lambda backend: None if backend in answers else f"no {backend}")
    return answers


def test_what_the_backends_tell(told: dict[str, Any]) -> None:
    told["cpu"] = report("cpu", CPU)
    told["kompute"] = report("kompute", GPU, CPU, error="a driver failed")
    facts = gpt4all.system_info()
    assert set(facts) == set(PARTS)
    assert facts["cpu"]["name"] == "A processor"
    assert (facts["cpu"]["variant"], facts["cpu"]["instruction_sets"]) == ("haswell", ["SSE3", "AVX2"])
    assert facts["memory"]["total"] == 8 * GIB
    assert facts["backends"]["cpu"] == {"usable": True, "path": "/lib/cpu", "build": "cpu llama.cpp", "problem": None}
    assert facts["backends"]["kompute"]["problem"] == "a driver failed"
    assert facts["backends"]["cuda"] == {"usable": False, "path": None, "error": "no cuda"}
    (gpu,) = facts["gpus"]
    assert (gpu["name"], gpu["memory_total"], gpu["unusable"]) == ("kompute:RTX 4090", 8 * GIB, None)


@pytest.mark.parametrize(
    "failure",
    [
        probe_process.DriverFailureError("it crashed"),
        OSError("no more processes"),
    ],
)
def test_a_child_that_fails(told: dict[str, Any], failure: Exception) -> None:
    told["cpu"] = failure
    facts = gpt4all.system_info()
    assert facts["backends"]["cpu"]["usable"] is False
    assert str(failure) in facts["backends"]["cpu"]["error"]
    assert (facts["cpu"]["variant"], facts["gpus"]) == ("", [])


def test_a_program_that_can_start_no_child(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's backend has no drivers, so it may be asked in this process."""
    told["cpu"] = told["kompute"] = probe_process.CannotAskError("no interpreter")
    monkeypatch.setattr("gpt4all._native.drivers.report.report", lambda backend: report(backend, CPU))
    facts = gpt4all.system_info()
    assert facts["backends"]["cpu"]["usable"] is True
    assert facts["cpu"]["variant"] == "haswell"
    kompute = facts["backends"]["kompute"]
    assert (kompute["usable"], kompute["error"]) == (False, "no interpreter")


def test_a_report_of_another_release(told: dict[str, Any]) -> None:
    told["cpu"] = {"devices": [CPU], "driver": {}}
    told["kompute"] = {}
    facts = gpt4all.system_info()
    assert "KeyError" in facts["backends"]["cpu"]["error"]
    assert "KeyError" in facts["backends"]["kompute"]["error"]


BREAKABLE = {
    "gpt4all._native.installation.installed_as": "gpt4all",
    "platform.python_version": "python",
    "platform.release": "platform",
    "gpt4all.machine.cpu_threads.cpu_features": "cpu",
    "gpt4all.machine.cpu_threads.usable_cpus": "threads",
    "gpt4all.machine.main_memory.rooms": "memory",
    "gpt4all._native.cuda_runtime.installed": "cuda",
    "shutil.disk_usage": "models",
}


@pytest.mark.parametrize(("function", "part"), BREAKABLE.items())
def test_a_broken_part_costs_no_other(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch, function: str, part: str
) -> None:
    def fail(*arguments: object) -> None:
        raise PermissionError("not for you")

    monkeypatch.setattr(function, fail)
    facts: dict[str, Any] = dict(gpt4all.system_info())
    assert facts.pop(part) == {"error": "PermissionError: not for you"}
    assert [name for name, value in facts.items() if isinstance(value, dict) and "error" in value] == []


def test_names_that_are_no_unicode(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT4ALL_BACKEND_PATH", "/a\udcff")
    facts = gpt4all.system_info()
    assert facts["environment"]["GPT4ALL_BACKEND_PATH"] == "/a?"
    json.dumps(facts, ensure_ascii=False).encode("utf-8")


def test_no_secret_is_told(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HTTPS_PROXY", "GPT4ALL_CATALOG_URL", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "hunter2")
    assert "hunter2" not in json.dumps(gpt4all.system_info())


def test_the_model_folder(told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt4all import gpt4all as classes

    folder = tmp_path / "not yet" / "there"
    monkeypatch.setattr(classes, "DEFAULT_MODEL_DIRECTORY", folder)
    before = gpt4all.system_info()["models"]
    assert (before["path"], before["exists"], before["writable"], before["models"]) == (str(folder), False, True, 0)
    assert before["free_bytes"] > 0
    folder.mkdir(parents=True)
    (folder / "a.gguf").touch()
    after = gpt4all.system_info()["models"]
    assert (after["exists"], after["models"]) == (True, 1)


def test_the_real_thing_loads_no_library_here() -> None:
    """In a process of its own: the real children, and what is in memory afterwards."""
    code = (
        "import json, sys, gpt4all; facts = gpt4all.system_info(); "
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''; "
        "print(json.dumps([facts, 'libgpt4all-' in maps]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    facts, loaded = json.loads(done.stdout)
    assert not loaded
    assert tuple(facts) == PARTS
    assert facts["gpt4all"]["version"] == gpt4all.__version__
    assert 1 <= facts["threads"]["default"] <= facts["threads"]["usable"] <= (os.cpu_count() or 1)
    assert facts["cpu"]["name"]
    cpu = facts["backends"]["cpu"]
    if cpu["usable"]:
        assert facts["cpu"]["variant"]
        assert facts["cpu"]["instruction_sets"]
        assert facts["memory"]["total"] >= facts["memory"]["available"] // 2 > 0
    else:
        assert "could not be loaded" in cpu["error"]


def test_every_part_is_typed() -> None:
    assert tuple(diagnostics.SystemInfo.__annotations__) == PARTS
