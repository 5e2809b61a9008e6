"""From a request and scripted probes to the devices that are tried, and the reasons against the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpt4all import BackendLoadError, DeviceError
from gpt4all.devices.gpu import Gpu, Probe
from gpt4all.devices.request import Platform, parse_device
from gpt4all.devices.selection import Candidate, best_first, select

LINUX = Platform("linux")
GIB = 1 << 30


def gpu(
    backend: str, name: str, index: int | None, vendor: str, kind: str, free: int, unusable: str | None = None
) -> Gpu:
    return Gpu(
        backend,
        name,
        index,
        engine_index=-1 if index is None else index,
        vendor=vendor,
        type=kind,
        memory_total=24 * GIB,
        memory_free=free * GIB,
        driver=f"driver of {vendor}",
        unusable=unusable,
    )


IRIS = gpu("kompute", "Intel Iris Xe", 0, "intel", "integrated", 20)
RADEON = gpu("kompute", "AMD Radeon RX 6800", 1, "amd", "discrete", 15)
RTX = gpu("kompute", "NVIDIA RTX 4090", 2, "nvidia", "discrete", 10)
RTX_2 = gpu("kompute", "NVIDIA RTX 4090 (2)", 3, "nvidia", "discrete", 22)
LLVMPIPE = gpu("kompute", "llvmpipe", None, "mesa", "software", 8, unusable="it is a program")
CUDA_RTX = gpu("cuda", "NVIDIA RTX 4090", 0, "nvidia", "discrete", 10)
CUDA_RTX_2 = gpu("cuda", "NVIDIA RTX 4090 (2)", 1, "nvidia", "discrete", 22)

EVERYTHING = {
    "kompute": Probe("kompute", (IRIS, RADEON, RTX, RTX_2, LLVMPIPE)),
    "cuda": Probe("cuda", (CUDA_RTX, CUDA_RTX_2)),
}
NO_CUDA = {
    "kompute": EVERYTHING["kompute"],
    "cuda": Probe("cuda", load_error="the 'cuda' backend could not be loaded; tried ..."),
}
NO_GPU = {
    "kompute": Probe("kompute", (LLVMPIPE,)),
    "cuda": Probe("cuda", problem="NVIDIA's driver cannot be opened"),
}


def candidates(device: str | None, probes: dict[str, Probe], place: Platform = LINUX) -> list[Candidate]:
    return list(select(parse_device(device, place), probes.__getitem__))


#: device -> the devices that are tried, best first, with everything there.
ROWS: list[tuple[str | None, list[tuple[str, list[Gpu]]]]] = [
    (None, [("cpu", [])]),
    ("cpu", [("cpu", [])]),
    ("gpu", [("kompute", [RTX_2, RADEON, RTX, IRIS])]),
    ("kompute", [("kompute", [RTX_2, RADEON, RTX, IRIS])]),
    ("vulkan", [("kompute", [RTX_2, RADEON, RTX, IRIS])]),
    ("cuda", [("cuda", [CUDA_RTX_2, CUDA_RTX])]),
    ("amd", [("kompute", [RADEON])]),
    ("nvidia", [("kompute", [RTX_2, RTX])]),
    ("intel", [("kompute", [IRIS])]),
    ("cuda:NVIDIA RTX 4090", [("cuda", [CUDA_RTX])]),
    ("cuda:NVIDIA RTX 4090 (2)", [("cuda", [CUDA_RTX_2])]),
    ("cuda:0", [("cuda", [CUDA_RTX])]),
    ("cuda:1", [("cuda", [CUDA_RTX_2])]),
    ("kompute:AMD Radeon RX 6800", [("kompute", [RADEON])]),
    ("kompute:0", [("kompute", [IRIS])]),
    ("NVIDIA RTX 4090", [("kompute", [RTX])]),
    ("NVIDIA RTX 4090 (2)", [("kompute", [RTX_2])]),
    ("auto", [("cuda", [CUDA_RTX_2, CUDA_RTX]), ("kompute", [RTX_2, RADEON, RTX, IRIS]), ("cpu", [])]),
]


@pytest.mark.parametrize(("device", "expected"), [pytest.param(*row, id=str(row[0])) for row in ROWS])
def test_every_row_with_everything_there(device: str | None, expected: list[tuple[str, list[Gpu]]]) -> None:
    found = candidates(device, EVERYTHING)
    assert [(candidate.backend, list(candidate.gpus)) for candidate in found] == expected
    assert all(candidate.error is None for candidate in found)


@pytest.mark.parametrize("device", [row[0] for row in ROWS])
def test_every_row_with_nothing_there(device: str | None) -> None:
    for candidate in candidates(device, NO_GPU):
        assert candidate.gpus == ()
        if candidate.backend == "cpu":
            assert candidate.error is None
            continue
        # A software device is named, with the reason, and not taken.
        assert isinstance(candidate.error, DeviceError)
        expected = "kompute:llvmpipe" if candidate.backend == "kompute" else "NVIDIA's driver cannot be opened"
        assert expected in str(candidate.error)
        assert repr(device) in str(candidate.error)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:NVIDIA RTX 4090"])
def test_a_backend_that_is_not_there(device: str) -> None:
    (candidate,) = candidates(device, NO_CUDA)
    assert isinstance(candidate.error, BackendLoadError)
    assert "could not be loaded" in str(candidate.error)


def test_a_word_that_means_nothing_is_a_value_error_without_the_backend_too() -> None:
    (candidate,) = candidates("tpu", {"kompute": Probe("kompute", load_error="the library is missing")})
    assert isinstance(candidate.error, DeviceError)
    assert "'tpu'" in str(candidate.error)
    assert "the library is missing" in str(candidate.error)


def test_auto_goes_on_without_a_backend() -> None:
    first, second, last = candidates("auto", NO_CUDA)
    assert isinstance(first.error, BackendLoadError)
    assert (second.backend, second.gpus[0], second.error) == ("kompute", RTX_2, None)
    assert last == Candidate("cpu")


@pytest.mark.parametrize("device", ["auto", None, "gpu"])
def test_metal_is_not_asked_about(device: str | None) -> None:
    found = candidates(device, {}, Platform("darwin", apple_silicon=True))
    assert found[0] == Candidate("metal")
    assert found[1:] == ([] if device == "gpu" else [Candidate("cpu")])


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_cpu_asks_nothing(device: str | None) -> None:
    assert candidates(device, {}) == [Candidate("cpu")]


def test_a_later_backend_is_asked_only_when_its_turn_comes() -> None:
    asked: list[str] = []

    def probe(backend: str) -> Probe:
        asked.append(backend)
        return EVERYTHING[backend]

    found = select(parse_device("auto", LINUX), probe)
    assert next(found).backend == "cuda"
    assert asked == ["cuda"]


MISSES: list[tuple[str, str]] = [
    ("NVIDIA RTX 3090", "none of this name"),
    ("nvidia rtx 4090", "none of this name"),
    ("kompute:4", "has 4, counted from 0"),
    ("kompute:llvmpipe", "none of this name"),
    ("0", "none of this name"),
]


@pytest.mark.parametrize(("device", "reason"), MISSES)
def test_a_miss_names_the_request_and_every_device(device: str, reason: str) -> None:
    (candidate,) = candidates(device, EVERYTHING)
    assert isinstance(candidate.error, DeviceError)
    message = str(candidate.error)
    assert repr(device) in message
    assert reason in message
    for known in EVERYTHING["kompute"].gpus:
        assert known.full_name in message
    assert "it is a program" in message


def test_a_vendor_without_a_gpu() -> None:
    (candidate,) = candidates("amd", {"kompute": Probe("kompute", (RTX, IRIS))})
    assert "none of this vendor" in str(candidate.error)
    assert "kompute:NVIDIA RTX 4090 (discrete, nvidia, " in str(candidate.error)


def test_a_name_wins_over_an_index() -> None:
    odd = gpu("cuda", "1", 0, "nvidia", "discrete", 1)
    (candidate,) = candidates("cuda:1", {"cuda": Probe("cuda", (odd, CUDA_RTX_2))})
    assert candidate.gpus == (odd,)


def rank(*types_and_free: tuple[str, int]) -> list[str]:
    gpus = [gpu("kompute", str(i), i, "", kind, free) for i, (kind, free) in enumerate(types_and_free)]
    return [found.name for found in best_first(gpus)]


ORDERS: list[tuple[list[tuple[str, int]], list[str]]] = [
    ([("integrated", 64), ("discrete", 1)], ["1", "0"]),
    ([("discrete", 1), ("discrete", 2), ("discrete", 3)], ["2", "1", "0"]),
    ([("software", 99), ("other", 9), ("virtual", 9), ("integrated", 0), ("discrete", 0)], ["4", "3", "2", "1", "0"]),
    ([("discrete", 5), ("discrete", 5)], ["0", "1"]),
]


@pytest.mark.parametrize(("types_and_free", "expected"), ORDERS)
def test_order(types_and_free: list[tuple[str, int]], expected: list[str]) -> None:
    assert rank(*types_and_free) == expected


def test_what_is_known_of_a_driver_that_failed_is_told() -> None:
    failed: Callable[[str], Probe] = {
        "kompute": Probe("kompute", problem="the process was ended by SIGSEGV")
    }.__getitem__
    (candidate,) = select(parse_device("gpu", LINUX), failed)
    assert isinstance(candidate.error, DeviceError)
    assert "SIGSEGV" in str(candidate.error)
