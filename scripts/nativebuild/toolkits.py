"""What a backend's build needs besides a compiler, each found by a module of its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

from nativebuild import cuda, vulkan
from nativebuild.options import Backend, BuildOptions
from nativebuild.toolkit import Toolkit
from nativebuild.tools import Compilers

__all__ = ["find_toolkit"]

# What llama.cpp's own releases for macOS name; Metal's features are asked for at run time.
_OLDEST_MACOS = "13.3"


def _metal(options: BuildOptions, compilers: Compilers, engine: Path) -> Toolkit:
    target = os.environ.get("MACOSX_DEPLOYMENT_TARGET", _OLDEST_MACOS)
    return Toolkit(
        f"Metal for macOS {target}",
        {"CMAKE_OSX_DEPLOYMENT_TARGET": target, "CMAKE_OSX_ARCHITECTURES": platform.machine()},
    )


_FINDERS: dict[str, Callable[[BuildOptions, Compilers, Path], Toolkit]] = {
    "kompute": vulkan.find_vulkan,
    "cuda": cuda.find_cuda,
    "metal": _metal,
}


def find_toolkit(backend: Backend, options: BuildOptions, compilers: Compilers, engine: Path) -> Toolkit:
    """The toolkit of that backend, fetched where that is possible; an empty one where it needs none.

    Raises:
        BuildError: names what is missing and how to install it.
    """
    finder = _FINDERS.get(backend.name)
    return finder(options, compilers, engine) if finder is not None else Toolkit()
