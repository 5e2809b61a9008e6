"""Loads what the cuda backend links to, and names what is missing or too old.

NVIDIA ships its runtime libraries as wheels, whose directory no dynamic linker
looks into. Loaded by path beforehand, they are what the backend's library
then finds under their names.

Written here, as cuda-pathfinder (1.9) needs Python 3.11, cannot be asked for the
major version that a library was built with, knows no directories but those of
``site``, and loads with ``RTLD_GLOBAL``, which lets two copies of llama.cpp in
one process meet.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from ctypes import byref, c_int
from pathlib import Path

from gpt4all._native.installation import requirement
from gpt4all.errors import BackendLoadError

#: Holds ``"cuda": "13.0"``, what the library was built with.
BUILD_RECORD = "build.json"
_DRIVER = {"win32": "nvcuda.dll"}.get(sys.platform, "libcuda.so.1")
#: The oldest driver for a runtime of that major version.
_DRIVER_RELEASES = {12: "525", 13: "580"}

Version = tuple[int, int]


def prepare(directory: Path) -> None:
    """Loads CUDA's runtime and cuBLAS for the library in ``directory``.

    Raises:
        BackendLoadError: names the driver, runtime or cuBLAS that is missing or
            too old, with the version found and the version wanted.
    """
    wanted = _built_with(directory)
    if wanted is None:
        return
    _check_driver(wanted)
    runtime = _load("cudart", "the CUDA runtime", wanted)
    _check(_runtime_version(runtime), wanted, "the CUDA runtime", runtime)
    # Part of cuBLAS, which looks for it under its name.
    _load("cublasLt", "cuBLAS", wanted)
    cublas = _load("cublas", "cuBLAS", wanted)
    _check(_cublas_version(cublas), wanted, "cuBLAS", cublas)


def _built_with(directory: Path) -> Version | None:
    try:
        text = json.loads((directory / BUILD_RECORD).read_text(encoding="utf-8"))["cuda"]
        major, minor = text.split(".")
        return int(major), int(minor)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Built by other means: the dynamic linker will have its say.
        return None


def _check_driver(wanted: Version) -> None:
    release = _DRIVER_RELEASES.get(wanted[0])
    advice = f"install NVIDIA's driver{f' {release} or newer' if release else ''}"
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise BackendLoadError(f"no NVIDIA driver ({error}), and CUDA {_shown(wanted)} is wanted; {advice}") from error
    number = c_int()
    # Every driver has this function, and it works before the driver is started.
    driver.cuDriverGetVersion(byref(number))
    found = _decoded(number.value)
    # Within a major version, an older driver serves a newer runtime.
    if found < (wanted[0], 0):
        raise BackendLoadError(
            f"the NVIDIA driver serves CUDA {_shown(found)} at most, and CUDA {wanted[0]}.0 is wanted; {advice}"
        )


def _load(name: str, title: str, wanted: Version) -> ctypes.CDLL:
    """The library of that name, of the wheels if they have it, else of the system."""
    file_name = _file_name(name, wanted[0])
    failures = []
    for path in (*_in_wheels(file_name), *_in_toolkit(file_name), file_name):
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            failures.append(str(error))
    others = sorted({path.name for path in _in_wheels(_file_name(name, None))})
    raise BackendLoadError(
        f"{title} {wanted[0]} is missing ({'; '.join(failures)}"
        + (f"; found only {', '.join(others)}" if others else "")
        + f"); install it: pip install {requirement(_extra(wanted))}"
    )


def _extra(wanted: Version) -> str:
    return "cuda12" if wanted[0] == 12 else "cuda"


def _file_name(name: str, major: int | None) -> str:
    if sys.platform == "win32":
        return f"{name}64_{'*' if major is None else major}.dll"
    return f"lib{name}.so.{'*' if major is None else major}"


def installed() -> list[Path]:
    """Every CUDA runtime and cuBLAS that the wheels and the toolkits have, of whatever version. Loads none of them."""
    patterns = [_file_name(name, None) for name in ("cudart", "cublas", "cublasLt")]
    found = (path for pattern in patterns for path in (*_in_wheels(pattern), *_in_toolkit(pattern)))
    return list({path.resolve(): path for path in found}.values())


def driver_version() -> str | None:
    """NVIDIA's driver as it calls itself, ``None`` where there is none; on Windows only that it is there."""
    try:
        # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.03  Tue …"
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        return " ".join(text.splitlines()[0].partition(":")[2].split())
    except (OSError, IndexError):
        found = sys.platform == "win32" and Path(os.environ.get("SYSTEMROOT", ""), "System32", _DRIVER).is_file()
        return _DRIVER if found else None


def _in_wheels(pattern: str) -> Iterator[Path]:
    """``nvidia`` is a namespace that many wheels put a directory into."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for folder in ("lib", "bin", "bin/x86_64"):
            yield from sorted(Path(root).glob(f"*/{folder}/{pattern}"))


def _in_toolkit(pattern: str) -> Iterator[Path]:
    """conda's as well, whose layout is much the same."""
    conda = os.environ.get("CONDA_PREFIX")
    for home in (conda, os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        for folder in ("lib64", "lib", "bin", "bin/x64", "Library/bin", "Library/bin/x64"):
            if home:
                yield from sorted(Path(home, folder).glob(pattern))


def _runtime_version(library: ctypes.CDLL) -> Version:
    number = c_int()
    library.cudaRuntimeGetVersion(byref(number))
    return _decoded(number.value)


def _cublas_version(library: ctypes.CDLL) -> Version:
    parts = []
    for what in (0, 1):  # MAJOR_VERSION, MINOR_VERSION
        number = c_int()
        library.cublasGetProperty(what, byref(number))
        parts.append(number.value)
    return parts[0], parts[1]


def _check(found: Version, wanted: Version, title: str, library: ctypes.CDLL) -> None:
    if found < wanted:
        raise BackendLoadError(
            f"{title} is {_shown(found)} ({library._name}), and {_shown(wanted)} or newer is wanted; "
            f"renew it: pip install --upgrade --upgrade-strategy eager {requirement(_extra(wanted))}"
        )


def _decoded(number: int) -> Version:
    return number // 1000, number % 1000 // 10


def _shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
