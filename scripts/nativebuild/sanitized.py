"""Libraries with sanitizers, and the fuzz programs: built in the cache, never installed into the package."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from nativebuild.build import Build, build_backend, compile_targets, configure
from nativebuild.cache import lock
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.report import BuildError, run_quietly
from nativebuild.tools import Compilers, describe_compilers, find_build_tools, find_compilers

__all__ = ["KINDS", "Sanitized", "build_sanitized"]

#: What is sanitized, and with what.
KINDS = {
    "shim": "our own sources with AddressSanitizer and UndefinedBehaviorSanitizer, over the engine's usual objects",
    "address": "the engine too, with clang, whose fuzzer finds its way by it",
    "thread": "everything with ThreadSanitizer",
}


@dataclass(frozen=True)
class Sanitized:
    """One such build.

    Attributes:
        kind: a key of ``KINDS``.
        root: what ``GPT4ALL_BACKEND_PATH`` takes.
        programs: where the fuzz programs are.
        faults: the same as ``root``, of the library in which tests make the engine fail.
        cc: the C compiler it was built with.
    """

    kind: str
    root: Path
    programs: Path
    faults: Path
    cc: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """What a program is compiled with to go with it."""
        return ("-fsanitize=thread",) if self.kind == "thread" else ("-fsanitize=address,undefined",)


def build_sanitized(kind: str, jobs: int = 0) -> Sanitized:
    """Build what is missing or stale of one kind."""
    compilers = _clang() if kind == "address" else find_compilers()
    options = BuildOptions(sanitize="" if kind == "shim" else kind, jobs=jobs)
    build = Build.of(BACKENDS["cpu"], options, compilers)
    area = build.area
    if kind == "shim":
        root, programs, targets = area.build / "sanitized", area.build / "sanitized" / "cpu", ["gpt4all-shim-sanitized"]
    else:
        root, programs, targets = build_backend(BACKENDS["cpu"], options, compilers).parent, area.build / "bin", []
    if kind != "thread":
        targets.append("gpt4all-fuzz")
    targets.append("gpt4all-faults")
    with lock(area.root.name):
        tools = find_build_tools()
        configure(build, tools)
        compile_targets(build, tools, targets, what="what the tests need")
    return Sanitized(kind, root, programs, area.build / "faults", compilers.cc)


def _clang() -> Compilers:
    """Clang, from Debian's packages where there is none and this process may install some."""
    if shutil.which("clang++") is None:
        _install_clang()
    cc, cxx = shutil.which("clang"), shutil.which("clang++")
    if cc is None or cxx is None:
        raise BuildError("no clang found", advice="On Debian or Ubuntu: sudo apt-get install clang llvm")
    return describe_compilers(Path(cc), Path(cxx))


def _install_clang() -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "clang", "llvm"]
    if run_quietly(command, doing="installing clang").returncode != 0:
        run_quietly(["apt-get", "update", "-qq"])
        result = run_quietly(command)
        if result.returncode != 0:
            raise BuildError("apt-get could not install clang and llvm", details=result.stdout)
    # The sanitizers' libraries: a package of their own since Debian 12, a part of clang before.
    run_quietly([*command, "libclang-rt-dev"])
