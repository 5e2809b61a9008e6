"""Finds nvcc and cuBLAS: a toolkit that is installed, completed or replaced by NVIDIA's wheels in the build cache."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nativebuild.cache import cache_dir, lock, remove_tree
from nativebuild.options import BuildOptions
from nativebuild.report import BuildError, run_quietly
from nativebuild.toolkit import Toolkit
from nativebuild.tools import Compilers
from nativebuild.venvs import pip_install, tools_venv, venv_program

__all__ = ["default_architectures", "find_cuda"]

_OLDEST = (12, 0)
#: What is fetched where no nvcc is installed.
_WHEEL_VERSION = (13, 0)
_ADVICE = "Install the CUDA toolkit 12 or 13, or set CUDACXX to its nvcc."


@dataclass(frozen=True)
class _Nvcc:
    path: Path
    version: tuple[int, int]

    @property
    def root(self) -> Path:
        return self.path.parent.parent


def default_architectures(version: tuple[int, int]) -> str:
    """Code for the GPUs people have, and a form that the driver compiles for what is newer.

    61 is Pascal, 70 Volta, 75 Turing; 80 is Ampere, and Ada runs it too; 90 is
    Hopper; 120 is Blackwell, which has instructions of its own for 4-bit
    weights. Where there is only a form, somebody waits: an H200 that had none
    but Ampere's compiled for 42 seconds before its first answer. And a driver
    that is older than the compiler refuses it.
    """
    old = ["61-real", "70-real"] if version < (13, 0) else []
    blackwell = ["120a-real"] if version >= (12, 8) else []
    # Boards with an Arm processor, which want code for exactly their GPU: Orin and GB10.
    boards = ["87-real", *(["121a-real"] if version >= (12, 9) else [])] if platform.machine() == "aarch64" else []
    return ";".join([*old, "75-real", "80-real", "90-real", *blackwell, *boards, "90-virtual"])


def find_cuda(options: BuildOptions, compilers: Compilers, engine: Path) -> Toolkit:
    """nvcc, cuBLAS and the architectures to compile for."""
    nvcc = _installed_nvcc() or _nvcc_of_wheels()
    definitions = {
        "CMAKE_CUDA_COMPILER": str(nvcc.path),
        "CMAKE_CUDA_HOST_COMPILER": str(compilers.cxx),
        "CMAKE_CUDA_ARCHITECTURES": options.cuda_architectures or default_architectures(nvcc.version),
        "CUDAToolkit_ROOT": str(nvcc.root),
    }
    if not (nvcc.root / "include" / "cublas_v2.h").exists():
        definitions |= _cublas_of_wheel(nvcc.version)
    version = f"{nvcc.version[0]}.{nvcc.version[1]}"
    return Toolkit(f"CUDA {version}", definitions, {"cuda": version}, {"cccl": _cccl_version(nvcc.root / "include")})


def _cccl_version(include: Path) -> str:
    """The version of NVIDIA's C++ headers; empty where they are not found."""
    for path in (include / "cccl" / "cub" / "version.cuh", include / "cub" / "version.cuh"):
        if path.exists() and (found := re.search(r"#define CUB_VERSION (\d+)", path.read_text(encoding="utf-8"))):
            number = int(found[1])
            return f"{number // 100_000}.{number // 100 % 1000}.{number % 100}"
    return ""


def _candidates() -> Iterator[Path]:
    if override := os.environ.get("CUDACXX"):
        if (found := shutil.which(override)) is None:
            raise BuildError(f"CUDACXX={override} names no program", advice=_ADVICE)
        yield Path(found)
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if home := os.environ.get(variable):
            yield Path(home, "bin", "nvcc")
    # The toolkit's usual place before the path, where a link may lie that tells nothing about the toolkit.
    yield Path("/usr/local/cuda/bin/nvcc")
    if found := shutil.which("nvcc"):
        yield Path(found)


def _installed_nvcc() -> _Nvcc | None:
    for path in _candidates():
        if path.exists():
            return _checked(path.resolve())
    return None


def _checked(path: Path) -> _Nvcc:
    answer = run_quietly([path, "--version"])
    match = re.search(r"release (\d+)\.(\d+)", answer.stdout)
    if match is None:
        raise BuildError(f"{path} does not tell its version", advice=_ADVICE, details=answer.stdout)
    version = (int(match[1]), int(match[2]))
    if version < _OLDEST:
        raise BuildError(f"{path} is CUDA {version[0]}.{version[1]}, but 12.0 or newer is needed", advice=_ADVICE)
    return _Nvcc(path, version)


def _nvcc_of_wheels() -> _Nvcc:
    names = ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm", "nvidia-cuda-runtime", "nvidia-cuda-cccl")
    try:
        root = _unpack("nvcc", names, _WHEEL_VERSION)
    except BuildError as error:
        raise BuildError(
            "no nvcc found, and NVIDIA's wheels could not be had", advice=_ADVICE, details=str(error)
        ) from error
    _complete(root)
    return _checked(root / "bin" / "nvcc")


def _complete(root: Path) -> None:
    """The names under which compilers look for what the wheels bring."""
    for link, target in ((root / "lib64", "lib"), (root / "lib" / "libcudart.so", f"libcudart.so.{_WHEEL_VERSION[0]}")):
        if not link.is_symlink():
            link.symlink_to(target)


def _cublas_of_wheel(version: tuple[int, int]) -> dict[str, str]:
    """Only to compile and link with; at run time cuBLAS comes from the user's own wheel or toolkit."""
    name = "nvidia-cublas" if version >= (13, 0) else f"nvidia-cublas-cu{version[0]}"
    root = _unpack("cublas", [name], version)
    return {
        "CMAKE_CUDA_FLAGS": f"-isystem {shlex.quote(str(root / 'include'))}",
        "CUDA_cublas_LIBRARY": str(root / "lib" / f"libcublas.so.{version[0]}"),
        "CUDA_cublasLt_LIBRARY": str(root / "lib" / f"libcublasLt.so.{version[0]}"),
    }


def _unpack(kind: str, names: Sequence[str], version: tuple[int, int]) -> Path:
    """Unpack wheels into the build cache; return the directory that has ``include`` and ``lib``."""
    number = f"{version[0]}.{version[1]}"
    folder = cache_dir() / f"cuda-{kind}-{number}"
    with lock(folder.name):
        if not folder.exists():
            stage = folder.with_suffix(".stage")
            remove_tree(stage)
            requirements = [f"{name}=={number}.*" for name in names]
            pip_install(
                venv_program(tools_venv(), "python"),
                ["--no-deps", "--target", str(stage), *requirements],
                doing=f"fetching {' '.join(names)} {number} into the build cache",
            )
            stage.rename(folder)
    roots = [path.parent for path in folder.glob("nvidia/*/include")]
    if len(roots) != 1:
        raise BuildError(f"{folder} has not the form of NVIDIA's wheels", advice=f"Remove {folder} and build again.")
    return roots[0]
