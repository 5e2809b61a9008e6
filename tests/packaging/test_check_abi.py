"""Each gate of ``scripts/dev abi`` passes as things are, and fails for every kind of mismatch."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint32, c_void_p
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from abicheck.cli import HEADER, TEST
from abicheck.gates import compile_and_print_layout, export_problems, layout_problems, prototype_problems
from abicheck.header import HeaderError, parse_header

from gpt4all._native import abi
from gpt4all._native.prototypes import PROTOTYPES
from tests.support.fake.backend import ROOT, build_fake, find_compiler

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler (cc, gcc or clang, or CC)")


@pytest.fixture
def changed_header(tmp_path: Path) -> Callable[[str, str], Path]:
    def change(old: str, new: str) -> Path:
        text = HEADER.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is no longer once in the header"
        path = tmp_path / HEADER.name
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return change


def changed_abi(**changes: Any) -> ModuleType:
    """A copy of ``abi``; ``None`` takes a name out."""
    module = ModuleType("changed_abi")
    vars(module).update({name: value for name, value in {**vars(abi), **changes}.items() if value is not None})
    return module


def changed_struct(base: Any, **kinds: Any) -> Any:
    """A copy of a struct with other types for some of its fields; ``None`` takes one out."""
    fields = [(name, kinds.get(name, kind)) for name, kind in base._fields_]
    return type(base.__name__, (ctypes.Structure,), {"_fields_": [pair for pair in fields if pair[1] is not None]})


def layout(header: Path) -> list[dict[str, Any]]:
    compiler = find_compiler()
    assert compiler is not None
    return compile_and_print_layout(TEST, header.parent, compiler)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    if find_compiler() is None:
        pytest.skip("needs a C compiler (cc, gcc or clang, or CC)")
    return layout(HEADER)


@needs_compiler
def test_the_command_finds_nothing_wrong(tmp_path: Path) -> None:
    library = build_fake(tmp_path)
    command = [sys.executable, str(ROOT / "scripts" / "commands"), "abi", str(library.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    prototypes, numbers, exports = done.stdout.splitlines()
    assert prototypes == f"prototypes: {len(PROTOTYPES)} functions are equal"
    assert numbers.startswith("layout: ")
    assert exports == f"exports of {library.name}: as they should be"
    assert done.returncode == 0
    assert subprocess.run([*command[:3], str(tmp_path / "none")], capture_output=True).returncode == 1


# The header


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GPT4ALL_OK = 0,", "GPT4ALL_OK,"),
        ("    int32_t traits;\n", "    int32_t traits[2];\n"),
        ("    int32_t traits;\n", "    int32_t traits : 3;\n"),
        ("typedef int32_t gpt4all_status;", "typedef int32_t gpt4all_status; extern int32_t more;"),
        ("gpt4all_device_count(int32_t *count);", "gpt4all_device_count(int32_t *);"),
    ],
)
def test_a_form_that_is_not_understood_is_refused(
    changed_header: Callable[[str, str], Path], old: str, new: str
) -> None:
    with pytest.raises(HeaderError):
        parse_header(changed_header(old, new))


# Layout


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    int32_t traits;\n", "    int64_t traits;\n", "abi.ModelInfo.traits has size 4, and 8 in C"),
        (
            "    int32_t traits;\n",
            "    uint32_t traits;\n",
            "abi.ModelInfo.traits is c_int, which does not fit 'uint32_t'",
        ),
        ("    int32_t traits;\n", "    int32_t traits;\n    int32_t more;\n", "abi.ModelInfo lacks more"),
        (
            "    int32_t traits;\n",
            "    int32_t traits;\n    int32_t more;\n",
            "the C test's gpt4all_model_info lacks more",
        ),
        ("GPT4ALL_LOG_INFO = 1", "GPT4ALL_LOG_INFO = 7", "GPT4ALL_LOG_INFO is 7 in C and 1 in abi.py"),
        ("GPT4ALL_LOG_INFO = 1", "GPT4ALL_LOG_INFO = 1, GPT4ALL_LOG_MORE = 9", "abi.py lacks GPT4ALL_LOG_MORE"),
        (f"GPT4ALL_ABI_VERSION {abi.ABI_VERSION}", "GPT4ALL_ABI_VERSION 99", "GPT4ALL_ABI_VERSION is 99 in C and "),
        (
            "    int32_t n_layer;\n    int32_t token_bos; ",
            "    int32_t token_bos;\n    int32_t n_layer; ",
            "abi.ModelInfo.n_layer has offset ",
        ),
    ],
)
def test_layout_of_a_changed_header(
    changed_header: Callable[[str, str], Path], old: str, new: str, problem: str
) -> None:
    path = changed_header(old, new)
    problems = layout_problems(parse_header(path), layout(path), abi)
    assert any(line.startswith(problem) for line in problems), problems


@needs_compiler
def test_a_header_that_is_no_c_does_not_pass(changed_header: Callable[[str, str], Path]) -> None:
    path = changed_header("    int32_t traits;\n", "    bool traits;\n")
    with pytest.raises(RuntimeError, match="c99"):
        layout(path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"LOG_INFO": 5}, "GPT4ALL_LOG_INFO is 1 in C and 5 in abi.py"),
        ({"LOG_INFO": None}, "abi.py lacks GPT4ALL_LOG_INFO"),
        ({"LOG_MORE": 5}, "abi.py has GPT4ALL_LOG_MORE"),
        ({"String": None}, "abi.py lacks String"),
        ({"Other": type("Other", (ctypes.Structure,), {})}, "abi.py has Other"),
        (
            {"String": changed_struct(abi.String, length=c_int32)},
            "abi.String.length has size 4, and 8 in C",
        ),
        ({"DeviceInfo": changed_struct(abi.DeviceInfo, type=None)}, "abi.DeviceInfo lacks type"),
        (
            {"DeviceInfo": changed_struct(abi.DeviceInfo, type=c_uint32)},
            "abi.DeviceInfo.type is c_uint, which does not fit 'int32_t'",
        ),
        (
            {"LoadOptions": changed_struct(abi.LoadOptions, tensor_split=POINTER(c_int32))},
            "abi.LoadOptions.tensor_split is LP_c_int, which does not fit 'const float *'",
        ),
        (
            {"LoadOptions": changed_struct(abi.LoadOptions, progress=c_void_p)},
            "abi.LoadOptions.progress is c_void_p, which does not fit 'gpt4all_progress_callback'",
        ),
        ({"LoadOptions": changed_struct(abi.LoadOptions, progress_payload=None)}, "gpt4all_load_options has "),
    ],
)
def test_layout_of_changed_structs(rows: list[dict[str, Any]], changes: dict[str, Any], problem: str) -> None:
    problems = layout_problems(parse_header(HEADER), rows, changed_abi(**changes))
    assert any(line.startswith(problem) for line in problems), problems


# Prototypes


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("gpt4all_device_count(", "gpt4all_count_devices(", "prototypes.py lacks gpt4all_count_devices"),
        ("gpt4all_device_count(", "gpt4all_count_devices(", "prototypes.py has gpt4all_device_count"),
        (
            "gpt4all_device_count(int32_t *count)",
            "gpt4all_device_count(int64_t *count)",
            "argument 1 of gpt4all_device_count, 'count', is 'int64_t *', which LP_c_int does not fit",
        ),
        (
            "gpt4all_device_count(int32_t *count)",
            "gpt4all_device_count(int32_t *count, int32_t kind)",
            "gpt4all_device_count takes 2 arguments, but Python declares 1",
        ),
        (
            "gpt4all_status gpt4all_init(void)",
            "void gpt4all_init(void)",
            "gpt4all_init returns 'void', which c_int does not fit",
        ),
        (
            "(*gpt4all_progress_callback)(float fraction",
            "(*gpt4all_progress_callback)(int32_t fraction",
            "argument 1 of gpt4all_progress_callback, 'fraction', is 'int32_t', which c_float does not fit",
        ),
        (
            "typedef void (*gpt4all_log_callback)",
            "typedef int32_t (*gpt4all_log_callback)",
            "gpt4all_log_callback returns 'int32_t', which None does not fit",
        ),
    ],
)
def test_prototypes_of_a_changed_header(
    changed_header: Callable[[str, str], Path], old: str, new: str, problem: str
) -> None:
    problems = prototype_problems(parse_header(changed_header(old, new)), PROTOTYPES, abi)
    assert any(line.startswith(problem) for line in problems), problems


@pytest.mark.parametrize(
    ("name", "argument", "kind", "problem"),
    [
        # Output goes to memory that Python may write to.
        ("gpt4all_detokenize", 3, c_char_p, "'char *', which c_char_p does not fit"),
        ("gpt4all_tokenize", 2, c_int32, "'int64_t', which c_int does not fit"),
        ("gpt4all_model_load", 2, POINTER(c_int64), "'gpt4all_model **', which LP_c_long does not fit"),
        ("gpt4all_model_free", 0, c_char_p, "'gpt4all_model *', which c_char_p does not fit"),
        ("gpt4all_generate", 3, POINTER(abi.LoadOptions), "which LP_LoadOptions does not fit"),
        ("gpt4all_generate", 4, abi.LogCallback, "'gpt4all_token_callback', which CFunctionType does not fit"),
    ],
)
def test_changed_prototypes(name: str, argument: int, kind: Any, problem: str) -> None:
    argtypes, restype, error = PROTOTYPES[name]
    changed = [*argtypes[:argument], kind, *argtypes[argument + 1 :]]
    problems = prototype_problems(parse_header(HEADER), {**PROTOTYPES, name: (changed, restype, error)}, abi)
    assert len(problems) == 1
    assert problems[0].startswith(f"argument {argument + 1} of {name}, ")
    assert problems[0].endswith(problem)


def test_a_status_nobody_looks_at() -> None:
    argtypes, restype, _ = PROTOTYPES["gpt4all_init"]
    problems = prototype_problems(parse_header(HEADER), {**PROTOTYPES, "gpt4all_init": (argtypes, restype, None)}, abi)
    assert problems == ["gpt4all_init returns 'gpt4all_status', but its exception is None"]


def test_callback_text_that_would_end_at_nul() -> None:
    callback = ctypes.CFUNCTYPE(c_int32, c_int32, c_char_p, c_int64, c_void_p)
    problems = prototype_problems(parse_header(HEADER), PROTOTYPES, changed_abi(TokenCallback=callback))
    assert "argument 2 of gpt4all_token_callback, 'text', is 'const char *', which c_char_p does not fit" in problems


# Exports

needs_elf = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF libraries")


def _compile(directory: Path, code: str, name: str) -> Path:
    source, library = directory / "more.c", directory / name
    source.write_text(code)
    compiler = find_compiler()
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return library


@needs_elf
@needs_compiler
def test_exports_of_a_changed_header(changed_header: Callable[[str, str], Path], tmp_path: Path) -> None:
    library = build_fake(tmp_path)
    header = parse_header(changed_header("gpt4all_device_count(", "gpt4all_count_devices("))
    assert export_problems(parse_header(HEADER), library) == []
    assert export_problems(header, library) == [
        "libgpt4all-cpu.so lacks gpt4all_count_devices, one of the header's functions",
        "libgpt4all-cpu.so has gpt4all_device_count, which is none of the header's functions",
    ]


@needs_elf
@needs_compiler
def test_a_symbol_too_many(tmp_path: Path) -> None:
    functions = parse_header(HEADER).functions
    code = "".join(f"void {name}(void) {{}}\n" for name in functions) + "int ggml_more;\n"
    entry = _compile(tmp_path, code, "libgpt4all-cpu.so")
    assert export_problems(parse_header(HEADER), entry) == [
        "libgpt4all-cpu.so has ggml_more, which is none of the header's functions"
    ]
    # The engine's libraries beside it have exports of their own.
    assert export_problems(parse_header(HEADER), entry.rename(tmp_path / "libgpt4all-cpu-ggml.so")) == []


@needs_elf
@needs_compiler
def test_a_unique_symbol(tmp_path: Path) -> None:
    library = _compile(tmp_path, 'int one = 1; __asm__(".type one, @gnu_unique_object");', "libgpt4all-cpu-ggml.so")
    assert export_problems(parse_header(HEADER), library) == ["libgpt4all-cpu-ggml.so defines one, a GNU-unique symbol"]


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "libgpt4all-cpu.so").write_text("text")
    assert len(export_problems(parse_header(HEADER), tmp_path / "libgpt4all-cpu.so")) == 1
