"""The ``.part`` file of a download: bytes that survive a crash, and where they came from."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt4all.downloads.checksums import Expected, check_open_file
from gpt4all.downloads.http import address_key
from gpt4all.downloads.own_files import open_own, read_own, remove_foreign, write_own
from gpt4all.downloads.progress import DownloadCallback
from gpt4all.downloads.resume import usable_date, usable_etag
from gpt4all.errors import ChecksumError, DownloadError

__all__ = ["PartFile", "exclusive", "leftovers", "remove_leftovers"]

logger = logging.getLogger("gpt4all.download")

_PART, _META, _STAGED_META, _LOCK = ".part", ".part.meta", ".part.meta.new", ".part.lock"
_MAX_META_BYTES = 1 << 16
# What a file of unknown size leaves of the disk to everybody else: 1 GiB, of a small disk a twentieth.
_RESERVE = 1 << 30

_KEPT = "; what has arrived is kept, and the next call goes on from there once there is room"

# Files that a thread of this process works on. Its callbacks run there too, and would wait for themselves.
_working: dict[Path, int] = {}


def _beside(final: Path, suffix: str) -> Path:
    return final.with_name(final.name + suffix)


def leftovers(final: Path) -> list[Path]:
    """What an unfinished download of ``final`` may have left."""
    return [_beside(final, suffix) for suffix in (_PART, _META, _STAGED_META)]


def remove_leftovers(final: Path) -> None:
    """Remove what an unfinished download of ``final`` left, as far as that can be; its lock must be held."""
    for path in leftovers(final):
        try:
            path.unlink(missing_ok=True)
        except OSError as failure:
            logger.info("%s cannot be removed: %s", path, failure)


@contextlib.contextmanager
def exclusive(final: Path, *, wait: bool = True) -> Iterator[None]:
    """Let one process at a time work on ``final``.

    Another one waits for it. A killed process holds no lock.

    Raises:
        DownloadError: another one works on it and ``wait`` is false, or this very thread does: the call comes from a
            callback then.
    """
    from filelock import FileLock, Timeout

    key = Path(os.path.realpath(final.parent), final.name)
    if _working.get(key) == threading.get_ident():
        raise DownloadError(f"{final} is being downloaded right now, by the call whose callback this one comes from")
    lock = FileLock(_beside(final, _LOCK))
    try:
        remove_foreign(_beside(final, _LOCK))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise DownloadError(f"{final} is being downloaded right now") from None
            logger.info("another process is downloading %s; waiting for it", final.name)
            lock.acquire()
    except OSError as failure:
        raise unwritable(final, failure) from failure
    _working[key] = threading.get_ident()
    try:
        yield
    finally:
        del _working[key]
        if not _beside(final, _PART).exists():
            # Nothing is left to guard. Those who wait for this very file notice that it has gone and make a new one.
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                _beside(final, _LOCK).unlink()
        lock.release()


def unwritable(final: Path, failure: OSError, *, kept: bool = False) -> DownloadError:
    """What to raise for a ``failure`` to write ``final`` or what lies beside it; ``kept``: a next call can go on."""
    message = f"cannot write {final.name} in {final.parent}: {failure.strerror or failure}"
    full = failure.errno in (errno.ENOSPC, errno.EDQUOT)
    return DownloadError(message + (_KEPT if full and kept else ""))


class PartFile:
    """Bytes of ``final`` that have arrived from ``url``; a context manager.

    The meta file beside it holds the validator (``ETag`` or ``Last-Modified``) of the answer they belong to. Every
    write error is a DownloadError.
    """

    def __init__(self, final: Path, url: str, expected: Expected) -> None:
        self.final, self._source, self._expected = final, address_key(url), expected
        self._path, self._meta_path = _beside(final, _PART), _beside(final, _META)
        self._meta: dict[str, Any] = {}
        self.size = 0
        try:
            self._fd = open_own(self._path)
        except OSError as failure:
            raise unwritable(final, failure) from failure

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        empty = self._fd >= 0 and os.fstat(self._fd).st_size == 0
        useless = self._fd >= 0 and self.size > 0 and not self.resumable
        self._close()
        if empty or useless:
            self.discard()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def etag(self) -> str | None:
        """The ETag of the answer that the bytes belong to."""
        return usable_etag(self._meta.get("etag"))

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` takes: a strong ETag, or else the modification date."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return usable_date(self._meta.get("last_modified"))

    @property
    def version(self) -> tuple[str | None, ...]:
        """Differs between versions of the file, as far as its server tells them apart."""
        return self.etag, self.validator, str(self.total)

    @property
    def total(self) -> int | None:
        """The size in bytes of the whole file, when the caller or an answer has said it."""
        if self._expected.size is not None:
            return self._expected.size
        total = self._meta.get("total")
        return total if isinstance(total, int) else None

    @property
    def resumable(self) -> bool:
        """Whether more bytes of the same file can be put behind these without mixing two versions unnoticed."""
        known = self._meta.get("source") == self._source and not self._meta.get("encoded")
        return known and (self.validator is not None or bool(self._expected.hashes()))

    def load(self) -> None:
        """Take over what an earlier call left, or start empty when it is of no use."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            meta = json.loads(read_own(self._meta_path, _MAX_META_BYTES))
            self._meta = meta if isinstance(meta, dict) else {}
        size = os.fstat(self._fd).st_size
        if size == 0 or not self.resumable or (self.total is not None and size > self.total):
            self.clear()
            return
        os.lseek(self._fd, size, os.SEEK_SET)
        self.size = size
        logger.info("resuming %s at %d bytes", self.final.name, size)

    def restart(self, *, etag: str | None, last_modified: str | None, total: int | None, encoded: bool) -> None:
        """Forget all bytes; those to come belong to an answer with this validator, size and encoding."""
        self.clear()
        self._meta = {
            "source": self._source,
            "etag": etag,
            "last_modified": last_modified,
            "total": total,
            "encoded": encoded,
        }
        try:
            write_own(self._meta_path, json.dumps(self._meta).encode(), _beside(self.final, _STAGED_META))
        except OSError as failure:
            raise unwritable(self.final, failure) from failure

    def learn_total(self, total: int | None) -> None:
        """An answer has said the size of the whole file."""
        self._meta["total"] = total

    def clear(self) -> None:
        """Forget all bytes and where they came from."""
        # The bytes go before the meta data that describes them, so a kill in between leaves no bytes that lie.
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.size = 0
        self._meta = {}

    def require_space(self, arrived: int = 0) -> None:
        """Raise DownloadError when the disk has no room for the bytes still to come.

        Of a file whose size nobody says, at least the ``arrived`` ones must fit, and leave a reserve.
        """
        usage, folder = shutil.disk_usage(self.final.parent), self.final.parent
        missing = arrived if self.total is None else self.total - self.size
        if self.total is not None and missing > usage.free:
            raise DownloadError(
                f"{self.final.name} needs {missing} more bytes in {folder}, where {usage.free} are free; "
                "make room or choose another directory with model_path"
            )
        if self.total is None and missing and usage.free - missing < min(_RESERVE, usage.total // 20):
            raise DownloadError(
                f"{self.final.name}: the server does not say how large the file is, {self.size} bytes of it have come, "
                f"and {folder} has only {usage.free} free{_KEPT if self.resumable else ''}"
            )

    def append(self, block: bytes) -> None:
        """Write ``block`` behind the bytes there are."""
        if self.total is None:
            self.require_space(len(block))
        left = memoryview(block)
        while left:
            try:
                written = os.write(self._fd, left)
            except OSError as failure:
                raise unwritable(self.final, failure, kept=self.resumable) from failure
            self.size += written  # at once: the next call resumes with all that got written
            left = left[written:]

    def publish(self, *, verbose: bool, progress: DownloadCallback | None) -> None:
        """Check the size and hashes of what the disk holds, then give the file its final name.

        Raises:
            ChecksumError: they are not as expected; the part file is gone.
        """
        expected = replace(self._expected, size=self.size)
        try:
            # What has arrived is not hashed on its way: others may write to the directory, and disks err.
            with open(self._fd, "rb", buffering=0, closefd=False) as file:
                check_open_file(file, self.final.name, expected, verbose=verbose, progress=progress)
        except ChecksumError:
            self.discard()
            raise
        try:
            os.fsync(self._fd)
            self._close()
            os.replace(self._path, self.final)
            _sync_directory(self.final.parent)
        except OSError as failure:
            raise unwritable(self.final, failure, kept=True) from failure
        remove_leftovers(self.final)

    def discard(self) -> None:
        """Remove the part file and what lies beside it."""
        self._close()
        remove_leftovers(self.final)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some network file systems cannot; the rename itself has worked
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
