"""What a ``device`` string asks for. Pure: looks at no hardware."""

from __future__ import annotations

from dataclasses import dataclass

from gpt4all.errors import DeviceError


@dataclass(frozen=True)
class DeviceRequest:
    """A backend to load."""

    backend: str


def parse_device(device: str | None) -> DeviceRequest:
    """Reads the ``device`` argument of :class:`gpt4all.GPT4All`.

    Raises:
        TypeError: it is neither a string nor ``None``.
        DeviceError: it names nothing this release can run on.
    """
    if device is None:
        return DeviceRequest("cpu")
    if not isinstance(device, str):
        raise TypeError(f"device must be a str or None, not {type(device).__name__}")
    if device == "cpu":
        return DeviceRequest("cpu")
    raise DeviceError(f"device {device!r} is not available: this release runs on 'cpu' only")
