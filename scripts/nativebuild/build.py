"""Configures, builds and installs one backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nativebuild.area import BuildArea, mirror, prune_areas
from nativebuild.cache import cache_dir, lock, remove_tree, require_space
from nativebuild.contents import linked_in
from nativebuild.engine import mirror_engine
from nativebuild.fetch import LOCK_FILE, llama_cpp_source
from nativebuild.lock import read_lock
from nativebuild.options import Backend, BuildOptions
from nativebuild.report import BuildError, run_quietly, say
from nativebuild.targets import target_named
from nativebuild.toolkit import Toolkit
from nativebuild.toolkits import find_toolkit
from nativebuild.tools import BuildTools, Compilers, check_compilers, find_build_tools, find_compilers
from nativebuild.zig import zig_tools

__all__ = ["BUILD_RECORD", "INSTALL_ROOT", "Build", "build_backend", "compile_targets", "configure", "recorded_options"]

INSTALL_ROOT = Path(__file__).resolve().parents[2] / "gpt4all" / "_native" / "lib"
BUILD_RECORD = "build.json"
_NEEDED_BYTES = 2_000_000_000
# What the heaviest of llama.cpp's files takes to compile: fewer jobs than
# cores are better than the kernel killing the compiler.
_BYTES_PER_JOB = 1_200_000_000


@dataclass(frozen=True)
class Build:
    """One backend built in one way, and where."""

    backend: Backend
    options: BuildOptions
    engine: Path
    compilers: Compilers
    toolkit: Toolkit
    area: BuildArea

    @classmethod
    def of(cls, backend: Backend, options: BuildOptions, compilers: Compilers | None = None) -> Build:
        """Find the compilers and what else that backend needs; fetch what is missing and can be fetched."""
        if options.target:
            return cls._cross(backend, options)
        compilers = compilers or find_compilers()
        engine = llama_cpp_source()
        toolkit = find_toolkit(backend, options, compilers, engine)
        area = BuildArea.find(backend, options, engine, compilers, toolkit)
        return cls(backend, options, engine, compilers, toolkit, area)

    @classmethod
    def _cross(cls, backend: Backend, options: BuildOptions) -> Build:
        target = target_named(options.target)
        zig = zig_tools(target)
        engine = llama_cpp_source()
        options = replace(options, extra=(*{**target.definitions(), **zig.definitions()}.items(), *options.extra))
        compilers = zig.compilers()
        toolkit = find_toolkit(backend, options, compilers, engine)
        area = BuildArea.find(backend, options, engine, compilers, toolkit)
        return cls(backend, options, engine, compilers, toolkit, area)

    @property
    def place(self) -> Path:
        """Where the finished libraries go.

        Those with a sanitizer only load under its runtime, and those for another platform not at all, so they
        stay in the build cache.
        """
        kept = self.options.sanitize or self.options.target
        return (self.area.root / "lib" if kept else INSTALL_ROOT) / self.backend.name


def build_backend(
    backend: Backend, options: BuildOptions, compilers: Compilers | None = None, *, clean: bool = False
) -> Path:
    """Build one backend unless it is up to date; return its directory.

    That is ``gpt4all/_native/lib/<backend>/``, or a place in the build cache for what does not run here by itself.
    """
    build = Build.of(backend, options, compilers)
    area = build.area
    target = build.place
    if not clean and _is_current(target, area):
        say(f"the {backend.name} backend is up to date")
        return target
    with lock(area.root.name):
        if clean:
            say(f"removing the cached build and {target}")
            remove_tree(area.root)
            remove_tree(target)
        tools = find_build_tools()
        configure(build, tools)
        compile_targets(build, tools, ("all",), what=f"the {backend.name} backend")
        _install(build, tools, target)
        prune_areas(area)
    say(f"the {backend.name} backend is in {target}")
    return target


def _uses_pinned_source() -> bool:
    return not os.environ.get("LLAMA_CPP_SOURCE_DIR")


def _is_current(target: Path, area: BuildArea) -> bool:
    """Whether the installed libraries are what this build would give. A local engine may change any time."""
    if not _uses_pinned_source():
        return False
    try:
        record = json.loads((target / BUILD_RECORD).read_text(encoding="utf-8"))
        files: dict[str, int] = record["files"]
        return bool(record["inputs"] == area.inputs()) and all(
            (target / name).stat().st_size == size for name, size in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def configure(build: Build, tools: BuildTools) -> None:
    """Bring the area's copy of our sources up to date, and run CMake where that is needed."""
    area = build.area
    if not (area.build / "build.ninja").exists():
        require_space(cache_dir(), _NEEDED_BYTES, "Building llama.cpp")
        check_compilers(build.compilers)
    area.root.mkdir(parents=True, exist_ok=True)
    sources_want_it = mirror(area.source)
    mirror_engine(build.engine, area.engine)
    definitions = {
        **build.options.definitions(),
        **build.toolkit.definitions,
        "GPT4ALL_BACKEND": build.backend.name,
        "LLAMA_CPP_SOURCE_DIR": str(area.engine),
        "GPT4ALL_CCACHE": str(tools.ccache or ""),
        "CMAKE_C_COMPILER": str(build.compilers.cc),
        "CMAKE_CXX_COMPILER": str(build.compilers.cxx),
        "CMAKE_MAKE_PROGRAM": str(tools.ninja),
    }
    if not _uses_pinned_source():
        definitions["LLAMA_CPP_COMMIT"] = "local"
    if build.options.sanitize == "address" and build.compilers.is_clang:
        # Counts the branches taken, which is how the fuzzers find their way.
        for language, variable in (("C", "CFLAGS"), ("CXX", "CXXFLAGS")):
            definitions[f"CMAKE_{language}_FLAGS"] = f"{os.environ.get(variable, '')} -fsanitize=fuzzer-no-link".strip()
    command = [str(tools.cmake), "-G", "Ninja", "-S", str(area.source), "-B", str(area.build)]
    command += [f"-D{name}={value}" for name, value in definitions.items()]
    settings = json.dumps(command, indent=1)
    known = area.settings.read_text(encoding="utf-8") if area.settings.exists() else ""
    if settings == known and not sources_want_it:
        return
    with_what = ", ".join(filter(None, (build.compilers.description, build.toolkit.description)))
    result = run_quietly(command, env=_environment(build), doing=f"configuring ({with_what})")
    if result.returncode != 0:
        raise BuildError("CMake could not configure the build", details=result.stdout)
    area.settings.write_text(settings, encoding="utf-8")


