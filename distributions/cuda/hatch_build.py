"""Hooks of ``gpt4all-cuda12`` and ``gpt4all-cuda13``: pack the backend that ``build_backends.sh cuda`` has built."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from nativebuild.report import BuildError, explained  # noqa: E402
from wheels.sbom import write_bill  # noqa: E402
from wheels.tag import platform_tag  # noqa: E402

_LIBRARIES = ROOT / "gpt4all" / "_native" / "lib" / "cuda"
_ADVICE = "With its nvcc: CUDACXX=/path/to/nvcc ./build_backends.sh cuda --variants all"
_REPOSITORY = "https://github.com/nomic-ai/gpt4all"
_CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Operating System :: Microsoft :: Windows",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3 :: Only",
]


def cuda_major(distribution: str) -> int:
    """13 for ``gpt4all-cuda13``, however its name is written."""
    found = re.fullmatch(r"gpt4all[-_.]cuda(\d+)", distribution)
    if found is None:
        raise BuildError(f"{distribution} is no distribution of a CUDA backend")
    return int(found[1])


def built(major: int) -> dict[str, Any]:
    """What the backend's record says, whose "cuda" is "13.0" or the like; an error for another major version."""
    try:
        record: dict[str, Any] = json.loads((_LIBRARIES / "build.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise BuildError("the cuda backend is not built", advice=_ADVICE) from error
    if kind := record.get("sanitize"):
        raise BuildError(f"the cuda backend was built with --sanitize {kind}", advice=_ADVICE)
    version = str(record["cuda"])
    if version.partition(".")[0] != str(major):
        raise BuildError(f"the cuda backend was built with CUDA {version}, and {major} is wanted", advice=_ADVICE)
    return record


def nvidia_requirements(cuda: str) -> list[str]:
    """The wheels that bring the runtime and cuBLAS of CUDA ``cuda`` ("13.0") or a newer one that serves as well."""
    major, minor = (int(part) for part in cuda.split("."))
    # From CUDA 13 on the names have no version.
    suffix = "" if major >= 13 else f"-cu{major}"
    return [f"{name}{suffix}>={major}.{minor},<{major + 1}" for name in ("nvidia-cuda-runtime", "nvidia-cublas")]


class CudaMetadataHook(MetadataHookInterface):
    """Adds what stands in no ``pyproject.toml``."""

    PLUGIN_NAME = "custom"

    @explained()
    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling; ``metadata`` is the project table."""
        major = cuda_major(metadata["name"])
        metadata |= {
            "description": f"The CUDA {major} backend of gpt4all",
            "readme": {
                "content-type": "text/markdown",
                "text": (HERE / "README.md").read_text(encoding="utf-8"),
            },
            "requires-python": ">=3.10",
            "license": "MIT",
            "authors": [{"name": "The gpt4all contributors"}],
            "classifiers": [*_CLASSIFIERS, f"Environment :: GPU :: NVIDIA CUDA :: {major}"],
            "urls": {"Repository": _REPOSITORY, "Issues": f"{_REPOSITORY}/issues"},
            "entry-points": {"gpt4all.backends": {"cuda": f"gpt4all_cuda{major}:library_directory"}},
            # Library and package speak one version of the interface.
            "dependencies": [f"gpt4all=={metadata['version']}", *nvidia_requirements(built(major)["cuda"])],
        }


class CudaLibraryHook(BuildHookInterface[Any]):
    """Adds ``gpt4all_cuda13/lib/*`` to the wheel, and the module that says where that is."""

    PLUGIN_NAME = "custom"

    @explained()
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is made."""
        major = cuda_major(self.metadata.name)
        record = built(major)
        package = f"gpt4all_cuda{major}"
        files = sorted(path for path in _LIBRARIES.iterdir() if path.is_file())
        notices = [ROOT / "LICENSE", ROOT / "THIRD_PARTY_NOTICES"]
        build_data["pure_python"] = False
        tag = platform_tag(files)
        build_data["tag"] = f"py3-none-{tag}"
        bill = write_bill(self, self.metadata.version, tag, [record], self.metadata.name)
        build_data.setdefault("sbom_files", []).append(bill)
        build_data["force_include"] |= {
            str(HERE / "package.py"): f"{package}/__init__.py",
            **{str(path): f"{package}/lib/{path.name}" for path in files},
            **{str(path): f"{package}/{path.name}" for path in notices},
        }
