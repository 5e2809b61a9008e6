"""The three gates between the C header, Python's declarations of it, and built libraries.

Each returns what is wrong, a sentence for every mismatch; nothing is wrong where it returns an empty list.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from wheels.elf import ElfError, read_elf

from abicheck.header import Function, Header, Parameter

__all__ = ["compile_and_print_layout", "export_problems", "layout_problems", "prototype_problems"]

_PREFIX = "gpt4all_"
_SCALARS: dict[str, Any] = {
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "float": ctypes.c_float,
}
_STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]

Row = dict[str, Any]


# Layout


def compile_and_print_layout(source: Path, include: Path, compiler: str) -> list[Row]:
    """Compile the C test as C99 and as C11 and return what it prints about the header.

    Raises:
        RuntimeError: it does not compile without a warning.
    """
    rows: list[list[Row]] = []
    with tempfile.TemporaryDirectory() as directory:
        for standard in ("c99", "c11"):
            program = Path(directory, standard)
            command = [compiler, f"-std={standard}", "-D_GNU_SOURCE", *_STRICT, f"-I{include}", str(source)]
            done = subprocess.run([*command, "-o", str(program), "-ldl"], capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{source.name} does not compile as {standard}:\n{done.stderr.rstrip()}")
            printed = subprocess.run([program, "--layout"], capture_output=True, text=True, check=True)
            rows.append([json.loads(line) for line in printed.stdout.splitlines()])
    if rows[0] != rows[1]:
        raise RuntimeError("C99 and C11 give different layouts")
    return rows[0]


def layout_problems(header: Header, rows: Sequence[Row], abi: ModuleType) -> list[str]:
    """Compare the compiler's sizes, offsets and constants with the ctypes declarations in ``abi``."""
    return [*_constant_problems(header, rows, abi), *_struct_problems(header, rows, abi)]


def _constant_problems(header: Header, rows: Sequence[Row], abi: ModuleType) -> Iterator[str]:
    compiled = {row["constant"]: row["value"] for row in rows if "constant" in row}
    yield from _differences("the C test", compiled, "the header's constants", header.constants)
    declared = {f"GPT4ALL_{name}": value for name, value in vars(abi).items() if name.isupper() and type(value) is int}
    yield from _differences("abi.py", declared, "the header's constants", header.constants)
    for name, value in compiled.items():
        if declared.get(name, value) != value:
            yield f"{name} is {value} in C and {declared[name]} in abi.py"


def _struct_problems(header: Header, rows: Sequence[Row], abi: ModuleType) -> Iterator[str]:
    compiled = {row["struct"]: row for row in rows if "struct" in row and "field" not in row}
    yield from _differences("the C test", compiled, "the header's structs", header.structs)
    classes = {name for name, value in vars(abi).items() if _is_a(value, ctypes.Structure)}
    yield from _differences("abi.py", classes, "the header's structs", {_class_name(name) for name in header.structs})
    for name, fields in header.structs.items():
        declared = getattr(abi, _class_name(name), None)
        if declared is None or name not in compiled:
            continue
        offsets = {row["field"]: row for row in rows if row.get("struct") == name and "field" in row}
        yield from _differences(
            f"the C test's {name}", offsets, "the header's fields", [field.name for field in fields]
        )
        if ctypes.sizeof(declared) != compiled[name]["size"]:
            sizes = f"{compiled[name]['size']} bytes in C and {ctypes.sizeof(declared)}"
            yield f"{name} has {sizes} in abi.{declared.__name__}"
        yield from _field_problems(header, fields, offsets, declared, abi)


def _field_problems(
    header: Header, fields: Sequence[Parameter], offsets: Mapping[str, Row], declared: Any, abi: ModuleType
) -> Iterator[str]:
    shown = f"abi.{declared.__name__}"
    python_fields = {name: kind for name, kind, *_ in declared._fields_}
    yield from _differences(shown, python_fields, "the header's fields", [field.name for field in fields])
    for field in fields:
        if field.name not in python_fields or field.name not in offsets:
            continue
        place = getattr(declared, field.name)
        for what in ("offset", "size"):
            if getattr(place, what) != offsets[field.name][what]:
                yield (f"{shown}.{field.name} has {what} {getattr(place, what)}, and {offsets[field.name][what]} in C")
        kind = python_fields[field.name]
        if not _fits(header, field.type, kind, abi, text=True):
            yield f"{shown}.{field.name} is {_shown(kind)}, which does not fit '{field.type}'"


# Prototypes


