"""The wheel check passes a sound wheel and names each thing that is wrong with another."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from wheels.check import check_wheel, header_functions
from wheels.sbom import bill_of_materials

from tests.support.elf_writer import AARCH64, build_elf

INFO = "gpt4all-2.9.0.dist-info"
LIBRARY = "gpt4all/_native/lib/cpu/libgpt4all-cpu.so"
RECORD = "gpt4all/_native/lib/cpu/build.json"
PLATFORM = "manylinux_2_34_x86_64"
MODULES = [f"gpt4all/_native/lib/cpu/libggml-cpu-{name}.so" for name in ("x64", "haswell")]


def entry_library(**changes: Any) -> bytes:
    facts: dict[str, Any] = {
        "soname": "libgpt4all-cpu.so",
        "needed": ["libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"],
        "run_path": "$ORIGIN",
        "versions": {"libc.so.6": ["GLIBC_2.34"]},
        "exports": sorted(header_functions()),
    }
    return build_elf(**{**facts, **changes})


def sound_wheel() -> dict[str, bytes]:
    names = [Path(LIBRARY).name, *(Path(module).name for module in MODULES)]
    record = {
        "backend": "cpu",
        "variants": "all",
        "build_type": "Release",
        "sanitize": "",
        "llama_cpp": {"commit": "0c1e57098"},
        "linked_in": {"ggml": "0.25.3", "gcc-runtime": "12.2.0"},
        "files": dict.fromkeys(names, 1),
    }
    return {
        "gpt4all/__init__.py": b"",
        "gpt4all/py.typed": b"",
        "gpt4all/server/page/index.html": b"",
        LIBRARY: entry_library(),
        **{module: build_elf(exports=["ggml_backend_score", "ggml_backend_init"]) for module in MODULES},
        RECORD: json.dumps(record).encode(),
        f"{INFO}/METADATA": b"Metadata-Version: 2.4\nName: gpt4all\nVersion: 2.9.0\nRequires-Python: >=3.10\n",
        f"{INFO}/WHEEL": b"Root-Is-Purelib: false\nTag: py3-none-manylinux_2_34_x86_64\n",
        f"{INFO}/licenses/LICENSE": b"MIT",
        f"{INFO}/licenses/THIRD_PARTY_NOTICES": b"MIT",
        f"{INFO}/sboms/gpt4all.cdx.json": bill_of_materials("2.9.0", PLATFORM, [record]).encode(),
    }


def write(directory: Path, files: dict[str, bytes], name: str = "gpt4all-2.9.0-py3-none-manylinux_2_34_x86_64") -> Path:
    path = directory / f"{name}.whl"
    info = "-".join(name.split("-")[:2]) + ".dist-info"
    rows = []
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"{file},sha256={digest},{len(content)}\n")
        wheel.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
    return path


def cuda_wheel(**library: Any) -> dict[str, bytes]:
    """What ``distributions/gpt4all-cuda13`` makes."""
    info, package = "gpt4all_cuda13-2.9.0.dist-info", "gpt4all_cuda13"
    modules = ["libggml-cpu-x64.so", "libggml-cpu-haswell.so"]
    files = ["libgpt4all-cuda.so", *modules]
    record = {**json.loads(sound_wheel()[RECORD]), "backend": "cuda", "files": dict.fromkeys(files, 1)}
    record["linked_in"]["cccl"] = "3.0.1"
    needed = ["libc.so.6", "libcudart.so.13", "libcublas.so.13"]
    facts = {"soname": "libgpt4all-cuda.so", "needed": needed, **library}
    metadata = "Name: gpt4all-cuda13\nVersion: 2.9.0\nRequires-Python: >=3.10\nRequires-Dist: gpt4all==2.9.0\n"
    return {
        f"{package}/__init__.py": b"",
        f"{package}/LICENSE": b"MIT",
        f"{package}/THIRD_PARTY_NOTICES": b"MIT",
        f"{package}/lib/libgpt4all-cuda.so": entry_library(**facts),
        **{f"{package}/lib/{name}": build_elf(exports=["ggml_backend_init"]) for name in modules},
        f"{package}/lib/build.json": json.dumps(record).encode(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Root-Is-Purelib: false\nTag: py3-none-manylinux_2_34_x86_64\n",
        f"{info}/entry_points.txt": b"[gpt4all.backends]\ncuda = gpt4all_cuda13:library_directory\n",
        f"{info}/sboms/gpt4all.cdx.json": bill_of_materials("2.9.0", PLATFORM, [record], "gpt4all-cuda13").encode(),
    }


CUDA_WHEEL = "gpt4all_cuda13-2.9.0-py3-none-manylinux_2_34_x86_64"


def record_with(**changes: object) -> bytes:
    return json.dumps({**json.loads(sound_wheel()[RECORD]), **changes}).encode()


def test_a_sound_wheel_passes(tmp_path: Path) -> None:
    assert check_wheel(write(tmp_path, sound_wheel())) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"gpt4all/py.typed": None}, "gpt4all/py.typed is missing"),
        ({"gpt4all/__pycache__/x.pyc": b""}, "x.pyc is no part of the Python package"),
        ({"tests/test_x.py": b""}, "tests/test_x.py does not belong"),
        ({f"{INFO}/licenses/LICENSE": None}, "licenses/LICENSE is missing"),
        ({f"{INFO}/METADATA": b"Name: gpt4all\nVersion: 2.8.0\n"}, "METADATA lacks 'Version: 2.9.0'"),
        ({f"{INFO}/WHEEL": b"Root-Is-Purelib: true\nTag: py3-none-any\n"}, "another tag than the file name"),
        ({LIBRARY: None}, "the entry library is missing"),
        ({LIBRARY: entry_library(exports=["gpt4all_init", "llama_decode"])}, "exports llama_decode"),
        ({LIBRARY: entry_library(exports=["gpt4all_init"])}, "lacks gpt4all_generate"),
        ({LIBRARY: entry_library(unique=["_ZGVx"])}, "process-wide unique symbol _ZGVx"),
        ({LIBRARY: entry_library(run_path="/opt/lib")}, "looks for libraries in '/opt/lib'"),
        ({LIBRARY: entry_library(needed=["libstdc++.so.6"])}, r"needs libstdc\+\+\.so\.6"),
        ({LIBRARY: entry_library(soname="libggml.so")}, "calls itself libggml.so"),
        ({LIBRARY: entry_library(executable_stack=True)}, "executable stack"),
        (
            {LIBRARY: entry_library(versions={"libc.so.6": ["GLIBC_2.38"]})},
            "the tag says manylinux_2_34_x86_64, but the libraries are manylinux_2_38_x86_64",
        ),
        ({LIBRARY: entry_library(machine=AARCH64)}, "for different processors: aarch64, x86_64"),
        ({LIBRARY: entry_library() + b"/home/me/src/llama.cpp/ggml.c"}, "tells where it was built: /home/me"),
        ({LIBRARY: entry_library()[:200]}, "is damaged"),
        ({MODULES[0]: build_elf(exports=["llama_decode"])}, "x64.so exports llama_decode"),
        ({MODULES[0]: None}, "the CPU modules are missing"),
        ({RECORD: None}, "build.json is missing"),
        ({RECORD: record_with(variants="native")}, "for one machine's processor"),
        ({RECORD: record_with(build_type="Debug")}, "not a release build"),
        ({RECORD: record_with(sanitize="thread")}, "not a release build"),
        ({RECORD: record_with(files={})}, "list different files"),
        ({f"{INFO}/sboms/gpt4all.cdx.json": None}, "bill of materials sboms/gpt4all.cdx.json is missing"),
        ({RECORD: record_with(linked_in={"ggml": "0.26"})}, "is not that of the libraries"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, changes: dict[str, bytes | None], problem: str) -> None:
    files = {name: content for name, content in {**sound_wheel(), **changes}.items() if content is not None}
    problems = check_wheel(write(tmp_path, files))
    assert any(_matches(problem, text) for text in problems), problems


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def test_a_native_wheel_can_be_let_through(tmp_path: Path) -> None:
    files = sound_wheel()
    files[RECORD] = record_with(variants="native")
    assert check_wheel(write(tmp_path, files), allow_native=True) == []


def test_a_changed_file_does_not_match_its_record(tmp_path: Path) -> None:
    path = write(tmp_path, {**sound_wheel(), "gpt4all/extra.py": b"x = 1\n"})
    with zipfile.ZipFile(path) as wheel:
        contents = {entry: wheel.read(entry) for entry in wheel.namelist()}
    contents["gpt4all/extra.py"] = b"x = 2\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in contents.items():
            wheel.writestr(name, content)
    assert check_wheel(path) == ["RECORD does not describe gpt4all/extra.py"]


@pytest.mark.parametrize("name", ["gpt4all-2.9.0-cp311-cp311-linux_x86_64", "other-1.0-py3-none-any"])
def test_a_name_that_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    assert "is no name of a wheel" in check_wheel(write(tmp_path, sound_wheel(), name))[0]


def test_a_tag_that_promises_nothing_is_not_for_distribution(tmp_path: Path) -> None:
    libraries = {LIBRARY: entry_library(versions={}, needed=["libc.musl-x86_64.so.1"])}
    libraries |= {
        module: build_elf(exports=["ggml_backend_init"], needed=["libc.musl-x86_64.so.1"]) for module in MODULES
    }
    files = {**sound_wheel(), **libraries, f"{INFO}/WHEEL": b"Root-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"}
    records = [json.loads(files[RECORD])]
    files[f"{INFO}/sboms/gpt4all.cdx.json"] = bill_of_materials("2.9.0", "linux_x86_64", records).encode()
    problems = check_wheel(write(tmp_path, files, "gpt4all-2.9.0-py3-none-linux_x86_64"))
    assert problems == ["linux_x86_64 does not say which C library the libraries need"]


def test_the_size_has_a_limit(tmp_path: Path) -> None:
    assert "MB large, more than 0.001" in check_wheel(write(tmp_path, sound_wheel()), limit_mb=0.001)[0]


def test_a_sound_wheel_of_the_cuda_backend_passes(tmp_path: Path) -> None:
    assert check_wheel(write(tmp_path, cuda_wheel(), CUDA_WHEEL)) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"gpt4all_cuda13/LICENSE": None}, "gpt4all_cuda13/LICENSE is missing"),
        ({"gpt4all_cuda13/other.py": b""}, "other.py is no part of the Python package"),
        ({"gpt4all/__init__.py": b""}, "gpt4all/__init__.py does not belong into the wheel"),
        ({"gpt4all_cuda13-2.9.0.dist-info/entry_points.txt": None}, "does not lead gpt4all to the backend"),
        ({"gpt4all_cuda13-2.9.0.dist-info/METADATA": b""}, "METADATA lacks 'Requires-Dist: gpt4all==2.9.0'"),
        (cuda_wheel(needed=["libcudart.so.12"]), "needs libcudart.so.12"),
        (cuda_wheel(needed=["libcuda.so.1"]), "needs libcuda.so.1"),
    ],
)
def test_each_fault_of_a_cuda_wheel_is_named(tmp_path: Path, changes: dict[str, bytes | None], problem: str) -> None:
    files = {name: content for name, content in {**cuda_wheel(), **changes}.items() if content is not None}
    problems = check_wheel(write(tmp_path, files, CUDA_WHEEL))
    assert any(problem in text for text in problems), problems
