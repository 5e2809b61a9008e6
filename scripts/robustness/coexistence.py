"""Command line of ``scripts/dev coexistence``: ours and others' llama.cpp, in one process."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nativebuild.build import INSTALL_ROOT
from nativebuild.cache import cache_dir, lock, remove_tree
from nativebuild.report import BuildError, say
from nativebuild.venvs import pip_install
from testmodels import ensure

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
OURS = ("cpu", "kompute")
# Prebuilt, with a llama.cpp of about the same age inside.
PEER = "xllamacpp==2026.10.11549"

_PROGRAM = """
import sys

ours, theirs, order = sys.argv[1], sys.argv[2], sys.argv[3:]

def backend(name):
    from gpt4all._native.backend import CancelFlag, load_backend
    from gpt4all.options import GenerationOptions, LoadOptions
    library = load_backend(name)
    gpus = [device.index for device in library.devices() if device.type != "cpu"]
    device = gpus[0] if gpus else -1
    model = library.load_model(ours, LoadOptions.create(n_ctx=128, n_threads=1), device=device)
    assert bool(model.info.n_layers_offloaded) == (name != "cpu"), f"{name} has no device"
    prompt = model.tokenize("Once upon a time", add_special=True, parse_special=False)

    def run():
        tokens = []
        options = GenerationOptions.create(max_tokens=16, n_batch=64, temp=0, repeat_penalty=1.0, seed=0, stop=[])
        model.generate(prompt, options, lambda token, text: tokens.append(token) is None, CancelFlag())
        return tokens
    return run

def xllamacpp():
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = theirs
    params.n_ctx = 256
    params.n_gpu_layers = 0
    server = xllamacpp.Server(params)
    question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}
    return lambda: server.handle_chat_completions(question)["choices"][0]["message"]["content"]

def llama_cpp():
    import llama_cpp
    model = llama_cpp.Llama(theirs, n_ctx=128, verbose=False)
    return lambda: model("Once upon a time", max_tokens=8, temperature=0)["choices"][0]["text"]

peers = {"xllamacpp": xllamacpp, "llama_cpp": llama_cpp}
runs = {name: peers[name]() if name in peers else backend(name) for name in order}
first = {name: run() for name, run in runs.items()}
assert all(first.values()), first
# In turns, so that each runs after every other has.
assert {name: run() for name, run in reversed(runs.items())} == first
import json
print(json.dumps({name: first[name] for name in sorted(first) if name not in peers}))
"""


def _peer_directory() -> Path:
    folder = cache_dir() / PEER.replace("==", "-")
    with lock(folder.name):
        if not folder.exists():
            stage = folder.with_name(folder.name + ".stage")
            remove_tree(stage)
            options = ["--no-deps", "--target", str(stage)]
            pip_install(Path(sys.executable), [*options, PEER], doing=f"fetching {PEER} into the cache")
            stage.rename(folder)
    return folder


def _orders(built: list[str], peer: str) -> Iterator[tuple[str, ...]]:
    """Each of ours alone, all of ours in both orders, and the peer before, between and after them."""
    yield from ((name,) for name in built)
    if len(built) > 1:
        yield from itertools.permutations(built)
    for place in range(len(built) + 1):
        yield (*built[:place], peer, *built[place:])


def _run(python: str, order: tuple[str, ...], paths: list[Path]) -> str:
    done = subprocess.run(
        [python, "-c", _PROGRAM, str(ensure("tiny-llama")), str(ensure("smollm2")), *order],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "GPT4ALL_ALLOW_SOFTWARE_GPU": "1",
            "PYTHONFAULTHANDLER": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{' then '.join(order)} failed (exit status {done.returncode})", details=done.stderr[-3000:])
    return done.stdout.strip().splitlines()[-1]


def _check(peer: str, python: str) -> int:
    built = [name for name in OURS if any((INSTALL_ROOT / name).glob(f"*gpt4all-{name}.*"))]
    if not built:
        raise BuildError("no backend is built", advice="./build_backends.sh all")
    paths = [ROOT, *([_peer_directory()] if peer == "xllamacpp" else [])]
    alone: dict[str, object] = {}
    for order in _orders(built, peer):
        for name, tokens in json.loads(_run(python, order, paths)).items():
            if alone.setdefault(name, tokens) != tokens:
                raise BuildError(f"{' then '.join(order)}: {name} generated {tokens}, and alone {alone[name]}")
        say(f"{' then '.join(order)}: as alone")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status is 0 where all of them get along."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev coexistence",
        description="Load our built backends and another package that bundles llama.cpp into one process, in every "
        "order, and compare what ours generate with what they generate alone.",
    )
    parser.add_argument("--peer", choices=("xllamacpp", "llama_cpp"), default="xllamacpp")
    parser.add_argument("--python", default=sys.executable, help="one that has llama_cpp and our dependencies")
    options = parser.parse_args(arguments)
    return _check(options.peer, options.python)
