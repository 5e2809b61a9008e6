"""The program of the child process that asks a backend and its drivers about GPUs.

It writes one JSON object: the engine's devices under ``devices``, and under
``driver`` what the driver tells and the engine does not, and the library's
``path``, ``build`` and ``cpu``; or ``load_error``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

from gpt4all._native.backend import load_backend
from gpt4all._native.drivers import cuda, vulkan
from gpt4all._native.drivers.base import DriverError, DriverGpu
from gpt4all.errors import BackendLoadError

_DRIVERS: dict[str, Callable[[], list[DriverGpu]]] = {"kompute": vulkan.gpus, "cuda": cuda.gpus}


def report(backend: str) -> dict[str, Any]:
    """All that can be told about the devices of ``backend``."""
    try:
        library = load_backend(backend)
        devices = library.devices()
    except BackendLoadError as error:
        return {"load_error": str(error)}
    found: list[DriverGpu] = []
    problem = None
    try:
        ask = _DRIVERS.get(backend)
        found = ask() if ask is not None else []
    except DriverError as error:
        problem = str(error)
    return {
        "path": str(library.path),
        "build": library.build_info,
        "cpu": library.cpu_info,
        "devices": [dataclasses.asdict(device) for device in devices],
        "driver": {"devices": [dataclasses.asdict(gpu) for gpu in found], "error": problem},
    }


def main(backend: str) -> None:
    # Drivers write to standard output; the report must stand there alone.
    answer = os.dup(1)
    os.dup2(2, 1)
    text = json.dumps(report(backend))
    with os.fdopen(answer, "w", encoding="ascii") as out:
        out.write(text)
    # Nothing is left to do, and a driver's own end may crash or hang.
    os._exit(0)
