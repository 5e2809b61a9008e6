"""The ways to install a wheel. Each takes a trial and raises where something is not as it should be."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import zipapp
from collections.abc import Callable
from email import message_from_binary_file
from pathlib import Path
from typing import Any

from nativebuild.fetch import LOCK_FILE, download_archive
from nativebuild.lock import read_lock

from installs.through_c import through_c
from installs.trial import NotHereError, Trial, TrialError, check_answer, clean_environment, run

__all__ = ["WAYS"]

_ROOT = Path(__file__).resolve().parents[2]
_NOBODY = 65534


def _environment(trial: Trial, name: str) -> Path:
    """A fresh virtual environment; its Python."""
    folder = trial.work / name
    run([trial.python, "-m", "venv", folder])
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _left_behind(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if "gpt4all" in path.relative_to(folder).as_posix().lower()]


def venv(trial: Trial) -> None:
    """pip in a virtual environment whose path has spaces and an emoji; uninstalling leaves nothing."""
    python = _environment(trial, "with spaces ☂ 🦙")
    run([python, "-m", "pip", "install", trial.wheel])
    answer = trial.use([python, "-I"])
    installed = answer["facts"]["gpt4all"]
    if (installed["installer"], installed["editable"]) != ("pip", False):
        raise TrialError(f"it does not know how it was installed: {installed}")
    if answer["facts"]["python"]["free_threaded"] and answer["gil"]:
        raise TrialError("importing it has brought the lock of the interpreter back")
    run([python, "-m", "pip", "uninstall", "--yes", "gpt4all"])
    if left := _left_behind(python.parents[1]):
        raise TrialError(f"uninstalling left {left}")


def uv(trial: Trial) -> None:
    """uv, and its uninstalling."""
    program = shutil.which("uv")
    if program is None:
        raise NotHereError("no uv on the path")
    folder = trial.work / "uv"
    run([program, "venv", "--python", trial.python, folder])
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run([program, "pip", "install", "--python", python, trial.wheel])
    if (installer := trial.use([python, "-I"])["facts"]["gpt4all"]["installer"]) != "uv":
        raise TrialError(f"it takes {installer} for what installed it")
    run([program, "pip", "uninstall", "--python", python, "gpt4all"])
    if left := _left_behind(folder):
        raise TrialError(f"uninstalling left {left}")


def target(trial: Trial) -> None:
    """pip install --target, found through PYTHONPATH."""
    folder = _target(trial, "target")
    # Python looks into the folder it is started in first, which may be this clone.
    trial.use([_environment(trial, "for the target")], env=clean_environment(PYTHONPATH=str(folder)), cwd=trial.work)


def _target(trial: Trial, name: str) -> Path:
    folder = trial.work / name
    python = _environment(trial, f"pip of {name}")
    run([python, "-m", "pip", "install", "--target", folder, trial.wheel])
    return folder


def editable(trial: Trial) -> None:
    """pip install --editable of this clone."""
    python = _environment(trial, "editable")
    run([python, "-m", "pip", "install", "--editable", _ROOT])
    if not trial.use([python, "-I"])["facts"]["gpt4all"]["editable"]:
        raise TrialError("it does not know that it is editable")


def read_only(trial: Trial) -> None:
    """a user who may write neither to the environment nor to a home directory."""
    if sys.platform == "win32":
        raise NotHereError("rights are another matter on Windows")
    python = _environment(trial, "read only")
    run([python, "-m", "pip", "install", "--no-compile", trial.wheel])
    options: dict[str, Any] = {"cwd": "/"}
    if os.geteuid() == 0:
        options |= {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
    folder = python.parents[1]
    before = set(folder.rglob("*"))
    folders = [folder, *(path for path in before if path.is_dir() and not path.is_symlink())]
    for path in folders:
        path.chmod(0o555)
    environment = clean_environment(HOME="/nowhere", XDG_CACHE_HOME="/nowhere/cache", TMPDIR="/nowhere/tmp")
    try:
        run([python, "-c", "pass"], env=environment, **options)
    except (TrialError, PermissionError):
        raise NotHereError(f"another user cannot run {trial.python}") from None
    try:
        models = trial.use([python, "-I"], env=environment, **options)["facts"]["models"]
    finally:
        for path in folders:
            path.chmod(0o755)
    if models["exists"] or models["writable"]:
        raise TrialError(f"it takes a folder that is not there for one that is: {models}")
    if more := set(folder.rglob("*")) - before:
        raise TrialError(f"it wrote {more}")


def zipped(trial: Trial) -> None:
    """a zipped application: an error that says what to do, and it works with the libraries beside it."""
    folder = _target(trial, "zipped")
    (folder / "__main__.py").write_text(trial.program)
    libraries = trial.work / "libraries"
    shutil.move(folder / "gpt4all" / "_native" / "lib", libraries)
    archive = trial.work / "application.pyz"
    zipapp.create_archive(folder, archive)
    command: list[str | Path] = [trial.python, "-I", archive, *trial.arguments]
    said = run(command, fails=True)
    for part in (f"unpack {archive}", "GPT4ALL_BACKEND_PATH", "BackendLoadError"):
        if part not in said:
            raise TrialError(f"it does not say {part!r} but\n{said}")
    command = [trial.python, archive, *trial.arguments]
    check_answer(run(command, env=clean_environment(GPT4ALL_BACKEND_PATH=str(libraries))))


def _without_network() -> list[str]:
    """What a command is put behind to find no network at all, not even this machine's own."""
    program = shutil.which("unshare")
    if program is None:
        raise NotHereError("no unshare on the path, which takes the network away")
    command = [program, "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
    try:
        run([*command, sys.executable, "-c", "import socket; [only] = socket.if_nameindex()"])
    except TrialError as error:
        raise NotHereError(f"the network cannot be taken away: {error}") from None
    return command


def offline(trial: Trial) -> None:
    """no network at all: everything lies in a folder."""
    alone = _without_network()
    python = _environment(trial, "offline")
    folder = trial.work / "wheels"
    run([python, "-m", "pip", "download", "--dest", folder, trial.wheel])
    run([*alone, python, "-m", "pip", "install", "--no-index", "--find-links", folder, "gpt4all"])
    trial.use([*alone, python, "-I"])


def _requirements(archive: Path) -> list[str]:
    """What a source distribution needs when it is used; pip would build it to know."""
    with tarfile.open(archive) as files:
        told = files.extractfile(f"{archive.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert told is not None
        needs = message_from_binary_file(told).get_all("Requires-Dist", [])
    return [need for need in needs if "extra ==" not in need]


def sdist(trial: Trial) -> None:
    """a source distribution, without a network: the CPU backend is built from llama.cpp's archive."""
    if not trial.wheel.name.endswith(".tar.gz"):
        raise NotHereError("this is a wheel")
    alone = _without_network()
    python = _environment(trial, "sdist")
    folder = trial.work / "things"
    folder.mkdir()
    archive = download_archive(read_lock(LOCK_FILE), folder)
    tools = ["hatchling", "editables", "cmake", "ninja"]
    run([python, "-m", "pip", "download", "--dest", folder, *_requirements(trial.wheel), *tools])
    environment = clean_environment(GPT4ALL_BUILD_CACHE=str(trial.work / "cache"), LLAMA_CPP_ARCHIVE=str(archive))
    install: list[str | Path] = [
        *alone,
        python,
        "-m",
        "pip",
        "install",
        "--no-cache-dir",
        "--no-index",
        "--find-links",
        folder,
    ]
    run([*install, trial.wheel], env=environment)
    trial.use([*alone, python, "-I"])
    run([*install, "hatchling"], env=environment)
    run([*install, "--force-reinstall", "--no-build-isolation", trial.wheel], env=environment)
    trial.use([*alone, python, "-I"])


#: Name to what tries it; the docstring says what that is.
WAYS: dict[str, Callable[[Trial], None]] = {
    "venv": venv,
    "uv": uv,
    "target": target,
    "editable": editable,
    "read-only": read_only,
    "zipped": zipped,
    "offline": offline,
    "sdist": sdist,
    "c": through_c,
}
