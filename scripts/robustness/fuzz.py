"""Command line of ``scripts/dev fuzz``."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from nativebuild.cache import cache_dir, lock
from nativebuild.report import run_quietly
from nativebuild.sanitized import Sanitized, build_sanitized
from nativebuild.venvs import child_environment, ensure_venv, pip_install

from robustness.corpora import CORPUS, FINDINGS, TARGETS
from robustness.sanitizers import ROOT, program_environment, python_environment, read_reports

#: Seconds after which one input counts as a hang.
TIMEOUT = 60
#: Targets whose inputs are texts of some language have its words in a file of their name.
_DICTIONARIES = ROOT / "backends" / "fuzz"
#: The corpora are kept small: what a longer input reaches, a short one mostly does too.
_MOST_CORPUS_BYTES = 2048


def _fuzz_native(build: Sanitized, target: str, seconds: int, keep: bool) -> bool:
    """clang's fuzzer on one entry point, from the corpus."""
    program = build.programs / f"fuzz-{target}"
    environment = program_environment()
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found")
        found.mkdir()
        command = [program, f"-max_total_time={seconds}", "-max_len=4096", f"-timeout={TIMEOUT}", "-rss_limit_mb=3072"]
        command += ["-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={FINDINGS}/{target}-"]
        dictionary = _DICTIONARIES / f"{target}.dict"
        if dictionary.exists():
            command.append(f"-dict={dictionary}")
        done = subprocess.run(
            ["nice", *map(str, command), found, CORPUS / target], env=environment, cwd=folder, check=False
        )
        if keep and done.returncode == 0:
            _keep(program, target, found, environment)
    return done.returncode == 0


def _keep(program: Path, target: str, found: Path, environment: dict[str, str]) -> None:
    """The fewest inputs that reach all that was reached, into the corpus."""
    small = found.with_name("small")
    small.mkdir()
    command = [program, "-set_cover_merge=1", f"-max_len={_MOST_CORPUS_BYTES}", small, CORPUS / target, found]
    subprocess.run(list(map(str, command)), env=environment, stderr=subprocess.DEVNULL, check=True)
    known = {path.read_bytes() for path in (CORPUS / target).iterdir()}
    for path in sorted(small.iterdir()):
        content = path.read_bytes()
        if content not in known:
            (CORPUS / target / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def _fuzz_load(build: Sanitized, seconds: int) -> bool:
    """Broken model files through the preflight and the loader; a process that dies leaves its file."""
    deadline = time.monotonic() + seconds
    findings, seed = 0, int(time.time())
    with tempfile.TemporaryDirectory() as folder:
        path, reports = Path(folder, "model.gguf"), Path(folder, "reports")
        reports.mkdir()
        environment = python_environment(build, reports)
        environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
        environment["ASAN_OPTIONS"] += ":allocator_may_return_null=1:max_allocation_size_mb=8192"
        while time.monotonic() < deadline:
            reason = _mutate_until(deadline, path, seed, environment)
            if reason:
                findings += 1
                name = FINDINGS / f"load-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.gguf"
                shutil.copy(path, name)
                print(f"found {name.relative_to(ROOT)}: {reason}\n{read_reports(reports)}", file=sys.stderr, flush=True)
                shutil.rmtree(reports)
                reports.mkdir()
            counts = path.with_suffix(".counts")
            print(f"seed {seed}: {counts.read_text() if counts.exists() else 'nothing'}", flush=True)
            seed += 1
    return findings == 0


def _mutate_until(deadline: float, path: Path, seed: int, environment: dict[str, str]) -> str:
    """Why the process ended before the deadline, or nothing."""
    command = ["nice", sys.executable, "-m", "robustness.mutate", str(path), str(seed)]
    started = time.time()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        try:
            while process.poll() is None:
                if time.monotonic() >= deadline:
                    return ""
                last = path.stat().st_mtime if path.exists() else started
                if time.time() - max(last, started) > TIMEOUT:
                    return "it hangs"
                time.sleep(0.5)
        finally:
            process.kill()
        stderr = process.stderr.read() if process.stderr is not None else ""
    return f"exit code {process.returncode}\n{stderr[-4000:]}"


def _fuzz_gguf(seconds: int) -> bool:
    """Python's fuzzer on the header preflight, in an environment of its own."""
    python = _atheris()
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found")
        found.mkdir()
        command = [python, Path(__file__).with_name("gguf_target.py"), f"-max_total_time={seconds}", "-max_len=4096"]
        command += ["-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={FINDINGS}/"]
        done = subprocess.run(
            ["nice", *map(str, command), found, CORPUS / "gguf"],
            env={**child_environment(), "FUZZ_DIRECTORY": folder},
            check=False,
        )
    return done.returncode == 0


def _atheris() -> Path:
    """A Python that has it."""
    venv = cache_dir() / f"fuzz-py{sys.version_info.major}.{sys.version_info.minor}"
    with lock(venv.name):
        python = ensure_venv(venv)
        if run_quietly([python, "-c", "import atheris"], env=child_environment()).returncode != 0:
            pip_install(python, ["atheris>=3,<4"], doing=f"installing atheris into {venv}")
    return python


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz one target, or all in turn; findings are left in ``build/fuzz``."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["models"]:
        # Not for a number of seconds, and with options of its own.
        from robustness import model_trials

        os.nice(10)
        return model_trials.main(words[1:])
    targets = {
        **TARGETS,
        "load": "model files with mistakes, through the preflight and the loader",
        "gguf": "the header preflight by itself, which is Python",
    }
    parser = argparse.ArgumentParser(
        prog="scripts/dev fuzz",
        description="Fuzz what reads foreign input, from tests/corpus, the native library under AddressSanitizer and "
        "UndefinedBehaviorSanitizer. An input that breaks it is left in build/fuzz; mend the cause and move the file "
        "into the corpus.",
        epilog="\n".join(f"{name:9} {what}" for name, what in targets.items())
        + "\nall       each of these in turn"
        + "\nmodels    broken copies of models, each used in a process of its own; see fuzz models --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=[*targets, "all", "models"])
    parser.add_argument("seconds", nargs="?", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--keep", action="store_true", help="add what reaches something new to the corpus")
    options = parser.parse_args(words)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    chosen = list(targets) if options.target == "all" else [options.target]
    build = build_sanitized("address") if chosen != ["gguf"] else None
    sound = True
    for target in chosen:
        if target == "gguf" or build is None:
            sound &= _fuzz_gguf(options.seconds)
        elif target == "load":
            sound &= _fuzz_load(build, options.seconds)
        else:
            sound &= _fuzz_native(build, target, options.seconds, options.keep)
    return int(not sound)
