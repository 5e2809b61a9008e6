"""Fetching the engine's source: the right bytes end up in the cache, and nothing else ever does."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from nativebuild import fetch
from nativebuild.engine import mirror_engine
from nativebuild.fetch import llama_cpp_source
from nativebuild.report import BuildError

ROOT = Path(__file__).resolve().parents[2]
TOP = "llama_cpp_python-0.3.36"
TREE = {
    "vendor/llama.cpp/CMakeLists.txt": b"project(llama.cpp)\n",
    "vendor/llama.cpp/include/llama.h": b"// llama\n",
    "vendor/llama.cpp/ggml/include/ggml.h": b"// ggml\n",
}


def member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(f"{TOP}/{name}")
    entry.size, entry.mtime = len(content), 1_600_000_000
    for key, value in attributes.items():
        setattr(entry, key, value)
    return entry, content


def write_sdist(path: Path, *extra: tuple[tarfile.TarInfo, bytes], tree: dict[str, bytes] = TREE) -> Path:
    members = [member(name, content) for name, content in tree.items()]
    with tarfile.open(path, "w:gz") as archive:
        for entry, content in [*members, member("PKG-INFO", b"Name: x"), *extra]:
            archive.addfile(entry, io.BytesIO(content))
    return path


def write_lock(path: Path, sdist: Path | None = None) -> Path:
    digest = hashlib.sha256(sdist.read_bytes()).hexdigest() if sdist else "0" * 64
    values = {
        "package": "llama-cpp-python",
        "package_version": "0.3.36",
        "sdist_sha256": digest,
        "source_path": "vendor/llama.cpp",
        "version": "0.5.0",
        "commit": "0c1e57098",
    }
    path.write_text("".join(f'{key} = "{value}"\n' for key, value in values.items()))
    return path


Pinned = Callable[..., tuple[Path, Path]]


@pytest.fixture
def pinned(tmp_path: Path, build_cache: Path) -> Pinned:
    """Writes a source distribution and the lock file that pins it."""

    def make(*extra: tuple[tarfile.TarInfo, bytes], tree: dict[str, bytes] = TREE) -> tuple[Path, Path]:
        sdist = write_sdist(tmp_path / f"{TOP}.tar.gz", *extra, tree=tree)
        return write_lock(tmp_path / "lock", sdist), sdist

    return make


@pytest.fixture
def own_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the pip of the environment that runs the tests: making another takes seconds."""
    monkeypatch.setattr(fetch, "tools_venv", lambda: Path(sys.prefix))


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != "locks")


def test_only_the_wanted_part_is_unpacked(pinned: Pinned, build_cache: Path) -> None:
    script = member("vendor/llama.cpp/run.sh", b"#!/bin/sh\n", mode=0o4775)
    lock, sdist = pinned(script, member("vendor/llama.cpp/.git", b"gitdir: x"), member("vendor/other/file", b"x"))
    tree = llama_cpp_source(lock, sdist)
    assert leftovers(build_cache) == [tree.name]
    assert (tree / "include/llama.h").read_bytes() == b"// llama\n"
    assert not (tree / ".git").exists()
    assert (tree / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tree / "include/llama.h").stat().st_mtime == 1_600_000_000


def test_a_second_call_reads_nothing_again(pinned: Pinned) -> None:
    lock, sdist = pinned()
    tree = llama_cpp_source(lock, sdist)
    sdist.unlink()
    assert llama_cpp_source(lock) == tree


