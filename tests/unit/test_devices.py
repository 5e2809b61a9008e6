"""The table of the ``device`` argument, row by row and platform by platform: which backends, which of their devices."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from gpt4all import DeviceError
from gpt4all.devices.request import DeviceRequest, Platform, parse_device

LINUX = Platform("linux")
WINDOWS = Platform("win32")
APPLE_SILICON = Platform("darwin", apple_silicon=True)
INTEL_MAC = Platform("darwin")
ROSETTA = Platform("darwin", rosetta=True)

CPU = ("cpu",)
KOMPUTE = ("kompute",)
METAL_OR_CPU = ("metal", "cpu")
ERROR = None

# device -> backends on Linux and Windows, on Apple silicon, on an Intel Mac; what else the request holds.
TABLE: list[tuple[str | None, tuple[str, ...], tuple[str, ...] | None, tuple[str, ...] | None, dict[str, Any]]] = [
    (None, CPU, METAL_OR_CPU, CPU, {}),
    ("cpu", CPU, CPU, CPU, {}),
    ("gpu", KOMPUTE, ("metal",), ERROR, {}),
    ("kompute", KOMPUTE, ERROR, ERROR, {}),
    ("vulkan", KOMPUTE, ERROR, ERROR, {}),
    ("cuda", ("cuda",), ERROR, ERROR, {}),
    ("amd", KOMPUTE, ERROR, ERROR, {"vendor": "amd"}),
    ("nvidia", KOMPUTE, ERROR, ERROR, {"vendor": "nvidia"}),
    ("intel", KOMPUTE, ERROR, ERROR, {"vendor": "intel"}),
    ("cuda:NVIDIA RTX 4090", ("cuda",), ERROR, ERROR, {"name": "NVIDIA RTX 4090"}),
    ("cuda:1", ("cuda",), ERROR, ERROR, {"name": "1", "index": 1}),
    ("kompute:AMD Radeon RX 6800 (2)", KOMPUTE, ERROR, ERROR, {"name": "AMD Radeon RX 6800 (2)"}),
    ("kompute:0", KOMPUTE, ERROR, ERROR, {"name": "0", "index": 0}),
    ("vulkan:0", KOMPUTE, ERROR, ERROR, {"name": "0", "index": 0}),
    ("NVIDIA RTX 4090", KOMPUTE, ERROR, ERROR, {"name": "NVIDIA RTX 4090"}),
    ("auto", ("cuda", "kompute", "cpu"), METAL_OR_CPU, CPU, {}),
]
ROWS = [pytest.param(*row, id=str(row[0])) for row in TABLE]


@pytest.mark.parametrize(("device", "elsewhere", "apple_silicon", "intel_mac", "rest"), ROWS)
@pytest.mark.parametrize("place", ["linux", "windows", "apple_silicon", "intel_mac", "rosetta"])
def test_every_row_on_every_platform(
    place: str,
    device: str | None,
    elsewhere: tuple[str, ...],
    apple_silicon: tuple[str, ...] | None,
    intel_mac: tuple[str, ...] | None,
    rest: dict[str, Any],
) -> None:
    here, expected = {
        "linux": (LINUX, elsewhere),
        "windows": (WINDOWS, elsewhere),
        "apple_silicon": (APPLE_SILICON, apple_silicon),
        "intel_mac": (INTEL_MAC, intel_mac),
        # To the package it is an Intel Mac; only what it says differs.
        "rosetta": (ROSETTA, intel_mac),
    }[place]
    if expected is ERROR:
        with pytest.raises(DeviceError) as caught:
            parse_device(device, here)
        assert isinstance(caught.value, ValueError)
        assert repr(device) in str(caught.value)
        return
    request = parse_device(device, here)
    assert request.backends == expected
    assert request.device == device
    assert {"vendor": request.vendor, "name": request.name, "index": request.index} == {
        "vendor": None,
        "name": None,
        "index": None,
        **rest,
    }


def test_only_auto_and_none_on_apple_silicon_fall_back() -> None:
    falling_back = {
        (device, place.system, place.apple_silicon)
        for device, *_ in TABLE
        for place in (LINUX, WINDOWS, APPLE_SILICON, INTEL_MAC)
        if (request := _parsed(device, place)) is not None and request.may_fall_back
    }
    assert falling_back == {
        ("auto", "linux", False),
        ("auto", "win32", False),
        ("auto", "darwin", True),
        (None, "darwin", True),
    }


def _parsed(device: str | None, place: Platform) -> DeviceRequest | None:
    try:
        return parse_device(device, place)
    except DeviceError:
        return None


@pytest.mark.parametrize("device", [None, "auto"])
def test_rosetta_says_why_it_is_the_cpu(device: str | None) -> None:
    notice = parse_device(device, ROSETTA).notice
    assert notice is not None
    assert "Rosetta" in notice
    assert "arm64" in notice
    assert parse_device(device, INTEL_MAC).notice is None
    assert parse_device("cpu", ROSETTA).notice is None


@pytest.mark.parametrize(
    ("place", "expected"), [(ROSETTA, "arm64"), (INTEL_MAC, "on an Intel Mac"), (APPLE_SILICON, "Metal")]
)
def test_what_a_mac_cannot_do_is_explained(place: Platform, expected: str) -> None:
    with pytest.raises(DeviceError, match=expected):
        parse_device("cuda", place)


@pytest.mark.parametrize("device", ["", " ", "cuda:", "kompute: "])
def test_no_name_is_an_error(device: str) -> None:
    with pytest.raises(DeviceError, match="device"):
        parse_device(device, LINUX)


@pytest.mark.parametrize("device", [0, 1.5, b"cpu", ["cpu"], True])
def test_other_types_are_type_errors(device: Any) -> None:
    with pytest.raises(TypeError, match="device must be a str or None"):
        parse_device(device, LINUX)


@pytest.mark.parametrize("name", ["²", "-1", "1.0", " 1", "9" * 5000])
def test_what_only_looks_like_an_index_is_a_name(name: str) -> None:
    request = parse_device(f"cuda:{name}", LINUX)
    assert (request.name, request.index) == (name, None)


@pytest.mark.parametrize("device", ["CPU", "Gpu", "CUDA", "Nvidia", "AUTO"])
def test_words_are_in_lower_case(device: str) -> None:
    with pytest.raises(DeviceError, match=f"'{device.lower()}'.* not '{device}'"):
        parse_device(device, LINUX)


@pytest.mark.parametrize("device", ["0", "metal", "opencl:0", "CUDA:0", "tpu"])
def test_everything_else_is_a_bare_name(device: str) -> None:
    assert parse_device(device, LINUX) == DeviceRequest(device, ("kompute",), name=device)


@pytest.mark.parametrize(
    ("system", "machine", "version", "expected"),
    [
        ("linux", "aarch64", "#1 SMP", Platform("linux")),
        ("win32", "AMD64", "10.0", Platform("win32")),
        ("darwin", "arm64", "Darwin Kernel Version 23.1.0: root:xnu/RELEASE_ARM64_T6000", APPLE_SILICON),
        ("darwin", "x86_64", "Darwin Kernel Version 23.1.0: root:xnu/RELEASE_ARM64_T6000", ROSETTA),
        ("darwin", "x86_64", "Darwin Kernel Version 22.6.0: root:xnu/RELEASE_X86_64", INTEL_MAC),
    ],
)
@pytest.mark.skipif(not hasattr(os, "uname"), reason="stands in for os.uname")
def test_the_platform_of_this_process(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, version: str, expected: Platform
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "", "", version, machine)))
    assert Platform.current() == expected
