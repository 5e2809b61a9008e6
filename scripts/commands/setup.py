"""Sets the clone up for work: ``.venv`` with the package in it, and the CPU backend built.

Fast where nothing changed, and without network then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nativebuild.build import BUILD_RECORD, INSTALL_ROOT, build_backend
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.venvs import ensure_venv, pip_install

__all__ = ["EXTRAS", "main", "set_up"]

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("bench", "corpora", "dev", "docs", "test", "test-models")
_INCLUDED = {"dev": {"bench", "docs", "test", "test-models"}}
_VENV = ROOT / ".venv"
_STAMP = _VENV / "gpt4all-setup.json"


def set_up(extras: Sequence[str] = ()) -> Path:
    """Build what has to be built, install what has to be installed; return the environment's Python."""
    build_backend(BACKENDS["cpu"], _present_options())
    python = ensure_venv(_VENV)
    wanted = set(extras)
    facts = f"{_project_hash()} {ROOT} {os.path.realpath(python)} {sys.version}"
    have = _installed_extras(facts)
    if have is not None:
        if wanted <= have.union(*(_INCLUDED.get(extra, ()) for extra in have)):
            return python
        wanted |= have
    target = str(ROOT) + (f"[{','.join(sorted(wanted))}]" if wanted else "")
    pip_install(python, ["--editable", target], doing=f"installing the package into {_VENV.name} ({_names(wanted)})")
    _STAMP.write_text(json.dumps({"facts": facts, "extras": sorted(wanted)}), encoding="utf-8")
    return python


def _names(extras: set[str]) -> str:
    return f"with the extras {', '.join(sorted(extras))}" if extras else "without extras"


def _present_options() -> BuildOptions:
    """The way the backend that is there was built, so that setting up does not replace one built otherwise."""
    try:
        record = json.loads((INSTALL_ROOT / "cpu" / BUILD_RECORD).read_text(encoding="utf-8"))
        return BuildOptions(record["variants"], record["build_type"] == "Debug")
    except (OSError, ValueError, KeyError, TypeError):
        return BuildOptions()


def _project_hash() -> str:
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "gpt4all/_version.py", "scripts/hatch_build.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _installed_extras(facts: str) -> set[str] | None:
    """The extras of the last set-up, if it still stands for these facts."""
    try:
        stamp = json.loads(_STAMP.read_text(encoding="utf-8"))
        return set(stamp["extras"]) if stamp["facts"] == facts else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up, with what the arguments name."""
    parser = argparse.ArgumentParser(
        prog="scripts/setup",
        description="Build the CPU backend and install the package, editable, into .venv; quick where nothing changed.",
    )
    parser.add_argument("extra", nargs="*", metavar="EXTRA", help=f"what else to install: {', '.join(EXTRAS)}")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.extra) - set(EXTRAS)):
        parser.error(f"unknown extra {unknown[0]!r}; known: {', '.join(EXTRAS)}")
    set_up(options.extra)
    return 0
