"""What a backend's build needs besides a compiler: found, fetched, or named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nativebuild import cuda, vulkan
from nativebuild.area import BuildArea
from nativebuild.options import BACKENDS, BuildOptions, backends_named
from nativebuild.report import BuildError
from nativebuild.toolkit import Toolkit
from nativebuild.tools import Compilers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stand-in programs are shell scripts")

COMPILERS = Compilers(Path("/usr/bin/cc"), Path("/usr/bin/c++"), "compiler 12")
ENGINE = Path("/cache/llama.cpp-1")


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# Which backends


@pytest.mark.parametrize(
    ("name", "system", "machine", "built"),
    [
        ("all", "linux", "x86_64", ["cpu", "kompute"]),
        ("all", "linux", "aarch64", ["cpu", "kompute"]),
        ("all", "win32", "AMD64", ["cpu", "kompute"]),
        ("all", "win32", "ARM64", ["cpu", "kompute"]),
        ("all", "darwin", "arm64", ["cpu", "metal"]),
        ("all", "darwin", "x86_64", ["cpu"]),
        ("cpu", "darwin", "x86_64", ["cpu"]),
        ("cuda", "linux", "x86_64", ["cuda"]),
        ("metal", "darwin", "arm64", ["metal"]),
    ],
)
def test_names_mean_backends(name: str, system: str, machine: str, built: list[str]) -> None:
    assert [backend.name for backend in backends_named(name, system, machine)] == built


@pytest.mark.parametrize(
    ("name", "system", "machine", "message"),
    [
        ("metal", "linux", "x86_64", "the metal backend is built on macOS only, and this is Linux"),
        ("metal", "darwin", "x86_64", "the metal backend is for arm64, and this is x86_64"),
        ("cuda", "darwin", "arm64", "the cuda backend is built on Linux and Windows only, and this is macOS"),
        ("kompute", "darwin", "arm64", "the kompute backend is built on Linux and Windows only, and this is macOS"),
    ],
)
def test_a_backend_that_cannot_be_built_here(name: str, system: str, machine: str, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        backends_named(name, system, machine)


def test_the_toolkit_is_part_of_what_a_build_area_is_for(build_cache: Path) -> None:
    def area(backend: str, toolkit: Toolkit) -> str:
        return BuildArea.find(BACKENDS[backend], BuildOptions("all"), ENGINE, COMPILERS, toolkit).root.name

    areas = {
        area("cuda", Toolkit()),
        area("cuda", Toolkit("CUDA 13.0")),
        area("cuda", Toolkit("CUDA 13.0", {"CMAKE_CUDA_ARCHITECTURES": "90-real"})),
        area("cuda", Toolkit("CUDA 13.0", {"CMAKE_CUDA_ARCHITECTURES": "86-real"})),
    }
    assert len(areas) == 4
    # What is only written into the record changes no object.
    assert area("cuda", Toolkit("CUDA 13.0", record={"cuda": "13.0"})) in areas


# CUDA


@pytest.fixture
def nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit of its own with cuBLAS in it."""
    path = program(tmp_path / "cuda" / "bin" / "nvcc", "echo 'Cuda compilation tools, release 12.6, V12.6.85'")
    (tmp_path / "cuda" / "include").mkdir()
    (tmp_path / "cuda" / "include" / "cublas_v2.h").touch()
    monkeypatch.setenv("CUDACXX", str(path))
    return path


def test_cudacxx_names_the_toolkit(nvcc: Path) -> None:
    found = cuda.find_cuda(BuildOptions(), COMPILERS, ENGINE)
    assert found.description == "CUDA 12.6"
    assert found.record == {"cuda": "12.6"}
    assert found.definitions["CMAKE_CUDA_COMPILER"] == str(nvcc)
    assert found.definitions["CUDAToolkit_ROOT"] == str(nvcc.parent.parent)
    assert "CUDA_cublas_LIBRARY" not in found.definitions
    assert found.definitions["CMAKE_CUDA_ARCHITECTURES"] == cuda.default_architectures((12, 6))


