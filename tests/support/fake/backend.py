"""The fake backend for tests: compiles it, and writes the model files that script it.

    path = write_fake_model(tmp_path / "model.gguf", " Hello", " world", END, delay_us=50)

A fake model is a GGUF file that the package's preflight accepts, with a script behind it. Positional arguments say what
is generated: ``str`` and ``bytes`` are one token each, ``text("...")`` is one token per byte, ``ECHO`` repeats the
prompt, ``END`` ends the model's turn, ``TURN`` begins what the next call generates. Keywords are the other directives
of ``backends/fake/script.c``, which explains them all: a tuple gives several words, a list several lines.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from tests.support.gguf.writer import Tensor, build_gguf

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "backends" / "fake"
NATIVE = ROOT / "backends" / "src"
TEXT_STREAM = NATIVE / "generate" / "text_stream.cpp"
EXPORTS = ROOT / "backends" / "exports.map"
C_TEST = ROOT / "backends" / "tests" / "test_abi.c"
GRAMMAR_MASKS = ROOT / "backends" / "tests" / "grammar_masks.cpp"
THREAD_COUNTS = ROOT / "backends" / "tests" / "thread_counts.cpp"
PROCESSOR = ROOT / "backends" / "tests" / "processor.cpp"
TOP_LOGITS = ROOT / "backends" / "tests" / "top_logits.cpp"
FAIL_MALLOC = ROOT / "backends" / "tests" / "fail_malloc.c"
INCLUDE = ROOT / "backends" / "include"
#: Where ``llama.h`` is a list of texts.
LISTED = (f"-I{NATIVE}", f"-I{ROOT / 'backends' / 'fuzz' / 'listed'}")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic")
MARKER = b"\n#!gpt4all-fake\n"

FIRST_BYTE_TOKEN = 3
FIRST_SCRIPTED_TOKEN = 259
BOS, EOS = 0, 1


@dataclass(frozen=True)
class Step:
    """One line of the script that says what is generated."""

    line: bytes


END = Step(b"end")
ECHO = Step(b"echo")
TURN = Step(b"turn")

Piece = str | bytes | Step


def text(value: str | bytes) -> Step:
    """One token per byte, the same ids that tokenising ``value`` gives."""
    return Step(b"text " + _escaped(value))


class FakeModel(Protocol):
    """What the ``fake_model`` fixture gives: ``write_fake_model`` with a path of its own for every call."""

    def __call__(self, *steps: Piece, **directives: Any) -> Path: ...


def write_fake_model(path: Path, *steps: Piece, metadata: Mapping[str, Any] | None = None, **directives: Any) -> Path:
    """Write a fake model to ``path``; ``metadata`` is added to the GGUF header."""
    directives = {"architecture": "llama", **directives}
    path.write_bytes(_header(metadata or {}, directives) + MARKER + script(*steps, **directives))
    return path


def script(*steps: Piece, **directives: Any) -> bytes:
    """The script alone, for a model file of another kind."""
    lines = [line for key, value in directives.items() for line in _lines(key, value)]
    lines += [step.line if isinstance(step, Step) else b"piece " + _escaped(step) for step in steps]
    return b"\n".join(lines) + b"\n"


def build_fake(directory: Path, backend: str = "cpu", *flags: str, **defines: object) -> Path:
    """Compile the fake into ``directory``, which then suits ``GPT4ALL_BACKEND_PATH``; returns the library.

    ``defines`` are its compile-time macros: ``FAKE_ABI_VERSION=99``, ``FAKE_DEVICES='{...},'``.
    """
    macos = sys.platform == "darwin"
    library = directory / backend / f"libgpt4all-{backend}{'.dylib' if macos else '.so'}"
    library.parent.mkdir(parents=True, exist_ok=True)
    macros = {"FAKE_BACKEND_NAME": f'"{backend}"', **defines}
    compile_flags = tuple(flag for flag in flags if flag.startswith(("-f", "-O")))  # the others are the linker's
    exports = "-Wl,-exported_symbol,_gpt4all_*" if macos else f"-Wl,--version-script={EXPORTS}"
    _compile(
        SOURCES / "library.c",
        library,
        *("-shared", *_FAKE_FLAGS, "-std=c11", *(f"-D{name}={value}" for name, value in macros.items())),
        *(*flags, *map(str, _fake_objects(compile_flags)), exports, "-lstdc++", "-lpthread", "-lm"),
    )
    return library


_FAKE_FLAGS = ("-fPIC", "-fvisibility=hidden", "-O1", "-g")


@cache
def _fake_objects(flags: tuple[str, ...]) -> list[Path]:
    """What no macro changes, compiled once for a process: all but the library and its devices."""
    directory = Path(tempfile.mkdtemp(prefix="gpt4all-fake-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    objects = []
    for source in [*sorted(SOURCES.glob("*.c")), *sorted(SOURCES.glob("*.cpp")), TEXT_STREAM]:
        if source.name == "library.c":
            continue
        standard = "-std=c11" if source.suffix == ".c" else "-std=c++17"
        objects.append(directory / f"{source.stem}.o")
        _compile(source, objects[-1], "-c", *_FAKE_FLAGS, standard, f"-I{NATIVE}", *flags)
    return objects


def build_fake_driver(directory: Path) -> Path:
    """Compile Vulkan's loader and NVIDIA's driver, scripted, into ``directory``, which suits ``LD_LIBRARY_PATH``."""
    directory.mkdir(parents=True, exist_ok=True)
    arguments = ("-shared", "-fPIC", "-std=c11", "-O1", "-g")
    for source, library in (
        ("vulkan.c", "libvulkan.so.1"),
        ("cuda.c", "libcuda.so.1"),
        ("cuda.c", "libnvidia-ml.so.1"),
    ):
        _compile(SOURCES / "drivers" / source, directory / library, *arguments)
    return directory


def build_c_test(program: Path, *flags: str) -> Path:
    """Compile ``backends/tests/test_abi.c``; returns the program."""
    _compile(C_TEST, program, *flags, "-ldl")
    return program


def build_grammar_masks(program: Path) -> Path:
    """Compile ``backends/tests/grammar_masks.cpp`` with the grammar, without the engine; returns the program."""
    sources = [*(NATIVE / "grammar").glob("*.cpp"), NATIVE / "tokens" / "vocabulary.cpp"]
    _compile(GRAMMAR_MASKS, program, "-std=c++17", "-O2", *LISTED, *map(str, sources), "-lstdc++", "-lm")
    return program


def build_processor(program: Path, compiler: str | None = None) -> Path:
    """Compile ``backends/tests/processor.cpp`` with what it tests; returns the program."""
    source = str(NATIVE / "base" / "processor.cpp")
    _compile(PROCESSOR, program, "-std=c++17", "-O2", f"-I{NATIVE}", source, "-lstdc++", compiler=compiler)
    return program


def build_top_logits(program: Path) -> Path:
    """Compile ``backends/tests/top_logits.cpp`` with what it tests, without the engine; returns the program."""
    source = str(NATIVE / "generate" / "top_logits.cpp")
    _compile(TOP_LOGITS, program, "-std=c++17", "-O2", *LISTED, source, "-lstdc++", "-lm")
    return program


def build_thread_counts(program: Path) -> Path:
    """Compile ``backends/tests/thread_counts.cpp`` with what it tests; returns the program."""
    _compile(
        THREAD_COUNTS,
        program,
        "-std=c++17",
        f"-I{NATIVE}",
        str(NATIVE / "engine" / "thread_count.cpp"),
        "-lstdc++",
        "-lm",
    )
    return program


def build_fail_malloc(library: Path) -> Path:
    """Compile ``backends/tests/fail_malloc.c``; returns the library, which is to be preloaded."""
    _compile(FAIL_MALLOC, library, "-shared", "-fPIC", "-O1")
    return library


def _compile(source: Path, target: Path, *arguments: str, compiler: str | None = None) -> None:
    compiler = compiler or find_compiler()
    if compiler is None:
        raise FileNotFoundError("no C compiler found; set CC")
    command = [compiler, str(source), "-o", str(target), "-D_GNU_SOURCE", *WARNINGS, f"-I{INCLUDE}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def find_compiler() -> str | None:
    names = [os.environ.get("CC") or "cc", "gcc", "clang"]
    return next((found for found in map(shutil.which, names) if found), None)


def _header(metadata: Mapping[str, Any], directives: Mapping[str, Any]) -> bytes:
    """The same facts where Python looks for them before it loads anything."""
    architecture = directives["architecture"]
    header = {
        "general.architecture": architecture,
        f"{architecture}.block_count": directives.get("n_layer", 2),
        f"{architecture}.context_length": directives.get("n_ctx_train", 2048),
    }
    for directive, key in (("name", "general.name"), ("chat_template", "tokenizer.chat_template")):
        if directive in directives:
            header[key] = directives[directive]
    header.update(metadata)
    return build_gguf(header, [Tensor("output.weight", (32,))])


def _lines(key: str, value: Any) -> list[bytes]:
    if isinstance(value, list):
        return [line for item in value for line in _lines(key, item)]
    words = value if isinstance(value, tuple) else (value,)
    rendered = [_escaped(word) if isinstance(word, (str, bytes)) else str(int(word)).encode() for word in words]
    return [b" ".join([key.encode(), *rendered])]


def _escaped(value: str | bytes) -> bytes:
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return b"".join(bytes([byte]) if 32 <= byte < 127 and byte != 92 else b"\\x%02x" % byte for byte in raw)
