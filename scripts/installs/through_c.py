"""Uses a wheel's library through its C interface, where a platform has no Python at hand: in an emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from nativebuild.report import BuildError, say
from nativebuild.targets import TARGETS, Target
from nativebuild.zig import zig_tools

from installs.trial import NotHereError, Trial, TrialError, clean_environment, run

__all__ = ["through_c"]

_ROOT = Path(__file__).resolve().parents[2]
_TEXT = "The capital of France is"
_EMULATORS = {
    "win_amd64": ("wine",),
    "manylinux-aarch64": ("qemu-aarch64-static",),
    "musllinux-aarch64": ("qemu-aarch64-static",),
}
#: What a program needs beside the C library; zig links programs for musl into one piece unless it is told not to.
_LINKER_FLAGS = {
    "win_amd64": ["-lshell32"],
    "win_arm64": ["-lshell32"],
    "musllinux-x86_64": ["-dynamic"],
    "musllinux-aarch64": ["-dynamic"],
}


def through_c(trial: Trial) -> None:
    """no Python: the C test and a text, with --emulator, or wine or qemu where the wheel is for another platform."""
    target = next((target for target in TARGETS.values() if trial.wheel.name.endswith(f"-{target.tag}.whl")), None)
    if target is None:
        raise NotHereError("it is none of the wheels that scripts/dev wheels makes")
    emulator = trial.emulator or _EMULATORS.get(target.name, ())
    if emulator and shutil.which(emulator[0]) is None:
        raise NotHereError(f"there is no {emulator[0]}")
    folder = trial.work / "with spaces ☂ 🦙"
    with zipfile.ZipFile(trial.wheel) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if "/_native/lib/cpu/" in name])
    library = next(folder.glob("gpt4all/_native/lib/cpu/libgpt4all-cpu.*"))
    model = folder / "модель 模型.gguf"
    os.link(trial.model, model)
    program = _compile(target, folder / "test_abi.exe")
    environment = clean_environment(WINEDEBUG=os.environ.get("WINEDEBUG", "-all"))
    try:
        said = run([*emulator, program, library, model, _TEXT], env=environment)
    except OSError as error:
        raise NotHereError(f"programs for {target.name} do not run here; --emulator names what runs them") from error
    processor, text, *_ = said.splitlines()
    if not text.startswith(f"{_TEXT} Paris"):
        raise TrialError(f"it goes on otherwise: {said}")
    say(f"{target.name} chose {processor.partition(':')[0]}, and says {text!r}")


def _compile(target: Target, program: Path) -> Path:
    source, include = _ROOT / "backends" / "tests" / "test_abi.c", _ROOT / "backends" / "include"
    command = [str(zig_tools(target).compilers().cc), "-std=c99", "-O1", "-D_GNU_SOURCE", f"-I{include}", str(source)]
    command += ["-o", str(program), *_LINKER_FLAGS.get(target.name, ["-ldl"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{source.name} does not compile for {target.name}", details=done.stderr)
    return program
