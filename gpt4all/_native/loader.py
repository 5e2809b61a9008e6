"""Finds a backend's library, loads it, and says in full why that failed."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpt4all._native import abi
from gpt4all._native.prototypes import bind
from gpt4all.errors import BackendLoadError

#: Entry points of separate distributions; each names a directory, or a
#: function that returns one, with a ``libgpt4all-<backend>`` inside.
ENTRY_POINT_GROUP = "gpt4all.backends"
#: Directories searched first, each with a subdirectory for a backend.
SEARCH_PATH_VARIABLE = "GPT4ALL_BACKEND_PATH"

_SUFFIXES = {"win32": ".dll", "darwin": ".dylib"}
#: The program headers of a shared library stand right behind its first header.
_ELF_HEAD = 4096
_ELF_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}

_loaded: dict[str, Library] = {}
# An RLock, as a finalizer or a signal handler may ask for another library meanwhile.
_lock = threading.RLock()


def lock() -> threading.RLock:
    """The one that is held while a library is loaded and made ready."""
    return _lock


def _renew_lock() -> None:
    # Another thread may have held it when this process was forked, and that thread is not here.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True)
class Candidate:
    """A place where a backend's library may be."""

    path: Path
    origin: str


@dataclass(frozen=True, eq=False)
class Library:
    """A loaded library, ready to be called."""

    backend: str
    path: Path
    cdll: ctypes.CDLL


def library_file_name(backend: str) -> str:
    return f"libgpt4all-{backend}{_SUFFIXES.get(sys.platform, '.so')}"


def candidates(backend: str) -> Iterator[Candidate]:
    """Every place to look for ``backend``, best first; none need exist."""
    name = library_file_name(backend)
    for directory in filter(None, os.environ.get(SEARCH_PATH_VARIABLE, "").split(os.pathsep)):
        yield Candidate(Path(directory, backend, name), SEARCH_PATH_VARIABLE)
    yield Candidate(Path(__file__).parent / "lib" / backend / name, "gpt4all package")
    # Slow to import, and seldom reached.
    import importlib.metadata

    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=backend)
    # Of gpt4all-cuda12 and gpt4all-cuda13 the newer one first, which an old driver does not serve.
    for point in sorted(points, key=lambda point: point.value, reverse=True):
        distribution = point.dist.name if point.dist is not None else point.value
        try:
            directory = point.load()
            yield Candidate(Path(os.fspath(directory() if callable(directory) else directory), name), distribution)
        except Exception as error:  # a broken third-party package must not hide the other candidates
            yield Candidate(Path(point.value), f"{distribution}, which failed: {error}")


def load(backend: str) -> Library:
    """The library of ``backend``, loaded once per process.

    Raises:
        BackendLoadError: lists every candidate and why each failed.
    """
    with _lock:
        if backend in _loaded:
            return _loaded[backend]
        failures = []
        advised = False
        for candidate in candidates(backend):
            try:
                loaded = _load_library(backend, candidate.path)
            except BackendLoadError as error:
                failures.append(f"  - {candidate.path} ({candidate.origin}): {error}")
                advised = advised or isinstance(error, _DependencyError)
            else:
                _loaded[backend] = loaded
                return loaded
        raise BackendLoadError(_failure_message(backend, failures, advised))


class _DependencyError(BackendLoadError):
    """The library is all right, but lacks something that the message says how to get."""


def _failure_message(backend: str, failures: list[str], advised: bool) -> str:
    lines = [f"the {backend!r} backend could not be loaded; tried", *failures]
    if not advised:
        from gpt4all._native import install_hints

        hint = install_hints.for_backend(backend)
        lines.append(f"To repair this, {hint}." if hint else "This installation has no such backend.")
    return "\n".join(lines)


def _load_library(backend: str, path: Path) -> Library:
    try:
        if not path.is_file():
            raise BackendLoadError("no such file")
        _check_elf(path)
    except OSError as error:
        raise BackendLoadError(f"it cannot be read: {error.strerror or error}") from error
    if backend == "cuda":
        from gpt4all._native import cuda_runtime

        try:
            cuda_runtime.prepare(path.parent)
        except BackendLoadError as error:
            raise _DependencyError(str(error)) from error
    try:
        cdll = ctypes.CDLL(str(path), mode=_load_mode())
    except OSError as error:
        raise _explained(error) from error
    try:
        version = int(cdll.gpt4all_abi_version())
    except AttributeError:
        raise BackendLoadError("not a gpt4all backend library (no gpt4all_abi_version)") from None
    if version != abi.ABI_VERSION:
        raise BackendLoadError(
            f"built for version {version} of the interface, but this package needs version {abi.ABI_VERSION}; "
            "package and library must come from the same release"
        )
    try:
        bind(cdll)
    except AttributeError as error:
        raise BackendLoadError(f"incomplete library: {error}") from error
    try:
        cdll.gpt4all_init()
    except BackendLoadError as error:
        # A part that is loaded only now may lack the driver's library.
        raise _explained(error) from error
    return Library(backend, path, cdll)


def _explained(error: Exception) -> BackendLoadError:
    """The dynamic linker's message, with how to install what it misses."""
    from gpt4all._native import install_hints

    hint = install_hints.for_dependency(str(error))
    return BackendLoadError(str(error)) if hint is None else _DependencyError(f"{error}; {hint}")


def _load_mode() -> int:
    # A sanitizer's runtime, libasan.so or libclang_rt.asan-x86_64.so, does not bear the flag.
    if sys.platform != "linux" or "san" in os.environ.get("LD_PRELOAD", ""):
        return ctypes.DEFAULT_MODE
    # Prefer the library's own ggml to one that another package made global.
    return os.RTLD_NOW | os.RTLD_LOCAL | getattr(os, "RTLD_DEEPBIND", 0)


def _check_elf(path: Path) -> None:
    """Finds out in time what the dynamic linker says in its own words, or dies of."""
    if sys.platform != "linux":
        return
    file_size = path.stat().st_size
    with path.open("rb") as file:
        data = file.read(_ELF_HEAD)
    if len(data) < 64 or data[:4] != b"\x7fELF":
        raise BackendLoadError("not a shared library (no ELF header)")
    byte_order = "<" if data[5] == 1 else ">"
    machine = struct.unpack_from(byte_order + "H", data, 18)[0]
    built_for = _ELF_MACHINES.get(machine, f"machine {machine}")
    here = platform.machine()
    if built_for != here and not (built_for == "i386" and here == "i686"):
        raise BackendLoadError(f"built for {built_for}, but this Python runs on {here}")
    if data[4] == 2:
        # Touching a mapped page behind the end of a file is SIGBUS.
        offset, entry_size, count = struct.unpack_from(byte_order + "32xQ14xHH", data)
        needed = offset + entry_size * count
        if needed <= len(data):
            for index in range(count):
                start, size = struct.unpack_from(byte_order + "8xQ16xQ", data, offset + index * entry_size)
                needed = max(needed, start + size)
        if needed > file_size:
            raise BackendLoadError(f"truncated: {file_size} bytes of at least {needed}; install it again")
