"""Which devices the kompute library lists: a software one only where that is allowed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpt4all._native.backend import Backend
from gpt4all._native.device_memory import Device
from tests.gpu.engine import ALLOW_SOFTWARE
from tests.support.fake.backend import ROOT

pytestmark = pytest.mark.gpu

VISIBLE = "GGML_VK_VISIBLE_DEVICES"
_LIST = """
import os
from gpt4all._native.backend import load_backend
from gpt4all.errors import BackendLoadError
before = dict(os.environ)
try:
    devices = load_backend("kompute").devices()
except BackendLoadError as error:
    print(error)
else:
    print(*(device.type for device in devices))
assert os.environ == before
"""


def listed(**variables: str) -> list[str]:
    """The types of the devices that a fresh process lists."""
    kept = {name: value for name, value in os.environ.items() if name not in (ALLOW_SOFTWARE, VISIBLE)}
    done = subprocess.run(
        [sys.executable, "-c", _LIST],
        env={**kept, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture
def software(gpu: Device) -> Device:
    if gpu.type != "software":
        pytest.skip("a real GPU is at hand, and this is about software devices")
    return gpu


def test_the_device_is_described(kompute: Backend, gpu: Device) -> None:
    assert gpu.api == "Vulkan"
    assert gpu.description
    assert gpu.memory_total >= gpu.memory_free > 0
    assert {device.type for device in kompute.devices()} >= {"cpu", gpu.type}


def test_a_software_device_wants_permission(software: Device) -> None:
    assert listed() == ["cpu"]
    assert listed(**{ALLOW_SOFTWARE: "0"}) == ["cpu"]
    assert listed(**{ALLOW_SOFTWARE: "1"}) == ["software", "cpu"]


def test_naming_a_software_device_is_no_permission(software: Device) -> None:
    assert listed(**{VISIBLE: "0"}) == ["cpu"]
    assert listed(**{VISIBLE: "0", ALLOW_SOFTWARE: "1"}) == ["software", "cpu"]


def test_no_device_may_be_named_either(software: Device) -> None:
    assert listed(**{VISIBLE: "", ALLOW_SOFTWARE: "1"}) == ["cpu"]


def test_a_device_that_does_not_exist_is_named(software: Device) -> None:
    said = " ".join(listed(**{VISIBLE: "7"}))
    assert "GGML_VK_VISIBLE_DEVICES names Vulkan device 7, but there are 1" in said
