"""How this copy of the package came here, and so which command puts it right.

No command names the package without its version: the newest one on the index is not this one's successor.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from gpt4all._version import __version__

_PACKAGE = Path(__file__).resolve().parents[1]


def requirement(extra: str = "", distribution: str = "gpt4all") -> str:
    """What an installer is to be asked for, in quotes that every shell takes."""
    return f'"{distribution}{extra and f"[{extra}]"}=={__version__}"'


def repair(backend: str, package: Path = _PACKAGE) -> str:
    """What to do where ``package``, this package's directory, has no usable library of ``backend``."""
    archive = next((parent for parent in package.parents if parent.is_file()), None)
    if archive is not None:
        return (
            f"unpack {archive}: no system loads libraries out of a zip file. Or set GPT4ALL_BACKEND_PATH to a "
            f"directory with the library in its subdirectory {backend}"
        )
    if getattr(sys, "frozen", False):
        return "make the program again with the files of gpt4all/_native/lib in it (PyInstaller: --collect-all gpt4all)"
    if (package.parent / "build_backends.sh").is_file():
        return f"build it: cd {shlex.quote(str(package.parent))} && ./build_backends.sh {backend}"
    if backend == "cuda":
        return f"install it (pip install {requirement(distribution='gpt4all-cuda')}), {_or_build(backend)}"
    return f"{_reinstall(package)}, {_or_build(backend)}"


def _or_build(backend: str) -> str:
    return f"or build it in a clone of the sources and install that: ./build_backends.sh {backend}"


def _reinstall(package: Path) -> str:
    # Slow to import, and seldom wanted.
    from importlib import metadata

    try:
        distribution = metadata.distribution("gpt4all")
        # Another copy may be installed than the one that runs.
        if Path(str(distribution.locate_file("gpt4all"))).resolve() != package:
            raise metadata.PackageNotFoundError
    except metadata.PackageNotFoundError:
        return f"put a whole gpt4all {__version__} in the place of {package}, which no installer put there"
    installer = (distribution.read_text("INSTALLER") or "pip").strip()
    if installer not in ("pip", "uv"):
        return f"install gpt4all {__version__} again with {installer[:40]}"
    command = "uv pip install --reinstall" if installer == "uv" else "pip install --force-reinstall"
    return f"install the package again ({command} --no-deps {_source(distribution.read_text('direct_url.json'))})"


def _source(direct_url: str | None) -> str:
    """What was installed: a file or a repository, as the installer wrote it down, else this version from the index."""
    try:
        origin = json.loads(direct_url or "{}")
        vcs = origin.get("vcs_info")
        url = str(origin["url"])
        return shlex.quote(f"gpt4all @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url)
    except (ValueError, KeyError, TypeError, AttributeError):
        return requirement()
