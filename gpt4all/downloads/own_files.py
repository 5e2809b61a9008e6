"""Files of our own in folders that others may write to: never through a link, never waiting for a device."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

__all__ = ["open_own", "open_regular", "read_own", "remove_foreign", "write_own"]

# Without O_NONBLOCK, opening a FIFO waits for somebody at its other end. Windows has only O_BINARY of these.
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def remove_foreign(path: Path) -> None:
    """Remove ``path`` where it is no plain file, or one with a second name elsewhere (a hard link): none of our own."""
    with contextlib.suppress(FileNotFoundError):
        if not _is_own(os.lstat(path)):
            os.unlink(path)


def open_own(path: Path) -> int:
    """A descriptor for reading and writing the file ``path``, created where there is none of our own."""
    remove_foreign(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | _CAREFULLY, 0o666)
    if _is_own(os.fstat(fd)):
        return fd
    os.close(fd)
    raise OSError(errno.EEXIST, "something else than a file appeared there", str(path))


def open_regular(path: Path, *, follow: bool = True) -> int:
    """A descriptor for reading ``path``, where ``follow`` also at the end of a link.

    Raises:
        OSError: it is no plain file.
    """
    flags = _CAREFULLY & ~getattr(os, "O_NOFOLLOW", 0) if follow else _CAREFULLY
    linked = not follow and stat.S_ISLNK(os.lstat(path).st_mode)  # Windows knows no O_NOFOLLOW
    fd = os.open(path, os.O_RDONLY | flags)
    if not linked and stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_own(path: Path, limit: int) -> bytes:
    """The bytes of the small file ``path``.

    Raises:
        OSError: it is a link, no plain file, or has more than ``limit`` bytes.
    """
    with open(open_regular(path, follow=False), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def write_own(path: Path, data: bytes, staged: Path) -> None:
    """Give ``path`` the content ``data`` in one step, by way of the new file ``staged`` beside it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o666), "wb") as file:
        file.write(data)
    os.replace(staged, path)


def _is_own(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1