def test_architectures_are_selectable(nvcc: Path) -> None:
    found = cuda.find_cuda(BuildOptions(cuda_architectures="86-real;90-virtual"), COMPILERS, ENGINE)
    assert found.definitions["CMAKE_CUDA_ARCHITECTURES"] == "86-real;90-virtual"


@pytest.mark.parametrize(
    ("version", "oldest", "has_blackwell"),
    [((12, 0), "61-real", False), ((12, 7), "61-real", False), ((12, 8), "61-real", True), ((13, 0), "75-real", True)],
)
def test_the_release_serves_old_and_coming_gpus(version: tuple[int, int], oldest: str, has_blackwell: bool) -> None:
    architectures = cuda.default_architectures(version).split(";")
    assert architectures[0] == oldest
    # An older compiler refuses what it does not know.
    assert ("120a-real" in architectures) == has_blackwell
    # What the driver compiles is for GPUs newer than all of them; for the others it would be a wait.
    assert [name for name in architectures if name.endswith("-virtual")] == [architectures[-1]]


@pytest.mark.parametrize(("version", "has_gb10"), [((12, 6), False), ((13, 0), True)])
def test_boards_get_code_of_their_own(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], has_gb10: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    architectures = cuda.default_architectures(version).split(";")
    assert "87-real" in architectures
    assert ("121a-real" in architectures) == has_gb10


def test_an_old_toolkit_is_named(nvcc: Path) -> None:
    program(nvcc, "echo 'Cuda compilation tools, release 11.8, V11.8.89'")
    with pytest.raises(BuildError, match=r"nvcc is CUDA 11\.8, but 12\.0 or newer is needed"):
        cuda.find_cuda(BuildOptions(), COMPILERS, ENGINE)


def test_cudacxx_that_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDACXX", "/nowhere/nvcc")
    with pytest.raises(BuildError, match="CUDACXX=/nowhere/nvcc names no program"):
        cuda.find_cuda(BuildOptions(), COMPILERS, ENGINE)


# Vulkan


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build_cache: Path) -> Path:
    root = tmp_path / "sdk"
    write_headers(root, 280)
    (root / "lib").mkdir()
    (root / "lib" / "libvulkan.so").touch()
    (root / "share" / "cmake" / "SPIRV-Headers").mkdir(parents=True)
    program(root / "bin" / "glslc", 'if [ "$1" = --version ]; then echo shaderc 1; else exit 9; fi')
    monkeypatch.setenv("VULKAN_SDK", str(root))
    monkeypatch.delenv("LLAMA_CPP_SOURCE_DIR", raising=False)
    return root


def write_headers(root: Path, patch: int) -> None:
    folder = root / "include" / "vulkan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vulkan_core.h").write_text(
        f"#define VK_HEADER_VERSION {patch}\n"
        "#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION(0, 1, 3, VK_HEADER_VERSION)\n"
    )


def test_the_sdk_is_used_where_it_is_named(sdk: Path) -> None:
    found = vulkan.find_vulkan(BuildOptions(), COMPILERS, ENGINE)
    assert found.description == "Vulkan headers 1.3.280, shaderc 1"
    assert found.definitions["Vulkan_INCLUDE_DIR"] == str(sdk / "include")
    assert found.definitions["Vulkan_LIBRARY"] == str(sdk / "lib" / "libvulkan.so")
    assert found.definitions["SPIRV-Headers_DIR"] == str(sdk / "share" / "cmake" / "SPIRV-Headers")


@pytest.mark.parametrize("lacking", ["bin/glslc", "lib/libvulkan.so", "include/vulkan/vulkan_core.h"])
def test_an_incomplete_sdk_is_refused(sdk: Path, lacking: str) -> None:
    (sdk / lacking).unlink()
    with pytest.raises(BuildError, match=r"VULKAN_SDK=.* lacks a part(?s:.*)apt-get install libvulkan-dev"):
        vulkan.find_vulkan(BuildOptions(), COMPILERS, ENGINE)


