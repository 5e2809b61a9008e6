"""Makes a wheel for one platform: its backends cross-compiled, then packed by the wheel hook."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from nativebuild.build import BUILD_RECORD, build_backend
from nativebuild.cache import cache_dir, lock, remove_tree
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.report import BuildError, run_quietly
from nativebuild.targets import Target
from nativebuild.venvs import child_environment, ensure_venv, pip_install, venv_program

__all__ = ["make_wheel", "packing_tool"]

_ROOT = Path(__file__).resolve().parents[2]
#: Written into the wheel by the packer, and read by the check; other versions would give other bytes.
_TOOLS = ("hatchling==1.33.0", "auditwheel==6.8.2")


def make_wheel(target: Target, out: Path, jobs: int = 0) -> Path:
    """Build what is not up to date, and write the wheel into ``out``."""
    options = BuildOptions("all", target=target.name, jobs=jobs)
    built = {name: build_backend(BACKENDS[name], options) for name in target.backends}
    out.mkdir(parents=True, exist_ok=True)
    with lock(f"wheel-{target.name}"):
        stage = cache_dir() / "wheel-stage" / target.name
        remove_tree(stage)
        for name, folder in built.items():
            _copy(folder, stage / "lib" / name)
        packed = _pack(stage)
        wheel = out / packed.name
        shutil.move(packed, wheel)
    if not wheel.name.endswith(f"-{target.tag}.whl"):
        raise BuildError(f"{wheel.name} is not for {target.tag}: the libraries need something else than they should")
    return wheel


def _copy(source: Path, target: Path) -> None:
    """The libraries, with what the record says of them, but nothing of where they were built."""
    shutil.copytree(source, target)
    path = target / BUILD_RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    record.pop("inputs", None)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8", newline="\n")


def _pack(stage: Path) -> Path:
    environment = {**child_environment(), "GPT4ALL_WHEEL_LIBRARIES": str(stage / "lib")}
    # Hatchling's own time for all files, unless one is given.
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        environment["SOURCE_DATE_EPOCH"] = epoch
    command = [str(packing_tool("hatchling")), "build", "--target", "wheel", "--directory", str(stage / "dist")]
    result = run_quietly(command, env=environment, cwd=_ROOT)
    found = list((stage / "dist").glob("*.whl"))
    if result.returncode != 0 or len(found) != 1:
        raise BuildError("the wheel could not be packed", details=result.stdout)
    return found[0]


def packing_tool(name: str) -> Path:
    """A program of the environment that packs and checks wheels, in the build cache."""
    venv = cache_dir() / f"wheels-py{sys.version_info.major}.{sys.version_info.minor}"
    marker, wanted = venv / "tools.txt", "\n".join(_TOOLS)
    with lock("wheels"):
        if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
            pip_install(ensure_venv(venv), _TOOLS, doing="fetching what packs wheels")
            marker.write_text(wanted, encoding="utf-8")
    return venv_program(venv, name)
