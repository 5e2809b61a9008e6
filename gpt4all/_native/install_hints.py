"""The command that installs what is missing, for the package manager of this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from gpt4all._native import installation

#: Program that a package manager is known by -> what comes before a package's name.
_MANAGERS = {
    "apt-get": "apt-get install",
    "dnf": "dnf install",
    "zypper": "zypper install",
    "pacman": "pacman -S",
    "apk": "apk add",
}


@dataclass(frozen=True)
class _Package:
    """Something that a backend needs and that does not come with it."""

    what: str
    #: Package manager -> package.
    packages: Mapping[str, str]
    otherwise: str


_VULKAN_LOADER = _Package(
    "the Vulkan loader",
    {
        "apt-get": "libvulkan1",
        "dnf": "vulkan-loader",
        "zypper": "libvulkan1",
        "pacman": "vulkan-icd-loader",
        "apk": "vulkan-loader",
    },
    "it comes with the GPU's driver",
)
_VULKAN_DRIVER = _Package(
    "a Vulkan driver",
    {
        "apt-get": "mesa-vulkan-drivers",
        "dnf": "mesa-vulkan-drivers",
        "zypper": "Mesa-vulkan-drivers",
        "pacman": "vulkan-radeon vulkan-intel",
        "apk": "mesa-vulkan-ati mesa-vulkan-intel",
    },
    "it comes with the GPU's driver",
)
_NVIDIA_DRIVER = _Package(
    "NVIDIA's driver",
    {"apt-get": "nvidia-driver", "zypper": "nvidia-driver-G06-kmp-meta", "pacman": "nvidia-utils"},
    "it comes from NVIDIA or the distribution",
)
_CUDA12_RUNTIME = _Package("CUDA's runtime libraries", {}, f"pip install {installation.requirement('cuda12')}")
_CUDA_RUNTIME = _Package("CUDA's runtime libraries", {}, f"pip install {installation.requirement('cuda')}")

# How the file names of each begin, on every system.
_LIBRARIES = {
    "libvulkan": _VULKAN_LOADER,
    "vulkan-1": _VULKAN_LOADER,
    "libcuda.so": _NVIDIA_DRIVER,
    "nvcuda": _NVIDIA_DRIVER,
    "libcudart.so.12": _CUDA12_RUNTIME,
    "libcublas.so.12": _CUDA12_RUNTIME,
    "cudart64_12": _CUDA12_RUNTIME,
    "cublas64_12": _CUDA12_RUNTIME,
    "libcudart": _CUDA_RUNTIME,
    "cudart64": _CUDA_RUNTIME,
    "libcublas": _CUDA_RUNTIME,
    "cublas": _CUDA_RUNTIME,
}

_BACKENDS = ("cpu", "kompute", "cuda", "metal")


def for_backend(backend: str) -> str | None:
    """What to do where a backend's own library is missing or broken."""
    return installation.repair(backend) if backend in _BACKENDS else None


def for_dependency(message: str) -> str | None:
    """What to do about the library that the dynamic linker's message names, if it is one that has to be there."""
    for beginning, package in _LIBRARIES.items():
        if beginning in message:
            return _advice(package)
    return None


def for_vulkan_driver() -> str:
    return _advice(_VULKAN_DRIVER) + "; for NVIDIA's GPUs, it is part of NVIDIA's driver"


def _advice(package: _Package) -> str:
    # Slow to import, and seldom wanted.
    import shutil

    for manager, name in package.packages.items():
        if sys.platform == "linux" and shutil.which(manager):
            return f"to install {package.what}: {_MANAGERS[manager]} {name}"
    return f"to install {package.what}: {package.otherwise}"
