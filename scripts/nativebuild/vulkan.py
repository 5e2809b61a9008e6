"""Finds Vulkan's headers and the shader compiler: the system's, or Debian's newer ones in the build cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from nativebuild.cache import cache_dir, lock, remove_tree
from nativebuild.options import BuildOptions
from nativebuild.report import BuildError, run_quietly, say
from nativebuild.toolkit import Toolkit
from nativebuild.tools import Compilers

__all__ = ["find_vulkan"]

_OLDEST_HEADERS = (3, 272)  # the first with VK_EXT_layer_settings
_SUITE = "trixie"
_CODENAMES = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
#: The last four let the shader compiler run beside an older C library.
_PACKAGES = ("libvulkan-dev", "libvulkan1", "spirv-headers", "glslc", "libshaderc1", "libstdc++6", "libgcc-s1", "libc6")
_ADVICE = (
    "On Debian 13, Ubuntu 24.04 or newer: sudo apt-get install libvulkan-dev spirv-headers glslc\n"
    "Elsewhere: install the Vulkan SDK (headers 1.3.272 or newer, SPIRV-Headers, glslc) and set VULKAN_SDK to it."
)
_WRAPPER = Path(__file__).with_name("glslc_cached.sh")


@dataclass(frozen=True)
class _Vulkan:
    include: Path
    spirv_headers: Path
    library: Path
    glslc: Path


def find_vulkan(options: BuildOptions, compilers: Compilers, engine: Path) -> Toolkit:
    """Headers, loader library and shader compiler; shaders that were compiled once are kept."""
    found = _of_sdk() or _of_system() or _of_debian()
    if found is None:
        raise BuildError("Vulkan's headers (1.3.272 or newer), SPIRV-Headers and glslc are needed", advice=_ADVICE)
    answer = run_quietly([found.glslc, "--version"])
    if answer.returncode != 0:
        raise BuildError(f"{found.glslc} does not run", advice=_ADVICE, details=answer.stdout)
    minor, patch = _header_version(found.include)
    compiler = " ".join(answer.stdout.split())
    return Toolkit(
        f"Vulkan headers 1.{minor}.{patch}, {compiler}",
        {
            "Vulkan_INCLUDE_DIR": str(found.include),
            "Vulkan_LIBRARY": str(found.library),
            "Vulkan_GLSLC_EXECUTABLE": str(_caching(found.glslc, compiler, engine)),
            "SPIRV-Headers_DIR": str(found.spirv_headers),
        },
    )


def _header_version(include: Path) -> tuple[int, int]:
    """Minor version and patch of the headers, (0, 0) where there are none."""
    try:
        text = (include / "vulkan" / "vulkan_core.h").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return (0, 0)
    patch = re.search(r"#define VK_HEADER_VERSION (\d+)", text)
    minor = re.search(r"#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION\(\d+, \d+, (\d+),", text)
    return (int(minor[1]) if minor else 0, int(patch[1]) if patch else 0)


def _below(root: Path, glslc: Path | None) -> _Vulkan | None:
    """What lies below a directory with ``include`` and ``lib`` in it, if it is complete and new enough."""
    include = next((path for name in ("include", "Include") if (path := root / name / "vulkan").exists()), None)
    library = next((path for pattern in _LIBRARIES for path in sorted(root.glob(pattern))), None)
    spirv = next((path for pattern in _SPIRV for path in sorted(root.glob(pattern))), None)
    if include is None or library is None or spirv is None or glslc is None:
        return None
    if _header_version(include.parent) < _OLDEST_HEADERS:
        return None
    return _Vulkan(include.parent, spirv, library, glslc)


_LIBRARIES = ("lib/libvulkan.so", "lib64/libvulkan.so", "lib/*/libvulkan.so", "Lib/vulkan-1.lib")
_SPIRV = ("share/cmake/SPIRV-Headers", "lib/cmake/SPIRV-Headers", "lib*/cmake/SPIRV-Headers")


def _of_sdk() -> _Vulkan | None:
    if not (override := os.environ.get("VULKAN_SDK")):
        return None
    root = Path(override)
    glslc = shutil.which("glslc", path=os.pathsep.join(str(root / name) for name in ("bin", "Bin")))
    found = _below(root, Path(glslc) if glslc else None)
    if found is None:
        raise BuildError(f"VULKAN_SDK={override} lacks a part of the SDK, or is older than 1.3.272", advice=_ADVICE)
    return found


def _of_system() -> _Vulkan | None:
    glslc = shutil.which("glslc")
    roots = (Path("/usr/local"), Path("/usr"))
    return next((found for root in roots if (found := _below(root, Path(glslc) if glslc else None))), None)


def _of_debian() -> _Vulkan | None:
    """Debian's packages of a newer release, unpacked into the build cache. Nothing is installed on the system."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    folder = cache_dir() / f"vulkan-{_SUITE}"
    with lock(folder.name):
        if not folder.exists():
            if (mirror := _debian_mirror()) is None:
                return None
            _fetch(mirror, folder)
    return _below(folder / "usr", folder / "glslc")


