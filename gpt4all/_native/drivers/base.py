"""What the drivers' own interfaces tell about GPUs, and how their libraries are found."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gpt4all._native import install_hints


@dataclass(frozen=True)
class DriverGpu:
    """A GPU as its driver describes it; "" and 0 where it does not say."""

    name: str
    type: str
    vendor_id: int
    id: str
    memory_total: int
    memory_free: int
    driver: str
    api_version: str


class DriverError(Exception):
    """A driver is missing, or refused to answer."""


def open_library(names: Sequence[str], what: str) -> ctypes.CDLL:
    """The first of ``names`` that the dynamic linker finds.

    Raises:
        DriverError: there is none.
    """
    reasons = []
    for name in names:
        try:
            if sys.platform == "win32":
                # Drivers there keep the system's calling convention.
                return ctypes.WinDLL(name)
            return ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
    hint = install_hints.for_dependency(names[0])
    raise DriverError("; ".join([f"{what} cannot be opened: {reasons[0]}", *([hint] if hint is not None else [])]))