def test_a_tree_that_was_changed_by_hand_is_fetched_again(
    pinned: Pinned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, sdist = pinned()
    area = tmp_path / "area"
    mirror_engine(llama_cpp_source(lock, sdist), area, patches=tmp_path)
    header = area / "include/llama.h"
    header.write_bytes(b"// an experiment\n")  # through the link that it is
    os.utime(header, (time.time() + 5, time.time() + 5))
    tree = llama_cpp_source(lock, sdist)
    assert "llama.h was changed by hand" in capsys.readouterr().err
    assert (tree / "include/llama.h").read_bytes() == b"// llama\n"
    mirror_engine(tree, area, patches=tmp_path)
    assert header.read_bytes() == b"// llama\n"


def test_the_archive_may_be_named_in_the_environment(
    pinned: Pinned, build_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip, which builds a source distribution, passes nothing else on."""
    lock, sdist = pinned()
    monkeypatch.setenv("LLAMA_CPP_ARCHIVE", str(tmp_path / "nothing"))
    with pytest.raises(BuildError, match="there is no file"):
        llama_cpp_source(lock)
    monkeypatch.setenv("LLAMA_CPP_ARCHIVE", str(sdist))
    assert (llama_cpp_source(lock) / "include/llama.h").is_file()


def test_times_from_the_future_do_not_reach_the_build(pinned: Pinned) -> None:
    lock, sdist = pinned(member("vendor/llama.cpp/late.h", b"", mtime=4_000_000_000))
    assert (llama_cpp_source(lock, sdist) / "late.h").stat().st_mtime <= time.time()


def test_another_hash_is_refused(pinned: Pinned, build_cache: Path, tmp_path: Path) -> None:
    lock, sdist = pinned()
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    with pytest.raises(BuildError, match=found):
        llama_cpp_source(write_lock(tmp_path / "other"), sdist)
    assert leftovers(build_cache) == []
    assert llama_cpp_source(lock, sdist).is_dir()


@pytest.mark.usefixtures("own_pip")
def test_pip_refuses_another_hash_before_it_runs_anything(
    pinned: Pinned, build_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = tmp_path / "ran"
    _, sdist = pinned(member("setup.py", f"open({str(proof)!r}, 'w')".encode()))
    monkeypatch.setenv("PIP_FIND_LINKS", sdist.parent.as_uri())
    with pytest.raises(BuildError, match="another hash than backends/llama_cpp.lock says"):
        llama_cpp_source(write_lock(tmp_path / "other"))
    assert not proof.exists()
    assert leftovers(build_cache) == []


@pytest.mark.usefixtures("own_pip")
def test_without_a_network_the_error_names_the_way_out(build_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="could not download") as failure:
        llama_cpp_source(write_lock(tmp_path / "lock"))
    assert "LLAMA_CPP_SOURCE_DIR" in str(failure.value)
    assert leftovers(build_cache) == []


@pytest.mark.parametrize(
    "bad",
    [
        member("vendor/llama.cpp/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("vendor/llama.cpp/link", type=tarfile.LNKTYPE, linkname=f"{TOP}/PKG-INFO"),
        member("vendor/llama.cpp/pipe", type=tarfile.FIFOTYPE),
        member("vendor/llama.cpp/../../../outside", b"x"),
    ],
    ids=["symbolic link", "hard link", "pipe", "path"],
)
def test_what_could_write_elsewhere_is_refused(
    pinned: Pinned, build_cache: Path, bad: tuple[tarfile.TarInfo, bytes]
) -> None:
    lock, sdist = pinned(bad)
    with pytest.raises(BuildError, match="the archive holds"):
        llama_cpp_source(lock, sdist)
    assert leftovers(build_cache) == []


def test_a_distribution_without_the_engine_is_an_error(pinned: Pinned, build_cache: Path) -> None:
    lock, sdist = pinned(tree={"vendor/llama.cpp/CMakeLists.txt": b""})
    with pytest.raises(BuildError, match=r"has no include/llama\.h"):
        llama_cpp_source(lock, sdist)
    assert leftovers(build_cache) == []


def test_a_truncated_archive_is_an_error(pinned: Pinned, tmp_path: Path, build_cache: Path) -> None:
    _, sdist = pinned(member("vendor/llama.cpp/big", os.urandom(100_000)))
    sdist.write_bytes(sdist.read_bytes()[:50_000])
    with pytest.raises(BuildError, match="no readable source distribution"):
        llama_cpp_source(write_lock(tmp_path / "lock", sdist), sdist)
    assert leftovers(build_cache) == []


def test_a_full_disk_is_met_before_the_download(
    pinned: Pinned, build_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1_500_000_000))
    lock, sdist = pinned()
    with pytest.raises(BuildError, match=r"needs 2\.0 GB of disk space, but .* has 1\.5 GB left"):
        llama_cpp_source(lock, sdist)


def test_a_cache_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GPT4ALL_BUILD_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("LLAMA_CPP_SOURCE_DIR", raising=False)
    with pytest.raises(BuildError, match="Set GPT4ALL_BUILD_CACHE"):
        llama_cpp_source(write_lock(tmp_path / "lock"))


def test_a_local_tree_is_used_as_it_is(
    pinned: Pinned, build_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, sdist = pinned()
    local = shutil.copytree(llama_cpp_source(lock, sdist), tmp_path / "my llama")
    shutil.rmtree(build_cache)
    monkeypatch.setenv("LLAMA_CPP_SOURCE_DIR", str(local))
    assert llama_cpp_source(lock) == local
    assert not build_cache.exists()


def test_a_local_tree_has_to_be_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_SOURCE_DIR", str(tmp_path))
    with pytest.raises(BuildError, match=r"LLAMA_CPP_SOURCE_DIR is no llama.cpp source tree"):
        llama_cpp_source(write_lock(tmp_path / "lock"))


@pytest.mark.usefixtures("build_cache")
def test_looking_into_an_empty_cache_fetches_nothing() -> None:
    assert fetch.cached_source() is None


def test_the_program_prints_nothing_but_the_directory(pinned: Pinned) -> None:
    lock, sdist = pinned()
    command = [
        sys.executable,
        str(ROOT / "scripts" / "commands"),
        "fetch-llama-cpp",
        "--lock",
        str(lock),
        "--sdist",
        str(sdist),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(done.stdout.rstrip("\n")).is_dir()
    assert "unpacking" in done.stderr


def test_the_program_explains_a_failure_without_a_traceback(pinned: Pinned, tmp_path: Path) -> None:
    _, sdist = pinned()
    lock = write_lock(tmp_path / "other")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "commands"),
        "fetch-llama-cpp",
        "--lock",
        str(lock),
        "--sdist",
        str(sdist),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Do not use it" in done.stderr
    assert "Traceback" not in done.stderr
