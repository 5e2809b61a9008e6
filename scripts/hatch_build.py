"""Wheel hook: packs the native libraries and tags the wheel for where they run.

Builds the CPU backend for this machine when no backend is built, so that
``pip install .`` works in a fresh clone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nativebuild.report import BuildError, explained
from wheels.sbom import write_bill
from wheels.tag import platform_tag

_LIBRARIES = Path("gpt4all", "_native", "lib")
#: Names a folder with the backends of another platform; ``scripts/dev wheels`` sets it.
_OTHER_LIBRARIES = "GPT4ALL_WHEEL_LIBRARIES"
#: Packed by distributions of their own.
_ELSEWHERE = {"cuda"}


class NativeLibraryHook(BuildHookInterface[Any]):
    """Adds ``gpt4all/_native/lib/<backend>/*`` to the wheel."""

    PLUGIN_NAME = "custom"

    @explained()
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is made; ``version`` is "standard" or "editable"."""
        root = Path(self.root)
        libraries = Path(os.environ.get(_OTHER_LIBRARIES) or root / _LIBRARIES)
        if not self._backends(libraries):
            self._build_cpu(root)
        folders = self._backends(libraries)
        files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
        records = [self._record(folder) for folder in folders]
        tag = platform_tag(files)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        if version != "editable":
            build_data["force_include"].update(
                {str(path): (_LIBRARIES / path.relative_to(libraries)).as_posix() for path in files}
            )
            bill = write_bill(self, self.metadata.version, tag, records)
            build_data.setdefault("sbom_files", []).append(bill)

    @staticmethod
    def _backends(libraries: Path) -> list[Path]:
        folders = sorted(libraries.glob("[!.]*"))
        folders = [path for path in folders if path.name not in _ELSEWHERE]
        return [path for path in folders if any(path.glob(f"*gpt4all-{path.name}.*"))]

    @staticmethod
    def _build_cpu(root: Path) -> None:
        command = [sys.executable, str(root / "scripts" / "commands"), "build", "cpu", "--native"]
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            raise BuildError("the CPU backend could not be built; the reason stands above")

    @staticmethod
    def _record(folder: Path) -> dict[str, Any]:
        """How the backend was built. One that only loads under a sanitizer's runtime must not look like installed."""
        path = folder / "build.json"
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if kind := record.get("sanitize"):
            raise BuildError(
                f"{folder} was built with --sanitize {kind}",
                advice=f"Build it again without: ./build_backends.sh {folder.name}",
            )
        return record