def prototype_problems(header: Header, prototypes: Mapping[str, Any], abi: ModuleType) -> list[str]:
    """Compare the header's functions and callback types with ``PROTOTYPES`` and the callback types in ``abi``."""
    problems = list(_differences("prototypes.py", prototypes, "the header's functions", header.functions))
    for name, function in header.functions.items():
        if name in prototypes:
            argtypes, restype, error = prototypes[name]
            problems += _signature_problems(header, name, function, argtypes, restype, abi, text=True)
            if (function.result == "gpt4all_status") != (error is not None):
                problems.append(f"{name} returns '{function.result}', but its exception is {_shown(error)}")
    for name, function in header.callbacks.items():
        declared = getattr(abi, _class_name(name), None)
        if declared is None:
            problems.append(f"abi.py lacks {_class_name(name)}, the header's {name}")
        else:
            # Text with a length that arrives as c_char_p would end at its first NUL.
            problems += _signature_problems(
                header, name, function, declared._argtypes_, declared._restype_, abi, text=False
            )
    return problems


def _signature_problems(
    header: Header, name: str, function: Function, argtypes: Sequence[Any], restype: Any, abi: ModuleType, *, text: bool
) -> Iterator[str]:
    if not _fits(header, function.result, restype, abi, text=True):
        yield f"{name} returns '{function.result}', which {_shown(restype)} does not fit"
    if len(argtypes) != len(function.parameters):
        yield f"{name} takes {len(function.parameters)} arguments, but Python declares {len(argtypes)}"
        return
    for number, (parameter, kind) in enumerate(zip(function.parameters, argtypes, strict=True), start=1):
        if not _fits(header, parameter.type, kind, abi, text=text):
            yield (
                f"argument {number} of {name}, '{parameter.name}', is '{parameter.type}', "
                f"which {_shown(kind)} does not fit"
            )


def _fits(header: Header, c_type: str, kind: Any, abi: ModuleType, *, text: bool) -> bool:
    """Whether a ctypes type stands for a C type; ``text`` allows ``c_char_p`` for ``const char *``."""
    c_type = header.aliases.get(c_type, c_type)
    if c_type == "void":
        return kind is None
    if c_type in header.callbacks:
        return kind is getattr(abi, _class_name(c_type), None)
    if not c_type.endswith("*"):
        return kind is _SCALARS.get(c_type)
    pointee = c_type[:-1].strip()
    target = pointee.removeprefix("const ")
    if target in ("void", *header.opaque):
        return kind is ctypes.c_void_p
    if target == "char":
        # A c_char_p cannot be written to.
        allowed = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_char)]
        return kind in allowed or (text and pointee != target and kind is ctypes.c_char_p)
    pointed = getattr(kind, "_type_", None) if _is_a(kind, ctypes._Pointer) else None
    if target in header.structs:
        return pointed is not None and pointed is getattr(abi, _class_name(target), None)
    return pointed is not None and _fits(header, target, pointed, abi, text=False)


# Exports


def export_problems(header: Header, library: Path) -> list[str]:
    """Compare the dynamic symbols of an ELF library with the header.

    The entry library of a backend, ``libgpt4all-<backend>.so``, exports the header's functions and nothing else; the
    engine's own libraries beside it may export what they like. None may define a symbol of which the dynamic linker
    keeps one per process, for that would join our engine with another package's.
    """
    try:
        elf = read_elf(library.read_bytes(), library.name)
    except (ElfError, OSError) as error:
        return [str(error)]
    problems = [
        f"{library.name} defines {symbol.name}, a GNU-unique symbol"
        for symbol in elf.symbols
        if symbol.binding == "unique" and symbol.defined
    ]
    if is_entry_library(library):
        problems += _differences(library.name, elf.exported, "the header's functions", header.functions)
    return problems


def is_entry_library(library: Path) -> bool:
    """``libgpt4all-cpu.so`` is one, ``libgpt4all-cpu-ggml.so`` and ``libggml-cpu-haswell.so`` are not."""
    return library.name.startswith("libgpt4all-") and library.name.count("-") == 1


# Helpers


def _differences(where: str, found: Any, what: str, wanted: Any) -> Iterator[str]:
    yield from (f"{where} lacks {name}, one of {what}" for name in wanted if name not in found)
    yield from (f"{where} has {name}, which is none of {what}" for name in sorted(set(found) - set(wanted)))


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.removeprefix(_PREFIX).split("_"))


def _is_a(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _shown(kind: Any) -> str:
    return getattr(kind, "__name__", None) or repr(kind)
