"""Packs the cuda backend that ``build_backends.sh cuda`` has built, and depends on the CUDA it was built with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from nativebuild.report import BuildError  # noqa: E402
from wheels.tag import platform_tag  # noqa: E402

_LIBRARIES = ROOT / "gpt4all" / "_native" / "lib" / "cuda"
_ADVICE = "./build_backends.sh cuda --variants all"


def _record() -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((_LIBRARIES / "build.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise BuildError("the cuda backend is not built", advice=_ADVICE) from error
    if kind := record.get("sanitize"):
        raise BuildError(f"the cuda backend was built with --sanitize {kind}", advice=_ADVICE)
    return record


def nvidia_requirements(cuda: str) -> list[str]:
    """The wheels that bring the runtime and cuBLAS of CUDA ``cuda`` ("13.0") or a newer one that serves as well."""
    major, minor = (int(part) for part in cuda.split("."))
    # From CUDA 13 on the names have no version.
    suffix = "" if major >= 13 else f"-cu{major}"
    return [f"{name}{suffix}>={major}.{minor},<{major + 1}" for name in ("nvidia-cuda-runtime", "nvidia-cublas")]


class DependencyHook(MetadataHookInterface):
    """Adds the dependencies."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling; ``metadata`` is the project table."""
        metadata["dependencies"] = [f"gpt4all=={metadata['version']}", *nvidia_requirements(_record()["cuda"])]


class LibraryHook(BuildHookInterface[Any]):
    """Adds ``gpt4all_cuda/lib/*`` to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is made."""
        _record()
        files = sorted(path for path in _LIBRARIES.iterdir() if path.is_file())
        notices = [ROOT / "LICENSE", ROOT / "THIRD_PARTY_NOTICES"]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(files)}"
        build_data["force_include"].update({str(path): f"gpt4all_cuda/lib/{path.name}" for path in files})
        build_data["force_include"].update({str(path): f"gpt4all_cuda/{path.name}" for path in notices})
