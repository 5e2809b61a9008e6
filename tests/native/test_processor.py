"""What the sources ask of an x86 processor, compiled as here and as the wheels are."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from nativebuild.cache import cache_dir
from nativebuild.zig import VERSION

from tests.support.fake.backend import build_processor, find_compiler

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or find_compiler() is None,
    reason="needs a C compiler on Linux, and an x86-64 processor",
)

#: What scripts/dev wheels left in the build cache. Its __builtin_cpu_supports() says no to everything.
ZIG = cache_dir() / f"zig-{VERSION}" / "manylinux-x86_64" / "clang++"


@pytest.mark.parametrize(
    "compiler",
    [
        None,
        pytest.param(ZIG, marks=pytest.mark.skipif(not ZIG.exists(), reason="scripts/dev wheels has not run here")),
    ],
)
def test_upper_halves_of_registers_are_cleared(tmp_path: Path, compiler: Path | None) -> None:
    program = build_processor(tmp_path / "processor", str(compiler) if compiler else None)
    seen = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.strip()
    if not seen:
        pytest.skip("the processor does not tell what is in use")
    assert seen == "1 0"
