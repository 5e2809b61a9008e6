"""A build area: one directory of the cache for one backend built in one way.

It is named after everything that decides what the engine's objects are: the
pinned source, our CMake files, the options, the compiler and, for a native
build, the processor. Our own sources are mirrored into it, so that clones in
different places share it and a change recompiles only what it touches.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nativebuild.cache import cache_dir, remove_tree
from nativebuild.options import Backend, BuildOptions
from nativebuild.toolkit import Toolkit
from nativebuild.tools import Compilers, processor_features

__all__ = ["BACKENDS_DIR", "BuildArea", "mirror", "prune_areas", "source_files"]

BACKENDS_DIR = Path(__file__).resolve().parents[2] / "backends"
# Decide only how our own sources are built; CMake and Ninja see to it that a
# change here leaves the engine's objects alone.
_OWN_CMAKE_FILES = {"Shim.cmake", "Sanitized.cmake", "Faults.cmake"}
_BACKEND_CMAKE_FILES = {"Kompute.cmake": "kompute", "Cuda.cmake": "cuda", "Metal.cmake": "metal"}
_UNUSED_DAYS = 14
_NO_TOOLKIT = Toolkit()


@dataclass(frozen=True)
class BuildArea:
    """Paths of one build area, and the key that says what it is for."""

    root: Path
    key: str
    processor: str  # what a native build is for; empty for one that runs on others too

    @property
    def source(self) -> Path:
        return self.root / "backends"

    @property
    def engine(self) -> Path:
        """llama.cpp's source with our patches."""
        return self.root / "llama.cpp"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @classmethod
    def find(
        cls,
        backend: Backend,
        options: BuildOptions,
        engine: Path,
        compilers: Compilers,
        toolkit: Toolkit = _NO_TOOLKIT,
    ) -> BuildArea:
        """The area for that combination; nothing is created yet."""
        facts: dict[str, object] = {
            "backend": backend.name,
            "definitions": {**options.definitions(), **toolkit.definitions},
            "toolkit": toolkit.description,
            "engine": str(engine),
            "compilers": [str(compilers.cc), str(compilers.cxx), compilers.description],
            "flags": [os.environ.get(name, "") for name in ("CFLAGS", "CXXFLAGS", "LDFLAGS")],
            "cmake": hash_files(path for path in source_files() if _decides_engine(path, backend)),
        }
        processor = processor_features(compilers) if options.variants == "native" else ""
        facts["processor"] = processor
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return cls(cache_dir() / "build" / f"{backend.name}-{options.name}-{key[:12]}", key, processor)

    def inputs(self) -> str:
        """A hash of all that goes into the libraries, our own sources included."""
        return hashlib.sha256((self.key + hash_files(source_files())).encode()).hexdigest()


def _decides_engine(path: Path, backend: Backend) -> bool:
    if path.name in _BACKEND_CMAKE_FILES:
        return _BACKEND_CMAKE_FILES[path.name] == backend.name
    return path.name == "CMakeLists.txt" or (path.suffix == ".cmake" and path.name not in _OWN_CMAKE_FILES)


def source_files() -> list[Path]:
    """Our own native sources, in a fixed order."""
    files = (path for path in BACKENDS_DIR.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in _below(path).parts))


def _below(path: Path) -> Path:
    return path.relative_to(BACKENDS_DIR)


def hash_files(paths: Iterable[Path]) -> str:
    """A hash of names and contents, wherever the clone lies."""
    digest = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{_below(path).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def mirror(target: Path) -> bool:
    """Make ``target`` equal to our sources, touching only what differs; tell whether CMake has to run again."""
    wanted = {_below(path): path for path in source_files()}
    present = {path.relative_to(target) for path in target.rglob("*") if path.is_file()} if target.exists() else set()
    for relative in present - wanted.keys():
        (target / relative).unlink()
    configure = present != wanted.keys()
    for relative, path in wanted.items():
        copy, content = target / relative, path.read_bytes()
        if relative in present and copy.read_bytes() == content:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        configure |= relative.name == "CMakeLists.txt" or relative.suffix in {".cmake", ".lock"}
    return configure


def prune_areas(keep: BuildArea) -> None:
    """Remove build areas that nobody has used for a while; each weighs some hundred megabytes."""
    os.utime(keep.root)
    oldest = time.time() - _UNUSED_DAYS * 86400
    for path in keep.root.parent.iterdir():
        if path != keep.root and path.stat().st_mtime < oldest:
            remove_tree(path)
