"""What the cuda backend needs is loaded from NVIDIA's wheels, and named where it is missing or too old.

The driver and the runtime libraries here are stand-ins, compiled for the test, of a CUDA version that does not exist.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4all import __version__
from gpt4all._native import cuda_runtime
from tests.support.fake.backend import ROOT, find_compiler

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the stand-ins are found as Linux finds libraries"),
    pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler (cc, gcc or clang, or CC)"),
]

WANTED = "99.2"
_PROGRAM = """
import sys
from pathlib import Path
from gpt4all._native import cuda_runtime
from gpt4all.errors import BackendLoadError
try:
    cuda_runtime.prepare(Path(sys.argv[1]))
except BackendLoadError as error:
    print(error)
else:
    mapped = {line.split("/", 1)[1] for line in open("/proc/self/maps") if ".so.99" in line}
    print("loaded", *sorted(Path(path.strip()).name for path in mapped))
"""

Version = Callable[[int], None]
Cublas = Callable[[int, int], None]
Prepare = Callable[[], str]


def _compile(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [find_compiler() or "cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path), f"-Wl,-soname,{path.name}"]
    subprocess.run(command, input=source, text=True, check=True)


@pytest.fixture
def driver(tmp_path: Path) -> Version:
    """A driver that serves this CUDA version, 12040 for 12.4."""

    def stand(version: int) -> None:
        source = f"int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}"
        _compile(tmp_path / "driver" / "libcuda.so.1", source)

    return stand


@pytest.fixture
def runtime(tmp_path: Path) -> Version:
    def stand(version: int) -> None:
        source = f"int cudaRuntimeGetVersion(int *v) {{ *v = {version}; return 0; }}"
        _compile(tmp_path / "site" / "nvidia" / "cu99" / "lib" / f"libcudart.so.{version // 1000}", source)

    return stand


@pytest.fixture
def cublas(tmp_path: Path) -> Cublas:
    """In the layout of NVIDIA's older wheels, a directory for each library."""

    def stand(major: int, minor: int) -> None:
        folder = tmp_path / "site" / "nvidia" / "cublas" / "lib"
        source = f"int cublasGetProperty(int what, int *v) {{ *v = what == 0 ? {major} : {minor}; return 0; }}"
        _compile(folder / f"libcublas.so.{major}", source)
        _compile(folder / f"libcublasLt.so.{major}", "int nothing;")

    return stand


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepares for a library in a process of its own; what came of it."""
    library = tmp_path / "lib" / "cuda"
    library.mkdir(parents=True)
    (library / "build.json").write_text(json.dumps({"cuda": WANTED}))

    def run() -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path / "site"))),
            "LD_LIBRARY_PATH": str(tmp_path / "driver"),
        }
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, library], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


def test_all_is_there(driver: Version, runtime: Version, cublas: Cublas, prepare: Prepare) -> None:
    driver(99000)
    runtime(99020)
    cublas(99, 3)
    assert prepare() == "loaded libcublas.so.99 libcublasLt.so.99 libcudart.so.99"


@pytest.mark.parametrize("variable", ["CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH"])
@pytest.mark.parametrize("folder", ["lib", "lib64"])
def test_a_toolkit_has_them(
    driver: Version,
    runtime: Version,
    cublas: Cublas,
    prepare: Prepare,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    folder: str,
) -> None:
    driver(99000)
    runtime(99020)
    cublas(99, 3)
    (tmp_path / "toolkit" / folder).mkdir(parents=True)
    for path in (tmp_path / "site").rglob("*.so.99"):
        path.rename(tmp_path / "toolkit" / folder / path.name)
    assert "is missing" in prepare()
    monkeypatch.setenv(variable, str(tmp_path / "toolkit"))
    assert prepare() == "loaded libcublas.so.99 libcublasLt.so.99 libcudart.so.99"


def test_a_driver_that_is_too_old(driver: Version, prepare: Prepare) -> None:
    driver(12040)
    said = prepare()
    assert "driver serves CUDA 12.4 at most" in said
    assert "99.0 is wanted" in said


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a real driver")
def test_no_driver(prepare: Prepare) -> None:
    said = prepare()
    assert said.startswith("no NVIDIA driver (libcuda.so.1")
    assert "CUDA 99.2 is wanted" in said


def test_a_runtime_of_another_version(driver: Version, runtime: Version, prepare: Prepare) -> None:
    driver(99000)
    runtime(12040)
    said = prepare()
    assert "the CUDA runtime 99 is missing" in said
    assert "found only libcudart.so.12" in said
    assert f'pip install "gpt4all[cuda]=={__version__}"' in said


def test_a_runtime_that_is_too_old(driver: Version, runtime: Version, prepare: Prepare) -> None:
    driver(99000)
    runtime(99010)
    said = prepare()
    assert "the CUDA runtime is 99.1" in said
    assert "99.2 or newer is wanted" in said


def test_no_cublas(driver: Version, runtime: Version, prepare: Prepare) -> None:
    driver(99000)
    runtime(99020)
    assert "cuBLAS 99 is missing (libcublasLt.so.99" in prepare()


def test_a_cublas_that_is_too_old(driver: Version, runtime: Version, cublas: Cublas, prepare: Prepare) -> None:
    driver(99000)
    runtime(99020)
    cublas(99, 1)
    said = prepare()
    assert "cuBLAS is 99.1" in said
    assert "99.2 or newer is wanted" in said


def test_without_a_record_the_dynamic_linker_decides(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "lib" / "cuda" / "build.json").write_text("{}")
    assert prepare() == "loaded"


def test_what_is_installed_is_listed_whatever_its_version(
    runtime: Version, cublas: Cublas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime(98000)
    cublas(99, 3)
    toolkit = tmp_path / "toolkit" / "lib64"
    toolkit.mkdir(parents=True)
    (toolkit / "libcudart.so.97").touch()
    (toolkit.parent / "lib").symlink_to(toolkit)
    for variable in ("CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"):
        monkeypatch.setenv(variable, str(toolkit.parent))
    monkeypatch.setattr(cuda_runtime, "_in_wheels", lambda pattern: (tmp_path / "site").rglob(pattern))
    found = [path.name for path in cuda_runtime.installed() if path.is_relative_to(tmp_path)]
    assert found == ["libcudart.so.98", "libcudart.so.97", "libcublas.so.99", "libcublasLt.so.99"]