def _environment(build: Build) -> dict[str, str]:
    environment = dict(os.environ)
    environment["NINJA_STATUS"] = "[%f/%t] "
    # Lets one area's objects serve another that differs in something else, such as a patch.
    environment.setdefault("CCACHE_BASEDIR", str(build.area.root))
    environment.setdefault("CCACHE_NOHASHDIR", "1")
    if build.options.target:
        # The compiler is a script that says which compiler it calls; its time of change says nothing.
        environment["CCACHE_COMPILERCHECK"] = f"string:{build.compilers.description}"
    if build.area.processor:
        # ccache takes -march=native for the same flag on every machine.
        environment["CCACHE_NAMESPACE"] = f"gpt4all-{build.area.processor}"
    return environment


def _job_count(requested: int) -> int:
    if requested:
        return requested
    try:
        cores = len(os.sched_getaffinity(0))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return os.cpu_count() or 1
    return max(1, min(cores, memory // _BYTES_PER_JOB))


def compile_targets(build: Build, tools: BuildTools, targets: Sequence[str], *, what: str) -> None:
    """Let Ninja bring the targets up to date, showing its progress on stderr."""
    jobs = _job_count(build.options.jobs)
    say(f"compiling {what}, {jobs} at a time ({build.options.name})")
    command = [str(tools.ninja), "-C", str(build.area.build), "-j", str(jobs), *targets]
    result = subprocess.run(command, env=_environment(build), stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if result.returncode != 0:
        advice = "" if jobs == 1 else "Where the compiler was killed for lack of memory, try --jobs 1."
        raise BuildError("compiling failed; the reason stands above", advice=advice)


def _install(build: Build, tools: BuildTools, target: Path) -> None:
    """Put the libraries in place as a whole: a process loading them sees the old set or the new one."""
    say("installing")
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = target.parent / f".stage-{target.name}"
    old = target.parent / f".old-{target.name}"
    remove_tree(stage)
    remove_tree(old)
    result = run_quietly([tools.cmake, "--install", build.area.build, "--prefix", stage])
    if result.returncode != 0 or not any(stage.glob(f"*gpt4all-{target.name}.*")):
        raise BuildError(f"the build left no library gpt4all-{target.name}", details=result.stdout)
    (stage / BUILD_RECORD).write_text(_record(build, stage), encoding="utf-8")
    if target.exists():
        target.rename(old)
    stage.rename(target)
    remove_tree(old)


def recorded_options(directory: Path) -> BuildOptions:
    """How the libraries in ``directory`` were built, as its record tells."""
    try:
        record = json.loads((directory / BUILD_RECORD).read_text(encoding="utf-8"))
        return BuildOptions(
            record["variants"],
            debug=record["build_type"] == "Debug",
            sanitize=record["sanitize"],
            cuda_architectures=record["cuda_architectures"],
            extra=tuple(record["definitions"].items()),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{directory / BUILD_RECORD} does not tell how it was built ({error!r})") from error


def _record(build: Build, stage: Path) -> str:
    pin = read_lock(LOCK_FILE)
    engine = {"version": pin.version, "commit": pin.commit} if _uses_pinned_source() else {"version": "local"}
    record = {
        "backend": build.backend.name,
        "variants": build.options.variants,
        "build_type": build.options.build_type,
        "sanitize": build.options.sanitize,
        "cuda_architectures": build.options.cuda_architectures,
        "target": build.options.target,
        "definitions": {} if build.options.target else dict(build.options.extra),
        "llama_cpp": engine,
        "compiler": build.compilers.description,
        "toolkit": build.toolkit.description,
        **build.toolkit.record,
        "linked_in": {
            **linked_in(build.engine, build.compilers.description, build.toolkit.description, build.options.platform),
            **build.toolkit.linked_in,
        },
        "inputs": build.area.inputs(),
        "files": {path.name: path.stat().st_size for path in sorted(stage.iterdir())},
    }
    return json.dumps(record, indent=2) + "\n"
