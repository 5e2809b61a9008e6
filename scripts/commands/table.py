"""The subcommands of ``scripts/dev``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "GROUPS", "Command"]


@dataclass(frozen=True)
class Command:
    """A subcommand: its module's ``main`` takes the arguments and returns the exit status."""

    module: str
    line: str
    extras: tuple[str, ...] | None = None
    """What ``.venv`` has to have beside the package. ``None``: any Python runs it, and nothing is set up before."""


GROUPS = {
    "for everybody; scripts/setup is short for scripts/dev setup, and so on": {
        "setup": Command("commands.setup", "build the CPU backend, make .venv with the package in it"),
        "demo": Command("commands.demo", "a streamed answer to your question", ()),
        "test": Command(
            "commands.test", "the fast tests with real models; all tests with --all", ("test", "test-models")
        ),
        "check": Command("commands.check", "everything a contribution has to pass", ("dev",)),
    },
    "building": {
        "build": Command("nativebuild.cli", "the native libraries; build_backends.sh is short for it"),
        "fetch-llama-cpp": Command("nativebuild.fetch", "llama.cpp's pinned source into the build cache"),
        "wheels": Command("wheels.cli", "wheels for this and other platforms, made and checked"),
        "installs": Command("installs.cli", "a finished wheel, installed in the ways that people do, and used"),
    },
    "checking": {
        "abi": Command("abicheck.cli", "the C header beside Python's declarations and the built libraries"),
        "models": Command("testmodels.cli", "fetch and write the models that tests use", ("test-models",)),
        "sanitize": Command(
            "robustness.sanitize", "tests on the real library under sanitizers", ("test", "test-models")
        ),
        "fuzz": Command(
            "robustness.fuzz", "broken and random inputs for everything that reads", ("test", "test-models")
        ),
        "soak": Command("robustness.soak", "thousands of calls and loads with flat memory", ("test-models",)),
        "exits": Command("robustness.exits", "interpreters that end in mid-stream", ("test", "test-models")),
        "coexistence": Command("robustness.coexistence", "one process with others' llama.cpp", ("test-models",)),
        "bfcl": Command("bfcl.cli", "the function-calling leaderboard's functions as tools", ("test", "test-models")),
        "corpora": Command("corpora.cli", "a corpus through Ray Data, Spark and datasets", ("test-models", "corpora")),
        "docs": Command("docsite.cli", "the documentation's site, its links checked", ("docs",)),
        "gpu": Command("gpucheck.cli", "whether cuda or kompute works on this machine's GPU", ("test-models",)),
    },
    "measuring": {
        "bench": Command("bench.cli", "this package beside its peers", ("test-models", "bench")),
        "bench-peers": Command("bench.peers", "build and fetch the peers; bench does it where needed"),
        "bench-embeddings": Command("bench.embeddings", "how embedding scales with texts, lengths and threads", ()),
        "bench-vectors": Command("bench.vectors", "vectors beside those of sentence-transformers", ("test-models",)),
        "bench-downloads": Command("bench.downloads", "how fast a file comes over the loopback interface", ()),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
