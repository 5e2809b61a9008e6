"""Fetches the pinned llama.cpp once and keeps it in the build cache."""

from __future__ import annotations

import argparse
import hashlib
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from nativebuild.cache import cache_dir, lock, remove_tree, require_space
from nativebuild.lock import LlamaCppLock, read_lock
from nativebuild.report import BuildError, run_quietly, say
from nativebuild.venvs import child_environment, tools_venv, venv_program

__all__ = ["LOCK_FILE", "cached_source", "download_archive", "llama_cpp_source", "main"]

LOCK_FILE = Path(__file__).resolve().parents[2] / "backends" / "llama_cpp.lock"
_NEEDED_BYTES = 2_000_000_000
_MARKER = ".gpt4all-sdist-sha256"
_OFFLINE_ADVICE = (
    "Without a network, set LLAMA_CPP_SOURCE_DIR to an unpacked llama.cpp of that commit, "
    "or fetch the source distribution elsewhere and set LLAMA_CPP_ARCHIVE to that file."
)


def llama_cpp_source(lock_file: Path = LOCK_FILE, sdist: Path | None = None) -> Path:
    """Return the directory of llama.cpp's source, fetching it when the cache lacks it.

    ``LLAMA_CPP_SOURCE_DIR`` wins over the pin. ``sdist``, or where it is not
    given ``LLAMA_CPP_ARCHIVE``, is a local copy of the pinned source
    distribution, to be used instead of the network.
    """
    local = os.environ.get("LLAMA_CPP_SOURCE_DIR")
    if local:
        path = Path(local).expanduser().resolve()
        _check_tree(path, "LLAMA_CPP_SOURCE_DIR")
        return path
    pin = read_lock(lock_file)
    target = _target(pin)
    if _is_complete(target, pin):
        return target
    if sdist is None and (archive := os.environ.get("LLAMA_CPP_ARCHIVE")):
        sdist = Path(archive).expanduser().resolve()
    with lock(target.name):
        if not _is_complete(target, pin):
            _fetch(pin, target, sdist)
    return target


def cached_source() -> Path | None:
    """The directory that ``llama_cpp_source`` would return, if it need not fetch anything for that."""
    pin = read_lock(LOCK_FILE)
    if os.environ.get("LLAMA_CPP_SOURCE_DIR") or _is_complete(_target(pin), pin):
        return llama_cpp_source()
    return None


def _target(pin: LlamaCppLock) -> Path:
    return cache_dir() / f"llama.cpp-{pin.commit}-{pin.sdist_sha256[:8]}"


def _is_complete(target: Path, pin: LlamaCppLock) -> bool:
    """Whether all of it is there, as it was fetched.

    Build areas have links to the same files, so that whoever changes one there by hand changes it for all.
    """
    marker = target / _MARKER
    try:
        if marker.read_text(encoding="ascii").strip() != pin.sdist_sha256:
            return False
        fetched = marker.stat().st_mtime_ns
    except OSError:
        return False
    changed = next((path for path in target.rglob("*") if path.stat().st_mtime_ns > fetched and path.is_file()), None)
    if changed is not None:
        say(f"{changed} was changed by hand; llama.cpp's source is fetched again")
    return changed is None


def _fetch(pin: LlamaCppLock, target: Path, sdist: Path | None) -> None:
    cache = cache_dir()
    require_space(cache, _NEEDED_BYTES, "Building llama.cpp")
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as folder:
        if sdist is None:
            sdist = download_archive(pin, Path(folder))
        elif not sdist.is_file():
            raise BuildError(f"there is no file {sdist}")
        _check_hash(sdist, pin)
        say(f"unpacking {pin.source_path} of {sdist.name}")
        tree = Path(folder) / "tree"
        _unpack(sdist, pin.source_path, tree)
        _check_tree(tree, f"{pin.source_path} of {sdist.name}")
        (tree / _MARKER).write_text(pin.sdist_sha256 + "\n", encoding="ascii")
        remove_tree(target)
        tree.rename(target)


