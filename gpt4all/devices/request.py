"""What a ``device`` string asks for. Pure: looks at no hardware."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from gpt4all.errors import DeviceError

#: Words that ask for the best GPU of a vendor.
VENDORS = ("amd", "nvidia", "intel")

# "vulkan" is what others call the kompute backend.
_PREFIXES = {"cuda": "cuda", "kompute": "kompute", "vulkan": "kompute"}
_WORDS = ("cpu", "gpu", "auto", *_PREFIXES, *VENDORS)
_ROSETTA = (
    "this Python was built for Intel processors and runs under Rosetta, which cannot reach Metal; "
    "install gpt4all for a Python built for Apple silicon (arm64)"
)


@dataclass(frozen=True)
class Platform:
    """What decides which backends there can be.

    Attributes:
        system: as ``sys.platform`` has it.
        apple_silicon: whether this process runs natively on Apple's own processors.
        rosetta: whether they run it as a program for Intel.
    """

    system: str
    apple_silicon: bool = False
    rosetta: bool = False

    @classmethod
    def current(cls) -> Platform:
        if sys.platform != "darwin":
            return cls(sys.platform)
        system = os.uname()
        native = system.machine == "arm64"
        # To a translated process the machine is an x86_64, but the kernel's
        # version still says what it was built for.
        return cls("darwin", apple_silicon=native, rosetta=not native and "ARM64" in system.version)


@dataclass(frozen=True)
class DeviceRequest:
    """Backends in the order to try them, and which of their devices will do.

    Attributes:
        device: what the caller wrote.
        backends: more than one where falling back is allowed.
        vendor: one of ``VENDORS``, ``None`` for any.
        name: the one device that will do, ``None`` for any.
        index: the same by number, where no device is called ``name``.
        notice: why a backend that one would expect is not among them.
    """

    device: str | None
    backends: tuple[str, ...]
    vendor: str | None = None
    name: str | None = None
    index: int | None = None
    notice: str | None = None

    @property
    def is_bare_name(self) -> bool:
        """Whether nothing but a device's name was asked for."""
        return self.name is not None and self.name == self.device

    @property
    def may_fall_back(self) -> bool:
        return len(self.backends) > 1


def parse_device(device: str | None, platform: Platform | None = None) -> DeviceRequest:
    """Reads the ``device`` argument of ``gpt4all.GPT4All``.

    Raises:
        TypeError: it is neither a string nor ``None``.
        DeviceError: it asks for what this platform cannot have.
    """
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device must be a str or None, not {type(device).__name__}")
    platform = platform or Platform.current()
    if device == "cpu":
        return DeviceRequest(device, ("cpu",))
    if platform.system == "darwin":
        return _on_macos(device, platform)
    if device is None:
        return DeviceRequest(device, ("cpu",))
    if device == "auto":
        return DeviceRequest(device, ("cuda", "kompute", "cpu"))
    if device == "gpu":
        return DeviceRequest(device, ("kompute",))
    if device in VENDORS:
        return DeviceRequest(device, ("kompute",), vendor=device)
    prefix, colon, rest = device.partition(":")
    if prefix in _PREFIXES:
        return _of_backend(device, _PREFIXES[prefix], rest if colon else None)
    if not device.strip() or device.lower() in _WORDS:
        words = ", ".join(map(repr, _WORDS))
        raise DeviceError(f"device must be None, one of {words} or a name from list_gpus(), not {device!r}")
    return DeviceRequest(device, ("kompute",), name=device)


def _of_backend(device: str, backend: str, name: str | None) -> DeviceRequest:
    if name is None:
        return DeviceRequest(device, (backend,))
    if not name.strip():
        raise DeviceError(
            f"device {device!r} names no device after the colon; give a name from list_gpus() or an index"
        )
    # Longer numbers are no index, and may be more than int() takes.
    index = int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else None
    return DeviceRequest(device, (backend,), name=name, index=index)


def _on_macos(device: str | None, platform: Platform) -> DeviceRequest:
    falls_back = device is None or device == "auto"
    if platform.apple_silicon:
        if falls_back:
            return DeviceRequest(device, ("metal", "cpu"))
        if device == "gpu":
            return DeviceRequest(device, ("metal",))
        raise DeviceError(
            f"device {device!r} is not available on Apple silicon: Metal is its only GPU backend; "
            "use 'gpu' for it, or None to fall back to the CPU where it cannot be used"
        )
    notice = _ROSETTA if platform.rosetta else None
    if falls_back:
        return DeviceRequest(device, ("cpu",), notice=notice)
    raise DeviceError(
        f"device {device!r} is not available: {notice or 'on an Intel Mac this package runs on the CPU only'}; "
        "'cpu' works here"
    )
