"""Virtual environments, also where the distribution ships Python without pip."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nativebuild.cache import cache_dir, lock, remove_tree, require_space
from nativebuild.report import BuildError, run_quietly, say

__all__ = [
    "cached_venv",
    "child_environment",
    "ensure_venv",
    "facts_key",
    "pip_install",
    "tools_venv",
    "venv_program",
]

# pip runs the wheel hook with its own settings in the environment, and a
# user's may point installs elsewhere; neither may reach our environments.
_FOREIGN_SETTINGS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "__PYVENV_LAUNCHER__",
    "PIP_BUILD_TRACKER",
    "PIP_REQ_TRACKER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
)
_DEBIAN_PIP_WHEELS = Path("/usr/share/python-wheels")


def child_environment() -> dict[str, str]:
    """The environment for the pip and Python processes started here."""
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN_SETTINGS}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    environment["PIP_NO_INPUT"] = "1"
    return environment


def venv_program(venv: Path, name: str) -> Path:
    """Where a program installed into the environment lies."""
    if sys.platform == "win32":
        return venv / "Scripts" / f"{name}.exe"
    return venv / "bin" / name


def ensure_venv(venv: Path) -> Path:
    """Make the environment with pip in it unless it is there; return its Python."""
    python = venv_program(venv, "python")
    if python.exists() and venv_program(venv, "pip").exists():
        return python
    say(f"creating the virtual environment {venv}")
    remove_tree(venv)
    made = run_quietly([sys.executable, "-m", "venv", "--without-pip", venv], env=child_environment())
    if made.returncode != 0:
        raise BuildError(
            f"{sys.executable} cannot make a virtual environment",
            advice="On Debian or Ubuntu: sudo apt-get install python3-venv",
            details=made.stdout,
        )
    _install_pip(python)
    return python


def _install_pip(python: Path) -> None:
    """Debian and Ubuntu split ensurepip off; their pip package then serves instead, without installing it."""
    if run_quietly([python, "-m", "ensurepip", "--default-pip"], env=child_environment()).returncode == 0:
        return
    wheel = _newest_pip_wheel(_DEBIAN_PIP_WHEELS) or _debian_pip_wheel()
    venv = python.parent.parent
    if wheel is None:
        remove_tree(venv)
        raise BuildError(
            f"{sys.executable} comes without pip and venv",
            advice="On Debian or Ubuntu: sudo apt-get install python3-venv",
        )
    result = run_quietly([python, wheel / "pip", "install", "--no-index", wheel], env=child_environment())
    if result.returncode != 0:
        raise BuildError(f"pip could not be installed into {venv}", details=result.stdout)


def _newest_pip_wheel(directory: Path) -> Path | None:
    return max(directory.glob("pip-*.whl"), key=lambda path: path.stat().st_mtime, default=None)


def _debian_pip_wheel() -> Path | None:
    """Unpack Debian's pip wheel into the cache. Nothing is installed on the system, so no root is needed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    folder = cache_dir() / "debian-pip"
    wheels = folder / _DEBIAN_PIP_WHEELS.relative_to("/")
    if wheel := _newest_pip_wheel(wheels):
        return wheel
    remove_tree(folder)
    folder.mkdir()
    download = ["apt-get", "download", "python3-pip-whl"]
    result = run_quietly(download, cwd=folder, doing="fetching Debian's pip, since Python comes without")
    if result.returncode != 0 and os.geteuid() == 0:
        say("refreshing the package lists")
        run_quietly(["apt-get", "update"])
        result = run_quietly(download, cwd=folder)
    packages = sorted(folder.glob("*.deb"))
    if result.returncode != 0 or not packages:
        return None
    subprocess.run(["dpkg", "-x", str(packages[-1]), str(folder)], check=True)
    return _newest_pip_wheel(wheels)


def pip_install(python: Path, requirements: Sequence[str], *, doing: str) -> None:
    """Install into the environment of that Python, or say why not."""
    _install([python, "-m", "pip", "install", *requirements], f"pip could not install {' '.join(requirements)}", doing)


def _install(command: Sequence[str | Path], failure: str, doing: str) -> None:
    result = run_quietly(command, env=child_environment(), doing=doing)
    if result.returncode != 0:
        raise BuildError(
            failure,
            advice="Is the network up, and the Python package index reachable?",
            details=_last_lines(result.stdout),
        )


def _last_lines(text: str, count: int = 15) -> str:
    return "\n".join(text.rstrip().splitlines()[-count:])


def facts_key(facts: dict[str, object]) -> str:
    """A short name for what was made from these facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def cached_venv(folder: Path, name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment in the cache that has these packages as the index has them, made once."""
    root = folder / f"{name}-{facts_key({'requirements': list(requirements), 'python': sys.version})}"
    done = root / "complete.json"
    with lock(root.name):
        if not done.exists():
            require_space(cache_dir(), 2_000_000_000, f"An environment for {name}")
            remove_tree(root)
            python = ensure_venv(root)
            listed = root / "requirements.txt"
            listed.write_text("\n".join(requirements), encoding="utf-8")
            # pip takes minutes for what uv fetches side by side.
            tools = venv_program(tools_venv(), "python")
            pip_install(tools, ["uv"], doing="fetching uv")
            uv = venv_program(tools.parent.parent, "uv")
            _install(
                [uv, "pip", "install", "--python", python, "-r", listed],
                f"uv could not install what {name} needs",
                f"installing packages into {root.name}",
            )
            done.write_text("{}", encoding="utf-8")
    return venv_program(root, "python")


def tools_venv() -> Path:
    """The cache's private environment, for pip and for a CMake or Ninja the system lacks."""
    venv = cache_dir() / f"tools-py{sys.version_info.major}.{sys.version_info.minor}"
    with lock("tools"):
        ensure_venv(venv)
    return venv