def _debian_mirror() -> str | None:
    """The mirror that this system's own sources name for Debian's main archive."""
    listed = run_quietly(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
    for line in listed.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in _CODENAMES and words[2] == "main":
            return words[0]
    return None


def _fetch(mirror: str, folder: Path) -> None:
    """Download with lists and sources of our own, so that the system's stay what they are."""
    stage = folder.with_suffix(".stage")
    remove_tree(stage)
    (stage / "lists" / "partial").mkdir(parents=True)
    (stage / "debs").mkdir()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = stage / "debian.list"
    sources.write_text(f"deb [signed-by={keys}] {mirror} {_SUITE} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Dir::State::lists": str(stage / "lists"),
        "Dir::Cache": str(stage),
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    say(f"fetching Vulkan's headers and shader compiler of Debian {_SUITE} into the build cache")
    for command in (["update"], ["download", *_PACKAGES]):
        result = run_quietly(["apt-get", *options, *command], cwd=stage / "debs")
        # "update" answers 0 also where it could fetch nothing; then the download says so.
        if result.returncode != 0:
            raise BuildError(f"Debian's {_SUITE} packages could not be had", advice=_ADVICE, details=result.stdout)
    root = stage / "root"
    for package in sorted((stage / "debs").glob("*.deb")):
        unpacked = run_quietly(["dpkg", "-x", package, root])
        if unpacked.returncode != 0:
            raise BuildError(f"{package.name} could not be unpacked", details=unpacked.stdout)
    _write_launcher(root)
    root.rename(folder)
    remove_tree(stage)


def _write_launcher(root: Path) -> None:
    """The shader compiler may need a newer C library than the system's, so it brings its own."""
    loader = next((path for path in sorted(root.glob("usr/lib/**/ld-linux*.so*"))), None)
    library = next((path for path in sorted(root.glob("usr/lib/**/libshaderc.so.1"))), None)
    if loader is None or library is None:
        raise BuildError(f"Debian's {_SUITE} packages have not the form that was expected", advice=_ADVICE)
    inside = '$(dirname "$0")'
    launcher = root / "glslc"
    launcher.write_text(
        f'#!/bin/sh\nhere={inside}\nexec "$here/{loader.relative_to(root)}" '
        f'--library-path "$here/{library.parent.relative_to(root)}" "$here/usr/bin/glslc" "$@"\n',
        encoding="ascii",
    )
    launcher.chmod(0o755)


def _caching(glslc: Path, compiler: str, engine: Path) -> Path:
    """The shader compiler behind a script that keeps what it made, for other builds of the same pinned source."""
    if sys.platform == "win32" or os.environ.get("LLAMA_CPP_SOURCE_DIR"):
        return glslc
    script = _WRAPPER.read_text(encoding="ascii")
    facts = "\0".join((script, str(glslc), compiler, str(engine)))
    folder = cache_dir() / "shaders" / hashlib.sha256(facts.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    wrapper = folder / "glslc"
    if not wrapper.exists():
        stage = folder / f"glslc.{os.getpid()}"
        stage.write_text(script.replace("@GLSLC@", str(glslc)), encoding="utf-8")
        stage.chmod(0o755)
        stage.replace(wrapper)
    return wrapper
