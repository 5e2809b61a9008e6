"""What the engine lists and what the driver lists become one list of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from gpt4all.devices import probe
from gpt4all.devices.gpu import Gpu, Probe
from gpt4all.devices.probe import SOFTWARE_VARIABLE, combine

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _no_software(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOFTWARE_VARIABLE, raising=False)


def engine(index: int, name: str, kind: str = "gpu", id: str = "") -> dict[str, Any]:
    return {
        "index": index,
        "type": kind,
        "name": f"Vulkan{index}",
        "description": name,
        "memory_total": 8 * GIB,
        "memory_free": 7 * GIB,
        "id": id,
        "api": "Vulkan",
    }


def driver(name: str, kind: str, vendor_id: int, id: str = "", driver: str = "a driver") -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "vendor_id": vendor_id,
        "id": id,
        "memory_total": 4 * GIB,
        "memory_free": 3 * GIB,
        "driver": driver,
        "api_version": "Vulkan 1.3.255",
    }


CPU = engine(9, "A processor", "cpu")


def combined(
    engine_devices: list[dict[str, Any]], driver_devices: list[dict[str, Any]], error: str | None = None
) -> Probe:
    return combine("kompute", {"devices": engine_devices, "driver": {"devices": driver_devices, "error": error}})


def test_each_fact_comes_from_the_one_that_knows() -> None:
    answer = combined(
        [engine(1, "NVIDIA RTX 4090", id="0000:01:00.0"), CPU],
        [driver("NVIDIA RTX 4090", "discrete", 0x10DE, "0000:01:00.0", "NVIDIA 550.54.14")],
    )
    assert answer == Probe(
        "kompute",
        (
            Gpu(
                backend="kompute",
                name="NVIDIA RTX 4090",
                index=0,
                engine_index=1,
                vendor="nvidia",
                type="discrete",
                memory_total=8 * GIB,
                memory_free=7 * GIB,
                driver="NVIDIA 550.54.14",
                api_version="Vulkan 1.3.255",
                id="0000:01:00.0",
            ),
        ),
    )
    assert answer.gpus[0].full_name == "kompute:NVIDIA RTX 4090"


def test_the_place_on_the_bus_decides_between_equals() -> None:
    answer = combined(
        [engine(0, "RX 6800", id="0000:03:00.0"), engine(1, "RX 6800", id="0000:0a:00.0")],
        [
            driver("RX 6800", "discrete", 0x1002, "0000:0a:00.0", "second"),
            driver("RX 6800", "discrete", 0x1002, "0000:03:00.0", "first"),
        ],
    )
    assert [(gpu.name, gpu.driver, gpu.index) for gpu in answer.gpus] == [
        ("RX 6800", "first", 0),
        ("RX 6800 (2)", "second", 1),
    ]


def test_names_decide_where_there_is_no_bus() -> None:
    answer = combined(
        [engine(0, "Mali-G78"), engine(1, "Apple M1", "integrated")],
        [driver("Apple M1", "integrated", 0x106B), driver("Mali-G78", "integrated", 0x13B5)],
    )
    assert [(gpu.vendor, gpu.type) for gpu in answer.gpus] == [("arm", "integrated"), ("apple", "integrated")]


def test_another_place_on_the_bus_is_another_device() -> None:
    answer = combined([engine(0, "A", id="0000:01:00.0")], [driver("A", "discrete", 0x1002, "0000:02:00.0")])
    assert [(gpu.name, gpu.vendor) for gpu in answer.gpus] == [("A", ""), ("A (2)", "amd")]


def test_without_the_driver_the_engines_facts_remain() -> None:
    answer = combined([engine(0, "A"), engine(1, "B", "integrated"), engine(2, "C", "other")], [], "it refused")
    assert [(gpu.name, gpu.type, gpu.vendor, gpu.index) for gpu in answer.usable] == [
        ("A", "discrete", "", 0),
        ("B", "integrated", "", 1),
        ("C", "other", "", 2),
    ]
    assert answer.problem == "it refused"


def test_what_the_engine_leaves_out_is_listed_with_the_reason() -> None:
    answer = combined(
        [engine(0, "RX 6800", id="0000:03:00.0")],
        [
            driver("RX 6800", "discrete", 0x1002, "0000:03:00.0"),
            driver("GT 610", "discrete", 0x10DE, "0000:04:00.0"),
            driver("llvmpipe", "software", 0x10005),
        ],
    )
    assert [gpu.name for gpu in answer.usable] == ["RX 6800"]
    old, played = answer.gpus[1:]
    assert (old.index, old.vendor, old.memory_total) == (None, "nvidia", 4 * GIB)
    assert old.unusable is not None
    assert "the engine does not use it" in old.unusable
    assert played.unusable is not None
    assert f"{SOFTWARE_VARIABLE}=1" in played.unusable


@pytest.mark.parametrize(("value", "allowed"), [(None, False), ("", False), ("0", False), ("yes", False), ("1", True)])
@pytest.mark.parametrize("driver_tells", [True, False])
def test_a_software_device_has_to_be_allowed(
    monkeypatch: pytest.MonkeyPatch, value: str | None, allowed: bool, driver_tells: bool
) -> None:
    """Also one that the engine lists because a variable of its own names it."""
    if value is not None:
        monkeypatch.setenv(SOFTWARE_VARIABLE, value)
    facts = [driver("llvmpipe", "software", 0x10005), driver("RTX", "discrete", 0x10DE, "0000:01:00.0")]
    answer = combined(
        [engine(0, "llvmpipe", "software"), engine(1, "RTX", id="0000:01:00.0")], facts if driver_tells else []
    )
    assert len(answer.gpus) == 2
    assert [(gpu.name, gpu.index) for gpu in answer.usable] == (
        [("llvmpipe", 0), ("RTX", 1)] if allowed else [("RTX", 0)]
    )


def test_names_count_up_over_the_unusable_too() -> None:
    answer = combined([engine(0, "A")], [driver("A", "discrete", 0x1002), driver("A", "discrete", 0x1002)])
    assert [(gpu.name, gpu.unusable is None) for gpu in answer.gpus] == [("A", True), ("A (2)", False)]


def test_a_library_that_does_not_load() -> None:
    assert combine("cuda", {"load_error": "no libcudart"}) == Probe("cuda", load_error="no libcudart")


ANSWERS: list[tuple[dict[str, Any], bool]] = [
    ({"devices": [engine(0, "A")], "driver": {"devices": [], "error": None}}, True),
    ({"devices": [], "driver": {"devices": [], "error": "no driver"}}, False),
    ({"load_error": "no libvulkan"}, False),
]


@pytest.mark.parametrize(("report", "kept"), ANSWERS)
def test_what_is_found_is_kept_and_what_is_missing_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], kept: bool
) -> None:
    asked: list[str] = []

    def ask(backend: str) -> AbstractContextManager[Callable[[], dict[str, Any]]]:
        asked.append(backend)
        return nullcontext(lambda: report)

    monkeypatch.setattr(probe, "_answers", {})
    monkeypatch.setattr(probe, "_missing_library", lambda backend: None)
    monkeypatch.setattr("gpt4all.devices.probe_process.ask", ask)
    first, second = probe.probe("kompute"), probe.probe("kompute")
    assert first == second
    assert len(asked) == (1 if kept else 2)
