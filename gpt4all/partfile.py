"""The `.part` file of a download: bytes that survive a crash, and where they came from."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt4all.digests import Digests, Expected
from gpt4all.errors import DownloadError
from gpt4all.progress import DownloadCallback, Reporter

__all__ = ["PartFile", "exclusive", "leftovers", "remove_leftovers"]

logger = logging.getLogger("gpt4all.download")

_PART, _META, _STAGED_META, _LOCK = ".part", ".part.meta", ".part.meta.new", ".part.lock"


def _beside(final: Path, suffix: str) -> Path:
    return final.with_name(final.name + suffix)


def leftovers(final: Path) -> list[Path]:
    """What an unfinished download of `final` may have left."""
    return [_beside(final, suffix) for suffix in (_PART, _META, _STAGED_META)]


def remove_leftovers(final: Path) -> None:
    """Remove what an unfinished download of `final` left; its lock must be held."""
    for path in leftovers(final):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(final: Path, *, wait: bool = True) -> Iterator[None]:
    """Let one process at a time work on `final`.

    Another one waits for it, or raises DownloadError when `wait` is false. A killed process holds no lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(_beside(final, _LOCK))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise DownloadError(f"{final} is being downloaded right now") from None
            logger.info("another process is downloading %s; waiting for it", final.name)
            lock.acquire()
    except OSError as failure:
        raise unwritable(final, failure) from failure
    try:
        yield
    finally:
        if not _beside(final, _PART).exists():
            # Nothing is left to guard. Those who wait for this very file notice that it has gone and make a new one.
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                _beside(final, _LOCK).unlink()
        lock.release()


def unwritable(final: Path, failure: OSError) -> DownloadError:
    """What to raise for a `failure` to write `final` or what lies beside it."""
    message = f"cannot write {final.name} in {final.parent}: {failure.strerror or failure}"
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        message += "; what has arrived is kept, and the next call goes on from there once there is room"
    return DownloadError(message)


class PartFile:
    """Bytes of `final` that have arrived from `url`, hashed as they come; a context manager.

    The meta file beside it holds the validator (`ETag` or `Last-Modified`) of the answer they belong to. Every write
    error is a DownloadError.
    """

    def __init__(self, final: Path, url: str, expected: Expected) -> None:
        self.final, self._url, self._expected = final, url, expected
        self._path, self._meta_path = _beside(final, _PART), _beside(final, _META)
        self._meta: dict[str, Any] = {}
        self._digests = Digests(expected)
        self.size = 0
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as failure:
            raise unwritable(final, failure) from failure

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *_: object) -> None:
        # Asked of the disk: an interrupt while old bytes are hashed leaves `size` at 0.
        empty = self._fd >= 0 and os.fstat(self._fd).st_size == 0
        self._close()
        if empty:
            self.discard()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def etag(self) -> str | None:
        """The ETag of the answer that the bytes belong to."""
        etag = self._meta.get("etag")
        return etag if isinstance(etag, str) else None

    @property
    def validator(self) -> str | None:
        """What `If-Range` takes: a strong ETag, or else the modification date."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        modified = self._meta.get("last_modified")
        return modified if isinstance(modified, str) else None

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
        known = self._meta.get("url") == self._url and not self._meta.get("encoded")
        return known and (self.validator is not None or bool(self._expected.hashes()))

    def load(self, *, verbose: bool, progress: DownloadCallback | None) -> None:
        """Take over what an earlier call left, hashing it first, or start empty when it is of no use."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            meta = json.loads(self._meta_path.read_text(encoding="utf-8"))
            self._meta = meta if isinstance(meta, dict) else {}
        size = os.fstat(self._fd).st_size
        if size == 0 or not self.resumable or (self.total is not None and size > self.total):
            self.clear()
            return
        if self._expected.hashes():
            name = self.final.name
            with Reporter(name, "verifying", verbose=verbose, progress=progress, total=size) as reporter:
                self._digests.feed(self._path, size, reporter)
        os.lseek(self._fd, size, os.SEEK_SET)
        self.size = size
        logger.info("resuming %s at %d bytes", self.final.name, size)

    def restart(self, *, etag: str | None, last_modified: str | None, total: int | None, encoded: bool) -> None:
        """Forget all bytes; those to come belong to an answer with this validator, size and encoding."""
        self.clear()
        self._meta = {
            "url": self._url,
            "etag": etag,
            "last_modified": last_modified,
            "total": total,
            "encoded": encoded,
        }
        staged = _beside(self.final, _STAGED_META)
        try:
            staged.write_text(json.dumps(self._meta), encoding="utf-8")
            os.replace(staged, self._meta_path)
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
        self._digests = Digests(self._expected)

    def require_space(self) -> None:
        """Raise DownloadError when the disk has no room for the bytes still to come."""
        if self.total is None:
            return
        free, missing = shutil.disk_usage(self.final.parent).free, self.total - self.size
        if missing > free:
            raise DownloadError(
                f"{self.final.name} needs {missing} more bytes in {self.final.parent}, where {free} are free; "
                "make room or choose another directory with model_path"
            )

    def append(self, block: bytes) -> None:
        """Write `block` behind the bytes there are."""
        left = memoryview(block)
        while left:
            try:
                written = os.write(self._fd, left)
            except OSError as failure:
                # What did get written counts, so that the next call resumes with all of it.
                self._digests.update(block[: len(block) - len(left)])
                raise unwritable(self.final, failure) from failure
            self.size += written
            left = left[written:]
        self._digests.update(block)

    def publish(self) -> None:
        """Check size and hashes, then give the file its final name, all of it on the disk first.

        A mismatch removes the part file and raises ChecksumError.
        """
        try:
            self._digests.check(self.final.name, self.size)
        except DownloadError:
            self.discard()
            raise
        try:
            os.fsync(self._fd)
            self._close()
            os.replace(self._path, self.final)
            _sync_directory(self.final.parent)
        except OSError as failure:
            raise unwritable(self.final, failure) from failure
        remove_leftovers(self.final)

    def discard(self) -> None:
        """Remove the part file and its meta file."""
        self._close()
        for path in (self._path, self._meta_path):
            path.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some network file systems cannot; the rename itself has worked
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
