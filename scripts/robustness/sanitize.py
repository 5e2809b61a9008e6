"""Command line of ``scripts/dev sanitize``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import testmodels
from nativebuild.sanitized import KINDS, Sanitized, build_sanitized
from testmodels.registry import tiny_models

from robustness.corpora import TARGETS, corpus_files
from robustness.sanitizers import ROOT, program_environment, python_environment, read_reports

_ABI_SUITE = (
    "tests/native/test_abi.py",
    "tests/native/test_chat_abi.py",
    "tests/native/test_requests.py",
    "tests/native/test_tools_abi.py",
)
#: With the engine as it is built for this sanitizer.
_FAULT_SUITE = ("tests/native/test_faults.py", "tests/native/test_faults_python.py")
#: Tests of the package that only need tiny models.
_MODEL_SUITE = (
    "tests/model/test_bad_files.py",
    "tests/model/test_chat_limits.py",
    "tests/model/test_chat_templates.py",
    "tests/model/test_embedding_kinds.py",
    "tests/model/test_memory_kinds.py",
    "tests/model/test_parallel.py",
    "tests/model/test_threads.py",
    "tests/model/test_tokenize_parts.py",
)
_SUITES = {
    "shim": _ABI_SUITE,
    "address": (*_ABI_SUITE, *_FAULT_SUITE, *_MODEL_SUITE),
    "thread": (
        *_ABI_SUITE,
        *_FAULT_SUITE,
        "tests/model/test_embedding_kinds.py",
        "tests/model/test_memory_kinds.py",
        "tests/model/test_parallel.py",
        "tests/model/test_threads.py",
    ),
}
#: Real weights take too long under a sanitizer, whose frames also need more than a small stack, and which keeps freed
#: memory for a while, so that growth tells nothing; the C program is run by itself.
_LEFT_OUT = "not smollm2 and not gemma3 and not small_stack and not c_program and not leave_nothing"


def _run_pytest(build: Sanitized, tests: Sequence[str], reports: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(tests or _default_tests(build))]
    done = subprocess.run(command, cwd=ROOT, env=python_environment(build, reports), check=False)
    return done.returncode == 0


def _default_tests(build: Sanitized) -> list[str]:
    return [*_SUITES[build.kind], "-k", _LEFT_OUT]


def _run_c_program(build: Sanitized, folder: Path) -> bool:
    """The ABI test in C on a model of each kind: here memory that is never freed counts too."""
    program, library = folder / "test_abi", build.root / "cpu" / "libgpt4all-cpu.so"
    source, include = ROOT / "backends" / "tests" / "test_abi.c", ROOT / "backends" / "include"
    compile_it = [build.cc, source, "-o", program, "-g", "-D_GNU_SOURCE", f"-I{include}", *build.flags, "-ldl"]
    if build.kind == "address":
        # clang gives programs in C a runtime that lacks what the library's C++ needs.
        compile_it += ["-fsanitize-link-c++-runtime", "-lstdc++"]
    subprocess.run(list(map(str, compile_it)), check=True)
    environment, passed = program_environment(), True
    for spec in tiny_models():
        if not spec.generates or len(spec.files) > 1:
            continue
        done = subprocess.run([program, library, testmodels.ensure(spec.name)], env=environment, check=False)
        print(f"test_abi.c on {spec.name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
        passed &= done.returncode == 0
    return passed


def _replay(build: Sanitized) -> bool:
    """Every input of the corpora once."""
    if build.kind == "thread":
        return True
    environment, passed = program_environment(), True
    for target in TARGETS:
        # clang's fuzzer writes what it runs to stderr, a line each.
        done = subprocess.run(
            [build.programs / f"fuzz-{target}", *corpus_files(target)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        print(f"corpus of {target}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
        passed &= done.returncode == 0
    return passed


def _run(kind: str, tests: Sequence[str]) -> bool:
    build = build_sanitized(kind)
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder, "reports")
        reports.mkdir()
        passed = _run_pytest(build, tests, reports)
        found = read_reports(reports)
        if found:
            print(found, file=sys.stderr)
        if not tests:
            passed &= _run_c_program(build, Path(folder))
            passed &= _replay(build)
    return passed and not found


def main(arguments: Sequence[str] | None = None) -> int:
    """Build with a sanitizer and run the ABI tests, or the tests that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev sanitize",
        description="Run the ABI tests on the real library under sanitizers, with tiny models of each kind of memory.",
        epilog="\n".join(f"{kind:8} {what}" for kind, what in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", nargs="?", default="shim", choices=list(KINDS), help="what and how (default: shim)")
    parser.add_argument("tests", nargs=argparse.REMAINDER, help="for pytest, instead of the usual tests")
    options = parser.parse_args(arguments)
    passed = _run(options.kind, options.tests)
    print(f"sanitize {options.kind}: {'nothing found' if passed else 'FAILED'}")
    return int(not passed)
