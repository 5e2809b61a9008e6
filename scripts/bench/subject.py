"""Which installation of this package is measured."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from nativebuild.cache import lock, remove_tree
from nativebuild.report import BuildError
from nativebuild.venvs import child_environment, ensure_venv, pip_install, venv_program

from bench.peers import peers_dir

__all__ = ["Subject", "from_clone", "from_wheel"]

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Subject:
    """A Python that imports ``gpt4all``, and the environment variables it needs for that."""

    python: Path
    description: str
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        return {**child_environment(), **self.variables, **more}


def from_wheel(wheel: Path) -> Subject:
    """The wheel, installed into an environment of its own that is kept until the wheel's contents change."""
    if not wheel.is_file():
        raise BuildError(f"there is no wheel {wheel}")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]
    root = peers_dir() / f"ours-server-{digest}"
    done = root / "complete"
    with lock(root.name):
        if not done.exists():
            remove_tree(root)
            pip_install(ensure_venv(root), [f"{wheel.absolute()}[server]"], doing=f"installing {wheel.name}")
            done.touch()
    return Subject(venv_program(root, "python"), f"the wheel {wheel.name} ({digest})")


def from_clone(backend_path: Path | None = None) -> Subject:
    """This clone with the backend that is built in it, or that of another directory."""
    python = venv_program(_ROOT / ".venv", "python")
    if not python.exists():
        raise BuildError("this clone has no .venv yet", advice="Run scripts/setup, or name a wheel with --wheel.")
    variables = {"PYTHONPATH": str(_ROOT)}
    if backend_path is not None:
        variables["GPT4ALL_BACKEND_PATH"] = str(backend_path.absolute())
    return Subject(python, f"this clone, {_build_description(backend_path)}", variables)


def _build_description(backend_path: Path | None) -> str:
    directory = (backend_path or _ROOT / "gpt4all" / "_native" / "lib") / "cpu"
    try:
        record = json.loads((directory / "build.json").read_text(encoding="utf-8"))
        return f"{record['build_type']} build, variants: {record['variants']}"
    except (OSError, ValueError, KeyError):
        return f"the backend in {os.path.relpath(directory, _ROOT)}"
