"""A library that cannot be used: every candidate is named, with the reason and the way out."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpt4all import BackendLoadError, __version__
from gpt4all._native import abi, install_hints, loader
from tests.support.fake.backend import build_fake, find_compiler
from tests.support.ordinary_user import ordinary_user

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files"),
    pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler"),
]


@pytest.fixture(autouse=True)
def _only_this_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search finds nothing but what a test puts into ``tmp_path``."""
    monkeypatch.setattr(loader, "_loaded", {})
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(tmp_path))
    own = Path(loader.__file__).parent / "lib"
    monkeypatch.setattr(loader, "__file__", str(tmp_path / "empty" / "loader.py"))
    assert own.name == "lib"


def place(tmp_path: Path) -> Path:
    path = tmp_path / "cpu" / loader.library_file_name("cpu")
    path.parent.mkdir(exist_ok=True)
    return path


def failure() -> str:
    with pytest.raises(BackendLoadError) as caught:
        loader.load("cpu")
    return str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    message = failure()
    assert str(place(tmp_path)) in message
    assert str(tmp_path / "empty" / "lib" / "cpu") in message
    assert "no such file" in message
    assert "build_backends.sh cpu" in message


def test_another_interface_version(tmp_path: Path) -> None:
    build_fake(tmp_path, FAKE_ABI_VERSION=99)
    message = failure()
    assert "version 99" in message
    assert "same release" in message


def test_a_foreign_processor(tmp_path: Path) -> None:
    library = build_fake(tmp_path)
    data = bytearray(library.read_bytes())
    data[18:20] = (183 if platform.machine() != "aarch64" else 62).to_bytes(2, sys.byteorder)
    library.unlink()
    library.write_bytes(data)
    message = failure()
    assert "built for" in message
    assert platform.machine() in message


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"MZ" + bytes(100)])
def test_not_a_library(tmp_path: Path, content: bytes) -> None:
    place(tmp_path).write_bytes(content)
    assert "not a shared library" in failure()


def test_a_truncated_library(tmp_path: Path) -> None:
    library = build_fake(tmp_path)
    data = library.read_bytes()
    library.unlink()
    library.write_bytes(data[:2000])
    assert str(library) in failure()


@pytest.mark.parametrize("forbidden", ["library", "directory"])
def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below tmp_path, which only its owner may enter
        root = Path(folder)
        root.chmod(0o755)
        monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, folder)
        path = root / "cpu" / loader.library_file_name("cpu")
        path.parent.mkdir()
        path.write_bytes(b"")
        (path if forbidden == "library" else path.parent).chmod(0)
        failure()  # imports what it needs while it can
        with ordinary_user(root):
            message = failure()
        path.parent.chmod(0o755)
    assert f"{path} ({loader.SEARCH_PATH_VARIABLE}): it cannot be read: Permission denied" in message


def test_somebody_elses_library(tmp_path: Path) -> None:
    source = tmp_path / "other.c"
    source.write_text("int other(void) { return 1; }\n")
    compiler = find_compiler()
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(place(tmp_path))], check=True)
    assert "not a gpt4all backend" in failure()


def test_an_incomplete_library(tmp_path: Path) -> None:
    source = tmp_path / "other.c"
    source.write_text(f"int gpt4all_abi_version(void) {{ return {abi.ABI_VERSION}; }}\n")
    compiler = find_compiler()
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(place(tmp_path))], check=True)
    message = failure()
    assert "incomplete" in message
    assert "gpt4all_" in message


DEPENDENCIES = [
    ("libvulkan.so.1", "to install the Vulkan loader: apt-get install libvulkan1"),
    ("libcuda.so.1", "to install NVIDIA's driver: apt-get install nvidia-driver"),
    ("libcudart.so.12", f'pip install "gpt4all[cuda12]=={__version__}"'),
    ("libcublas.so.13", f'pip install "gpt4all[cuda]=={__version__}"'),
]


@pytest.mark.parametrize(("missing", "advice"), DEPENDENCIES)
def test_a_library_that_it_needs_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, advice: str
) -> None:
    needed = tmp_path / missing
    # By another name than any that the system could have.
    soname = f"-Wl,-soname,{missing}.none"
    compiler = find_compiler()
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", needed, soname], check=True)
    build_fake(tmp_path, "cpu", "-Wl,--no-as-needed", str(needed))
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "apt-get" else None)
    message = failure()
    assert f"{missing}.none" in message
    assert advice in message
    # The library itself needs no repair.
    assert "build_backends.sh" not in message


def test_the_command_is_that_of_the_package_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "libvulkan.so.1: cannot open shared object file"
    commands = {}
    for manager in ("apt-get", "dnf", "pacman", "none"):
        monkeypatch.setattr(shutil, "which", lambda name, known=manager: name if name == known else None)
        commands[manager] = install_hints.for_dependency(message)
    assert commands == {
        "apt-get": "to install the Vulkan loader: apt-get install libvulkan1",
        "dnf": "to install the Vulkan loader: dnf install vulkan-loader",
        "pacman": "to install the Vulkan loader: pacman -S vulkan-icd-loader",
        "none": "to install the Vulkan loader: it comes with the GPU's driver",
    }
    assert install_hints.for_dependency("libsomething.so: cannot open shared object file") is None


def test_an_engine_that_refuses_this_processor(tmp_path: Path) -> None:
    build_fake(tmp_path, FAKE_INIT_STATUS="GPT4ALL_ERROR_UNSUPPORTED_CPU")
    assert str(place(tmp_path)) in failure()


def test_the_first_candidate_that_works_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = build_fake(tmp_path / "good")
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, f"{tmp_path / 'none'}:{tmp_path / 'good'}")
    backend = loader.load("cpu")
    assert backend.path == good
    assert loader.load("cpu") is backend


def test_a_backend_of_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = build_fake(tmp_path / "elsewhere", "extra")
    package = tmp_path / "site"
    info = package / "gpt4all_extra-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpt4all-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{loader.ENTRY_POINT_GROUP}]\nextra = gpt4all_extra:directory\n")
    (package / "gpt4all_extra.py").write_text(f"def directory():\n    return {str(library.parent)!r}\n")
    monkeypatch.syspath_prepend(str(package))
    assert loader.load("extra").path == library


def test_a_broken_distribution_is_one_more_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site"
    info = package / "gpt4all_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpt4all-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{loader.ENTRY_POINT_GROUP}]\ncpu = gpt4all_broken:directory\n")
    monkeypatch.syspath_prepend(str(package))
    message = failure()
    assert "gpt4all-broken" in message
    assert "gpt4all_broken" in message


def test_a_directory_with_a_difficult_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = build_fake(tmp_path / "build")
    directory = tmp_path / "模型 🦙 %s"
    (directory / "cpu").mkdir(parents=True)
    shutil.copy(library, directory / "cpu")
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(directory))
    assert loader.load("cpu").path.parent.parent == directory