def test_headers_that_are_too_old_are_refused(sdk: Path) -> None:
    write_headers(sdk, 239)
    with pytest.raises(BuildError, match="older than 1.3.272"):
        vulkan.find_vulkan(BuildOptions(), COMPILERS, ENGINE)


def test_without_any_the_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VULKAN_SDK", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="apt-get install libvulkan-dev spirv-headers glslc"):
        vulkan.find_vulkan(BuildOptions(), COMPILERS, ENGINE)


# Compiled shaders


@pytest.fixture
def glslc(sdk: Path) -> Path:
    """The caching compiler before one that counts its calls and writes its arguments."""
    calls = sdk / "calls"
    program(
        sdk / "bin" / "glslc",
        f'if [ "$1" = --version ]; then echo shaderc 1; exit; fi\n'
        f"echo call >>{calls}\n"
        'case " $* " in *broken*) echo no >&2; exit 3 ;; esac\n'
        'while [ $# -gt 0 ]; do case $1 in -o) out=$2 ;; -MF) dep=$2 ;; esac; all="$all $1"; shift; done\n'
        'if [ "$out" = - ]; then echo shader; exit; fi\n'
        'echo "shader$all" >"$out"\n'
        'if [ -n "$dep" ]; then echo "$out: /engine/add.comp /engine/types.glsl" >"$dep"; fi',
    )
    return Path(vulkan.find_vulkan(BuildOptions(), COMPILERS, ENGINE).definitions["Vulkan_GLSLC_EXECUTABLE"])


def calls(sdk: Path) -> int:
    log = sdk / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


def compile_shader(glslc: Path, target: Path, *arguments: str, code: int = 0) -> str:
    target.parent.mkdir(exist_ok=True)
    done = subprocess.run([glslc, "-fshader-stage=compute", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return target.read_text() if target.exists() else ""


def test_a_shader_is_compiled_once_for_all_builds(sdk: Path, glslc: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "one" / "add.spv", tmp_path / "two" / "add.spv"
    made = compile_shader(glslc, first, "/engine/add.comp", "-o", str(first), "-DA=float")
    assert compile_shader(glslc, second, "/engine/add.comp", "-o", str(second), "-DA=float") == made
    assert calls(sdk) == 1


def test_its_dependencies_are_told_for_the_build_that_asks(sdk: Path, glslc: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        out, dependencies = tmp_path / folder / "add.spv", tmp_path / folder / "add.d"
        compile_shader(glslc, out, "/engine/add.comp", "-o", str(out), "-MD", "-MF", str(dependencies))
        assert dependencies.read_text() == f"{out}: /engine/add.comp /engine/types.glsl\n"
    assert calls(sdk) == 1


@pytest.mark.parametrize("other", [["/engine/sub.comp"], ["/engine/add.comp", "-DA=half"], ["/engine/add.comp", "-O"]])
def test_another_shader_is_compiled(sdk: Path, glslc: Path, tmp_path: Path, other: list[str]) -> None:
    out = tmp_path / "one" / "add.spv"
    made = compile_shader(glslc, out, "/engine/add.comp", "-o", str(out))
    assert compile_shader(glslc, out, *other, "-o", str(out)) != made
    assert calls(sdk) == 2


def test_a_failure_is_not_kept(sdk: Path, glslc: Path, tmp_path: Path) -> None:
    out = tmp_path / "one" / "broken.spv"
    for _ in range(2):
        compile_shader(glslc, out, "/engine/broken.comp", "-o", str(out), code=3)
    assert calls(sdk) == 2


def test_what_goes_to_the_output_is_not_kept(sdk: Path, glslc: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run([glslc, "/engine/add.comp", "-o", "-"], capture_output=True, text=True, check=True)
        assert done.stdout == "shader\n"
    assert calls(sdk) == 2


def test_a_local_engine_may_change_so_nothing_is_kept(sdk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_SOURCE_DIR", os.fspath(sdk))
    found = vulkan.find_vulkan(BuildOptions(), COMPILERS, ENGINE)
    assert found.definitions["Vulkan_GLSLC_EXECUTABLE"] == str(sdk / "bin" / "glslc")