def download_archive(pin: LlamaCppLock, folder: Path) -> Path:
    """Fetch the pinned source distribution, which ``LLAMA_CPP_ARCHIVE`` may name later, into the folder."""
    # pip asks an sdist for its metadata, which runs the code inside. With the
    # hash in the requirement it refuses other contents before that. Only this
    # package is asked for as source: its build requirements may be wheels.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sdist_sha256}\n", encoding="utf-8")
    python = venv_program(tools_venv(), "python")
    result = run_quietly(
        [
            *(python, "-m", "pip", "download", "--progress-bar", "off"),
            *("--no-deps", "--no-binary", pin.package, "--dest", folder, "--requirement", requirements),
        ],
        env=child_environment(),
        doing=f"downloading the source distribution of {pin.requirement} (about 77 MB)",
    )
    found = [path for path in folder.glob("*.tar.gz") if path.is_file()]
    if result.returncode == 0 and len(found) == 1:
        return found[0]
    tail = "\n".join(result.stdout.rstrip().splitlines()[-12:])
    if "DO NOT MATCH THE HASHES" in result.stdout:
        raise BuildError(
            f"the source distribution of {pin.requirement} has another hash than backends/llama_cpp.lock says",
            advice="Do not use it: the index or something on the way to it handed out different contents. "
            + _OFFLINE_ADVICE,
            details=tail,
        )
    if "No space left" in result.stdout:
        raise BuildError("the disk filled up while downloading", advice="Free some space and try again.", details=tail)
    raise BuildError(
        f"pip could not download the source distribution of {pin.requirement}",
        advice="Is the network up, and the Python package index reachable? " + _OFFLINE_ADVICE,
        details=tail,
    )


def _check_hash(sdist: Path, pin: LlamaCppLock) -> None:
    digest = hashlib.sha256()
    with sdist.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != pin.sdist_sha256:
        raise BuildError(
            f"{sdist} has the sha256 {digest.hexdigest()}, but backends/llama_cpp.lock says {pin.sdist_sha256}",
            advice=f"Do not use it: it is not the source distribution of {pin.requirement} that was pinned.",
        )


def _members(archive: tarfile.TarFile, prefix: str) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """The wanted files with their path below the prefix; the archive's top folder is any single name."""
    wanted = PurePosixPath(prefix).parts
    for member in archive:
        parts = PurePosixPath(member.name).parts
        if parts[1 : 1 + len(wanted)] != wanted or len(parts) == 1 + len(wanted):
            continue
        below = PurePosixPath(*parts[1 + len(wanted) :])
        if below.parts[0].startswith(".git"):
            continue
        if ".." in parts or PurePosixPath(member.name).is_absolute():
            raise BuildError(f"the archive holds a path that leads outside: {member.name}")
        yield member, below


def _unpack(sdist: Path, prefix: str, tree: Path) -> None:
    """Write regular files only: no links, owners, special modes or times from the future."""
    tree.mkdir()
    now = time.time()
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            for member, below in _members(archive, prefix):
                path = tree / below
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                source = archive.extractfile(member) if member.isreg() else None
                if source is None:
                    raise BuildError(f"the archive holds something that is not a plain file: {member.name}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as out:
                    while chunk := source.read(1 << 20):
                        out.write(chunk)
                path.chmod(0o755 if member.mode & 0o100 else 0o644)
                # Kept, so that unpacking again does not make a finished build look stale.
                modified = min(float(member.mtime), now)
                os.utime(path, (modified, modified))
    except (tarfile.TarError, EOFError) as error:
        raise BuildError(f"{sdist} is no readable source distribution: {error}") from error


def _check_tree(path: Path, where: str) -> None:
    for name in ("include/llama.h", "ggml/include/ggml.h", "CMakeLists.txt"):
        if not (path / name).is_file():
            raise BuildError(
                f"{where} is no llama.cpp source tree: {path} has no {name}",
                advice="Name the directory that holds llama.cpp's CMakeLists.txt, include/ and ggml/.",
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``scripts/dev fetch-llama-cpp``: prints the directory on stdout."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev fetch-llama-cpp",
        description="Fetch the pinned llama.cpp into the build cache ($GPT4ALL_BUILD_CACHE) and print where it is.",
        epilog="LLAMA_CPP_SOURCE_DIR names a local source tree to use instead, LLAMA_CPP_ARCHIVE a file like --sdist.",
    )
    parser.add_argument("--sdist", type=Path, metavar="FILE", help="a local copy of the pinned source distribution")
    parser.add_argument("--lock", type=Path, default=LOCK_FILE, metavar="FILE", help="another lock file")
    options = parser.parse_args(arguments)
    print(llama_cpp_source(options.lock, options.sdist))
    return 0
