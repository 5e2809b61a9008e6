"""The library in which calls of the engine fail when a test asks for it: ``backends/tests/faults.cpp``."""

from __future__ import annotations

import os
from ctypes import c_int32, c_int64
from enum import IntEnum
from pathlib import Path

import pytest
from nativebuild.build import Build
from nativebuild.faults import build_faults
from nativebuild.options import BACKENDS, BuildOptions

from tests.support.abi.client import Library

#: Where ``scripts/dev sanitize`` has one with its sanitizer.
PLACE_VARIABLE = "GPT4ALL_TEST_FAULTS"


class Fault(IntEnum):
    """What can fail, as ``faults.cpp`` numbers it."""

    COMPUTE_FAILS = 0
    COMPUTED_IN_VAIN = 1
    COMPUTE_NO_MEMORY = 2
    COMPUTE_ASSERTS = 3
    DECODE_NO_ROOM = 4
    DECODE_REFUSES = 5
    ENCODE_FAILS = 6
    REMOVE_FAILS = 7
    SAVE_FAILS = 8
    LOAD_FAILS = 9
    REMOVE_TOO_MUCH = 10


class FaultyLibrary(Library):
    """A ``Library`` that can be asked to fail."""

    def __init__(self, path: Path, *, init: bool = True) -> None:
        super().__init__(path, init=init)
        self.c.gpt4all_test_fail.argtypes = [c_int32, c_int64]
        self.c.gpt4all_test_fail.restype = c_int64

    def fail(self, fault: Fault, nth: int = 1) -> bool:
        """From now on call ``nth`` of that kind fails, once; 0 is none. Whether what was asked for last has failed."""
        return int(self.c.gpt4all_test_fail(fault, nth)) <= 0


def faulty_backend_path() -> Path:
    """What ``GPT4ALL_BACKEND_PATH`` takes; skips where the engine was not built on this machine."""
    if PLACE_VARIABLE in os.environ:
        return Path(os.environ[PLACE_VARIABLE])
    if os.name != "posix" or os.uname().sysname != "Linux":
        pytest.skip("the linker's --wrap is wanted")
    if not (Build.of(BACKENDS["cpu"], BuildOptions()).area.build / "build.ninja").exists():
        pytest.skip("the cpu backend was not built here (./build_backends.sh cpu)")
    return build_faults()
