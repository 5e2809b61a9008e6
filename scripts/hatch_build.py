"""Wheel hook: packs the native libraries and tags the wheel for where they run.

Builds the CPU backend for this machine when no backend is built, so that
``pip install .`` works in a fresh clone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nativebuild.report import BuildError
from wheels.tag import platform_tag

_LIBRARIES = Path("gpt4all", "_native", "lib")
#: Packed by distributions of their own.
_ELSEWHERE = {"cuda"}


class NativeLibraryHook(BuildHookInterface[Any]):
    """Adds ``gpt4all/_native/lib/<backend>/*`` to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is made; ``version`` is "standard" or "editable"."""
        root = Path(self.root)
        if not self._backends(root):
            self._build_cpu(root)
        files = [path for folder in self._backends(root) for path in sorted(folder.iterdir()) if path.is_file()]
        for folder in self._backends(root):
            self._refuse_instrumented(folder)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(files)}"
        if version != "editable":
            build_data["force_include"].update({str(path): path.relative_to(root).as_posix() for path in files})

    @staticmethod
    def _backends(root: Path) -> list[Path]:
        folders = sorted((root / _LIBRARIES).glob("[!.]*"))
        folders = [path for path in folders if path.name not in _ELSEWHERE]
        return [path for path in folders if any(path.glob(f"*gpt4all-{path.name}.*"))]

    @staticmethod
    def _build_cpu(root: Path) -> None:
        command = [sys.executable, str(root / "scripts" / "commands"), "build", "cpu", "--native"]
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            raise BuildError("the CPU backend could not be built; the reason stands above")

    @staticmethod
    def _refuse_instrumented(folder: Path) -> None:
        """A library that only loads under a sanitizer's runtime must not look like an installed package."""
        record = folder / "build.json"
        if record.exists() and (kind := json.loads(record.read_text(encoding="utf-8")).get("sanitize")):
            raise BuildError(
                f"{folder} was built with --sanitize {kind}",
                advice=f"Build it again without: ./build_backends.sh {folder.name}",
            )
