"""The build cache: where it is, who may write to it, and how much fits."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from nativebuild.report import BuildError, say

__all__ = ["cache_dir", "lock", "remove_tree", "require_space"]


def cache_dir() -> Path:
    """``$GPT4ALL_BUILD_CACHE``, or the user's cache directory; made if missing."""
    override = os.environ.get("GPT4ALL_BUILD_CACHE")
    if override:
        path = Path(override).expanduser().absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME")
        path = (Path(base) if base else Path.home() / ".cache") / "gpt4all-build"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"cannot use the build cache {path}: {error.strerror}",
            advice="Set GPT4ALL_BUILD_CACHE to a directory you can write to.",
        ) from error
    return path


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the cache's lock of that name; two builds of the same thing wait for each other."""
    directory = cache_dir() / "locks"
    directory.mkdir(exist_ok=True)
    with (directory / f"{name}.lock").open("a+b") as handle:
        if not _try_lock(handle.fileno()):
            say(f"waiting for another build to let go of {name}")
            _wait_lock(handle.fileno())
        yield  # closing the file gives the lock back, also when the process dies


if sys.platform == "win32":
    import msvcrt
    import time

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _wait_lock(descriptor: int) -> None:
        while not _try_lock(descriptor):
            time.sleep(0.5)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def require_space(directory: Path, needed_bytes: int, purpose: str) -> None:
    """Fail before a long job starts that the disk could not hold."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise BuildError(
            f"{purpose} needs {needed_bytes / 1e9:.1f} GB of disk space, but {directory} has {free / 1e9:.1f} GB left",
            advice="Free some space, or set GPT4ALL_BUILD_CACHE to a directory on another disk.",
        )


def remove_tree(path: Path) -> None:
    """Remove a directory; what is not there is no error."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
