"""The environment that a sanitized library loads in, and what its sanitizers have to say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import testmodels
from nativebuild.fetch import llama_cpp_source
from nativebuild.report import BuildError
from nativebuild.sanitized import Sanitized

__all__ = ["program_environment", "python_environment", "read_reports"]

ROOT = Path(__file__).resolve().parents[2]
# What the sanitizers report about code that is not ours and does no harm.
_TSAN_SUPPRESSIONS = Path(__file__).with_name("tsan_suppressions.txt")
_UBSAN_SUPPRESSIONS = Path(__file__).with_name("ubsan_suppressions.txt")
_UBSAN = f"halt_on_error=1:print_stacktrace=1:suppressions={_UBSAN_SUPPRESSIONS}"


def program_environment() -> dict[str, str]:
    """For a sanitized program in C or C++, the fuzz programs among them."""
    return {
        **os.environ,
        "UBSAN_OPTIONS": _UBSAN,
        "GPT4ALL_FUZZ_MODELS": str(testmodels.ensure("tiny-llama").parent),
        "GPT4ALL_FUZZ_TEMPLATES": str(llama_cpp_source() / "models" / "templates"),
    }


def python_environment(build: Sanitized, reports: Path) -> dict[str, str]:
    """For a Python, itself not sanitized, that loads the library; reports go to files in ``reports``."""
    log = f"log_path={reports / 'report'}"
    environment = {
        **os.environ,
        "LD_PRELOAD": ":".join(map(str, _runtimes(build))),
        "GPT4ALL_BACKEND_PATH": str(build.root),
        "GPT4ALL_TEST_FAULTS": str(build.faults),
        # Guarded memory for the buffers that ctypes hands over.
        "PYTHONMALLOC": "malloc",
        "UBSAN_OPTIONS": f"{_UBSAN}:{log}",
    }
    if build.kind == "thread":
        environment["TSAN_OPTIONS"] = f"suppressions={_TSAN_SUPPRESSIONS}:second_deadlock_stack=1:{log}"
    else:
        # Python itself leaves much behind at its exit; leaks are looked for in programs in C.
        environment["ASAN_OPTIONS"] = f"detect_leaks=0:detect_stack_use_after_return=1:{log}"
    return environment


def read_reports(reports: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(reports.iterdir()))


def _runtimes(build: Sanitized) -> list[Path]:
    """The sanitizer's runtime has to come first, and the C++ one with it, whose exceptions it wraps."""
    if build.kind == "address":
        names = [f"libclang_rt.asan-{os.uname().machine}.so", "libstdc++.so.6"]
    else:
        names = ["libtsan.so" if build.kind == "thread" else "libasan.so", "libubsan.so", "libstdc++.so.6"]
        if build.kind == "thread":
            names.remove("libubsan.so")
    found = []
    for name in names:
        command = [str(build.cc), f"-print-file-name={name}"]
        path = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        if not path.is_absolute():
            raise BuildError(f"{build.cc} has no {name}", advice="Install the compiler's sanitizer libraries.")
        found.append(path.resolve())
    return found
