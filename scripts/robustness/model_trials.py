"""Loads broken model files, each in a process of its own, and judges how each ends."""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import testmodels

from gpt4all import GPT4All, gguf
from gpt4all._native.backend import load_backend
from gpt4all.errors import GPT4AllError
from robustness.corpora import FINDINGS
from robustness.model_mutants import Mutant, mutants, read_model

__all__ = ["Ending", "main", "sampled", "try_file"]

#: A trial takes a tenth of a second; what takes this much processor time is a hang.
CPU_SECONDS = 20
WALL_SECONDS = 300
MEMORY_BYTES = 6 << 30

_USED, _REFUSED_BY_HEADER, _REFUSED_BY_ENGINE, _FAILED, _UNTYPED = 0, 10, 11, 12, 13
_WORDS = {
    _USED: "used",
    _REFUSED_BY_HEADER: "refused by the preflight",
    _REFUSED_BY_ENGINE: "refused by the load",
    _FAILED: "failed after the load",
    _UNTYPED: "an error of another type",
}


@dataclass(frozen=True)
class Ending:
    """How a trial ended: ``fatal`` where it would have taken the program with it, or left it waiting."""

    what: str
    fatal: bool
    message: str


def _use(path: Path, n_threads: int) -> int:
    try:
        gguf.preflight(path)
    except GPT4AllError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return _REFUSED_BY_HEADER
    try:
        model = GPT4All(path, n_ctx=64, n_threads=n_threads)
    except GPT4AllError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return _REFUSED_BY_ENGINE
    with model:
        try:
            model.detokenize(model.tokenize("hi"))
            if model._loaded.info.can_generate:
                model.generate("hi", max_tokens=4, temp=0)
            else:
                tokens = array("i", model._loaded.tokenize("hi", add_special=True))
                model._loaded.embed(tokens, array("i", [len(tokens)]), normalize=True)
        except GPT4AllError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return _FAILED
    return _USED


def _child(path: Path, log: Path, n_threads: int) -> None:
    """Never returns."""
    code = _UNTYPED
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        code = _use(path, n_threads)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int) -> int | None:
    """The status, or ``None`` for a process that had to be ended."""
    deadline = time.monotonic() + WALL_SECONDS
    pause = 0.002
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def try_file(content: bytes, folder: Path, n_threads: int = 1) -> Ending:
    """Loads and uses a file with that content, in a child of this process, which must have no threads."""
    path, log = folder / "mutant.gguf", folder / "log"
    path.write_bytes(content)
    log.write_bytes(b"")
    pid = os.fork()
    if pid == 0:
        _child(path, log, n_threads)
    status = _wait(pid)
    message = log.read_text(errors="replace").strip()[-400:]
    if status is None:
        return Ending("waits for ever", True, message)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hang = number in (signal.SIGXCPU, signal.SIGKILL)
        return Ending("computes for ever" if hang else signal.Signals(number).name, True, message)
    code = os.WEXITSTATUS(status)
    return Ending(_WORDS.get(code, f"exit code {code}"), code == _UNTYPED or code not in _WORDS, message)


def sampled(path: Path, rounds: int, every: int, seed: int) -> Iterator[Mutant]:
    """One in ``every`` mutants of a model, others with another seed."""
    for mutant in mutants(read_model(path), rounds, seed):
        if zlib.crc32(f"{seed} {path.name} {mutant.what}".encode()) % every == 0:
            yield mutant


def try_model(path: Path, folder: Path, options: argparse.Namespace) -> bool:
    """Tries a model's mutants and says how they ended; whether none was fatal."""
    counts: Counter[str] = Counter()
    sound = True
    for mutant in sampled(path, options.rounds, options.every, options.seed):
        content = mutant.model.file()
        ending = try_file(content, folder, options.threads)
        counts[ending.what] += 1
        if ending.fatal:
            sound = False
            FINDINGS.mkdir(parents=True, exist_ok=True)
            kept = FINDINGS / f"model-{hashlib.sha256(content).hexdigest()[:16]}.gguf"
            kept.write_bytes(content)
            print(f"{path.name}: {mutant.what}: {ending.what}, kept as {kept}\n{ending.message}", flush=True)
    print(f"{path.name}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}", flush=True)
    return sound


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``scripts/dev fuzz models``."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev fuzz models",
        description="Load and use broken copies of models, each in a process of its own: every metadata key and every "
        "tensor changed in every way, then several at random. What ends or hangs its process is kept in build/fuzz.",
        epilog="llama.cpp's own program test-llama-archs writes tiny models of most architectures.",
    )
    parser.add_argument("models", nargs="*", type=Path, help="GGUF files (default: the tiny test models)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take one in N (default: all)")
    parser.add_argument("--rounds", type=int, default=200, help="with several changes, for each model (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="which of them, and which changes come together")
    parser.add_argument("--threads", type=int, default=1, help="of each model")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    # Before the children are forked: they find it loaded.
    load_backend("cpu")
    models = options.models or [
        testmodels.ensure(spec.name) for spec in testmodels.tiny_models() if len(spec.files) == 1
    ]
    with tempfile.TemporaryDirectory() as folder:
        results = [try_model(path, Path(folder), options) for path in models]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
