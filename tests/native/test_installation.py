"""Advice for a backend that is missing fits the copy of the package that runs, and never brings another version."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
import zipapp
from pathlib import Path

import pytest

import gpt4all
from gpt4all import __version__
from gpt4all._native import installation
from tests.support.ordinary_user import ordinary_user

PACKAGE = Path(gpt4all.__file__).resolve().parent
FAIL = "from gpt4all._native import loader; loader.load({!r})"


def said_by(python: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GPT4ALL_", "PYTHON"))}
    done = subprocess.run([python, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert "BackendLoadError" in done.stderr, done.stderr
    return done.stderr


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package without its libraries, in the site-packages of a fresh environment."""
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = tmp_path.glob("env/**/site-packages")
    for file in PACKAGE.rglob("*.py"):
        target = site / "gpt4all" / file.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return site


def installed(site: Path, version: str, *, installer: str = "pip", direct_url: object = None) -> None:
    folder = site / f"gpt4all-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gpt4all\nVersion: {version}\n")
    (folder / "INSTALLER").write_text(installer + "\n")
    if direct_url is not None:
        (folder / "direct_url.json").write_text(json.dumps(direct_url))


def advice(site: Path, backend: str = "cpu") -> str:
    (python,) = (path for path in site.parents[2].glob("*/python*") if path.stem == "python")
    return said_by(str(python), "-I", "-c", FAIL.format(backend))


def test_from_the_index(copied: Path) -> None:
    installed(copied, __version__)
    assert f'pip install --force-reinstall --no-deps "gpt4all=={__version__}"' in advice(copied)
    if sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc":
        assert f'pip install "gpt4all-cuda13=={__version__}"' in advice(copied, "cuda")


@pytest.mark.parametrize(
    ("installer", "direct_url", "command"),
    [
        ("uv", None, f'uv pip install --reinstall --no-deps "gpt4all=={__version__}"'),
        ("conda", None, f"install gpt4all {__version__} again with conda"),
        ("pip", {"url": "file:///some/where", "dir_info": {}}, "--no-deps file:///some/where)"),
        ("pip", {"url": "https://h/x y.whl", "archive_info": {}}, "--no-deps 'https://h/x y.whl')"),
        (
            "pip",
            {"url": "https://h/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "--no-deps 'gpt4all @ git+https://h/r.git@abc')",
        ),
        ("pip", ["?"], f'--no-deps "gpt4all=={__version__}")'),
    ],
)
def test_from_elsewhere(copied: Path, installer: str, direct_url: object, command: str) -> None:
    installed(copied, __version__, installer=installer, direct_url=direct_url)
    assert command in advice(copied)


@pytest.mark.parametrize("backend", ["kompute", "cuda"])
def test_from_a_clone_without_the_backend(copied: Path, tmp_path: Path, backend: str) -> None:
    """To install it again as it is would bring none."""
    clone = tmp_path / "my clone"
    clone.mkdir()
    (clone / "build_backends.sh").write_text("")
    installed(copied, __version__, installer="pip", direct_url={"url": clone.as_uri(), "dir_info": {}})
    said = advice(copied, backend)
    assert f"cd '{clone}' && ./build_backends.sh {backend} && pip install --force-reinstall --no-deps .)" in said
    assert f"--no-deps {clone.as_uri()}" in advice(copied, "cpu")


@pytest.mark.parametrize(
    ("system", "machine", "backend"),
    [("linux", "aarch64", "kompute"), ("win32", "ARM64", "kompute"), ("win32", "AMD64", "cuda")],
)
def test_no_wheel_has_the_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, machine: str, backend: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    said = installation.repair(backend, tmp_path)
    assert said.endswith(f"./build_backends.sh {backend}; no wheel for this platform has it")
    assert "pip install" not in said


def test_by_no_installer(copied: Path) -> None:
    assert f"a whole gpt4all {__version__} in the place of {copied / 'gpt4all'}" in advice(copied)


def test_in_a_clone(copied: Path) -> None:
    (copied / "build_backends.sh").write_text("")
    assert f"cd {copied} && ./build_backends.sh kompute" in advice(copied, "kompute")


def test_another_version_is_installed_elsewhere(copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "gpt4all").mkdir(parents=True)
    installed(other, "2.8.2")
    (copied / "aside.pth").write_text(f"{other}\n")
    assert "2.8.2" not in advice(copied)
    assert "in the place of" in advice(copied)


def test_in_a_zip_file(copied: Path, tmp_path: Path) -> None:
    (copied / "__main__.py").write_text(FAIL.format("cpu"))
    zipapp.create_archive(copied, tmp_path / "app.pyz")
    said = said_by(sys.executable, "-I", str(tmp_path / "app.pyz"))
    assert f"unpack {tmp_path / 'app.pyz'}: no system loads libraries out of a zip file" in said
    assert "GPT4ALL_BACKEND_PATH" in said
    assert "pip install" not in said


def test_in_a_frozen_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "PyInstaller" in installation.repair("cpu", tmp_path)


def test_no_advice_brings_another_version() -> None:
    for file in PACKAGE.rglob("*.py"):
        for command in re.findall(r"pip3? install[^\n]*", file.read_text(encoding="utf-8")):
            assert not re.search(r"install\b[^{]*\bgpt4all(?![\w.-]*==)", command), (file, command)


INSTALLED_AS = "import sys; {}; from gpt4all._native.installation import installed_as; print(installed_as())"


def installed_as(site: Path, before: str = "pass") -> str:
    (python,) = (path for path in site.parents[2].glob("*/python*") if path.stem == "python")
    command = [str(python), "-I", "-c", INSTALLED_AS.format(before)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("direct_url", [None, {"url": "file:///some/where", "dir_info": {}}, ["?"]])
def test_how_it_was_installed(copied: Path, direct_url: object) -> None:
    assert installed_as(copied) == "None"
    installed(copied, __version__, installer="uv", direct_url=direct_url)
    assert installed_as(copied) == "Installed(installer='uv', editable=False)"


def test_an_editable_install_is_known_by_its_clone(copied: Path, tmp_path: Path) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    (clone / "build_backends.sh").write_text("")
    (copied / "gpt4all").rename(clone / "gpt4all")
    installed(copied, __version__, direct_url={"url": clone.as_uri(), "dir_info": {"editable": True}})
    (copied / "clone.pth").write_text(f"{clone}\n")
    assert installed_as(copied) == "Installed(installer='pip', editable=True)"


def test_a_package_whose_folder_may_not_be_entered_any_more() -> None:
    with tempfile.TemporaryDirectory() as folder:  # where others may look, unlike tmp_path
        root = Path(folder)
        root.chmod(0o755)
        package = root / "closed" / "gpt4all"
        package.mkdir(parents=True)
        package.parent.chmod(0)
        try:
            installation.repair("cpu", package)  # imports what it needs while it can
            with ordinary_user(root):
                advice = installation.repair("cpu", package)
        finally:
            package.parent.chmod(0o755)
    assert f"in the place of {package}" in advice
