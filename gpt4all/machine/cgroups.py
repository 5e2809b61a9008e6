"""The Linux control groups that a process is in, whose limits all hold: its own and those around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def folders(controller: str, root: Path = _ROOT) -> Iterator[tuple[int, Path]]:
    """The folders with the limits of ``controller``, the process's own first, each with its version, 1 or 2.

    A group whose folder cannot be seen, as in some containers, is left out; the groups around it still count.
    """
    groups = dict(_groups(controller, root))
    for version, mounted, mount_point in _mounts(controller, root):
        if version not in groups:
            continue
        try:
            inner = PurePosixPath(groups[version]).relative_to(mounted)
        except ValueError:
            # Seen from a container, a group may have the name it has outside; the mount is all there is of it then.
            inner = PurePosixPath()
        if ".." in inner.parts:
            inner = PurePosixPath()
        for group in (inner, *inner.parents):
            folder = root / mount_point.lstrip("/") / group
            if folder.is_dir():
                yield version, folder


def _groups(controller: str, root: Path) -> Iterator[tuple[int, str]]:
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            yield 2, path
        elif controller in controllers.split(","):
            yield 1, path


def _mounts(controller: str, root: Path) -> Iterator[tuple[int, str, str]]:
    """Version, which group is mounted, and where."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        where, what = before.split(), after.split()
        if len(where) < 5 or len(what) < 3:
            continue
        if what[0] == "cgroup2":
            yield 2, where[3], where[4]
        elif what[0] == "cgroup" and controller in what[2].split(","):
            yield 1, where[3], where[4]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
