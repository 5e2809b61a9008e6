"""How this copy of the package came here, and so which command puts it right.

No command names the package without its version: the newest one on the index is not this one's successor.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt4all._version import __version__

if TYPE_CHECKING:
    from importlib import metadata

_PACKAGE = Path(__file__).resolve().parents[1]


def requirement(extra: str = "", distribution: str = "gpt4all") -> str:
    """What an installer is to be asked for, in quotes that every shell takes."""
    return f'"{distribution}{extra and f"[{extra}]"}=={__version__}"'


def repair(backend: str, package: Path = _PACKAGE) -> str:
    """What to do where ``package``, this package's directory, has no usable library of ``backend``."""
    # Not Path.is_file(), which fails where a folder may not be entered: a server may have given up its rights since.
    archive = next((parent for parent in package.parents if os.path.isfile(parent)), None)
    if archive is not None:
        return (
            f"unpack {archive}: no system loads libraries out of a zip file. Or set GPT4ALL_BACKEND_PATH to a "
            f"directory with the library in its subdirectory {backend}"
        )
    if getattr(sys, "frozen", False):
        return (
            f"make the program again where gpt4all has its {backend} backend, with the files of gpt4all/_native/lib in "
            "it (PyInstaller takes them by itself)"
        )
    if os.path.isfile(package.parent / "build_backends.sh"):
        return f"build it: cd {shlex.quote(str(package.parent))} && ./build_backends.sh {backend}"
    distribution = _distribution(package)
    clone = None if distribution is None else _clone(distribution.read_text("direct_url.json"))
    if distribution is not None and clone is not None and backend != "cpu":
        return (
            f"build it in the clone that this package was installed from, and install that again (cd "
            f"{shlex.quote(str(clone))} && ./build_backends.sh {backend} && {_command(distribution)} --no-deps .)"
        )
    if not _in_wheels(backend):
        return f"{_build(backend)}; no wheel for this platform has it"
    if backend == "cuda":
        newest, older = (requirement(distribution=f"gpt4all-cuda{major}") for major in (13, 12))
        return f"install it (pip install {newest}, or {older} for drivers older than 580), or {_build(backend)}"
    return f"{_reinstall(package, distribution)}, or {_build(backend)}"


@dataclass(frozen=True)
class Installed:
    """What an installer wrote down."""

    installer: str
    editable: bool


def installed_as(package: Path = _PACKAGE) -> Installed | None:
    """How ``package`` was installed, ``None`` where no installer put it there."""
    # Slow to import, and seldom wanted.
    from importlib import metadata

    try:
        distribution = metadata.distribution("gpt4all")
    except metadata.PackageNotFoundError:
        return None
    address = distribution.read_text("direct_url.json")
    editable = _is_editable(address) and _clone(address) == package.parent
    # Another copy may be installed than the one that runs.
    return Installed(_installer(distribution), editable) if editable or _distribution(package) is not None else None


def _is_editable(direct_url: str | None) -> bool:
    try:
        return json.loads(direct_url or "{}")["dir_info"]["editable"] is True
    except (ValueError, KeyError, TypeError):
        return False


def _build(backend: str) -> str:
    return f"build it in a clone of the sources and install that: ./build_backends.sh {backend}"


def _in_wheels(backend: str) -> bool:
    """Whether a wheel for this platform has it: one of gpt4all, or one beside it."""
    # Slow to import, and seldom wanted.
    import platform

    if backend not in ("kompute", "cuda"):
        return True
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return platform.libc_ver()[0] == "glibc" if sys.platform == "linux" else backend == "kompute"


def _distribution(package: Path) -> metadata.Distribution | None:
    """What ``package`` was installed as, if it was."""
    # Slow to import, and seldom wanted.
    from importlib import metadata

    try:
        distribution = metadata.distribution("gpt4all")
    except metadata.PackageNotFoundError:
        return None
    # Another copy may be installed than the one that runs.
    return distribution if Path(str(distribution.locate_file("gpt4all"))).resolve() == package else None


def _reinstall(package: Path, distribution: metadata.Distribution | None) -> str:
    if distribution is None:
        return f"put a whole gpt4all {__version__} in the place of {package}, which no installer put there"
    installer = _installer(distribution)
    if installer not in ("pip", "uv"):
        return f"install gpt4all {__version__} again with {installer[:40]}"
    source = _source(distribution.read_text("direct_url.json"))
    return f"install the package again ({_command(distribution)} --no-deps {source})"


def _installer(distribution: metadata.Distribution) -> str:
    return (distribution.read_text("INSTALLER") or "pip").strip()


def _command(distribution: metadata.Distribution) -> str:
    return "uv pip install --reinstall" if _installer(distribution) == "uv" else "pip install --force-reinstall"


def _clone(direct_url: str | None) -> Path | None:
    """The clone of the sources on this machine that was installed, if it is still there."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        address = urlsplit(str(json.loads(direct_url or "{}")["url"]))
        folder = Path(url2pathname(address.path))
        return folder if address.scheme == "file" and os.path.isfile(folder / "build_backends.sh") else None
    except (ValueError, KeyError, TypeError):
        return None


def _source(direct_url: str | None) -> str:
    """What was installed: a file or a repository, as the installer wrote it down, else this version from the index."""
    try:
        origin = json.loads(direct_url or "{}")
        vcs = origin.get("vcs_info")
        url = str(origin["url"])
        return shlex.quote(f"gpt4all @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url)
    except (ValueError, KeyError, TypeError, AttributeError):
        return requirement()
