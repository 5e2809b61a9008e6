"""Looks into a wheel: contents, hashes, tag, and what its libraries need and let out."""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from wheels.elf import ElfError, ElfLibrary, read_elf

__all__ = ["check_wheel", "header_functions", "main"]

_ROOT = Path(__file__).resolve().parents[2]
_HEADER = _ROOT / "backends" / "include" / "gpt4all_backend.h"
_LIBRARIES = PurePosixPath("gpt4all/_native/lib")
_DEFAULT_LIMIT_MB = 40.0
_LICENSES = {"LICENSE", "THIRD_PARTY_NOTICES"}
# What every glibc system has; the C++ runtime travels inside.
_SYSTEM_LIBRARIES = re.compile(r"(lib(c|m|dl|rt|pthread)\.so\.\d+|ld-linux[-\w]*\.so\.\d+)")
# What the driver of a GPU brings; only the library that uses it asks for it.
_DRIVER_LIBRARIES = {"kompute": {"libvulkan.so.1"}}
# What ggml's own libraries let out to one another: C functions, nothing of C++.
_ENGINE_SYMBOL = re.compile(r"(ggml|gguf|quantize|dequantize|iq2xs|iq3xs)_")
_BUILD_PATHS = re.compile(rb"/(?:home|root|tmp|build|work|Users)/[\w.@/+-]{3,80}")
_WHEEL_NAME = re.compile(r"gpt4all-(?P<version>[^-]+)-py3-none-(?P<platform>[^-]+)\.whl")
_DECLARATION = re.compile(r"^GPT4ALL_API[^;(]*?\b(gpt4all_\w+)\s*\(", re.MULTILINE)


def header_functions(header: Path = _HEADER) -> set[str]:
    """The functions that the C header declares."""
    return set(_DECLARATION.findall(header.read_text(encoding="utf-8")))


def check_wheel(path: Path, *, allow_native: bool = False, limit_mb: float = _DEFAULT_LIMIT_MB) -> list[str]:
    """Return what is wrong with the wheel, in the words of a reviewer; empty when it is fine."""
    name = _WHEEL_NAME.fullmatch(path.name)
    if name is None:
        return [f"{path.name} is no name of a wheel of this package for one platform"]
    problems = []
    size_mb = path.stat().st_size / 1e6
    if size_mb > limit_mb:
        problems.append(f"it is {size_mb:.1f} MB large, more than {limit_mb:g}")
    with zipfile.ZipFile(path) as wheel:
        files = {entry.filename: wheel.read(entry) for entry in wheel.infolist() if not entry.is_dir()}
    info = f"gpt4all-{name['version']}.dist-info"
    problems += _check_contents(files, info)
    problems += _check_record(files, info)
    problems += _check_metadata(files, info, name["version"], name["platform"])
    libraries = [file for file in files if PurePosixPath(file).is_relative_to(_LIBRARIES)]
    backends = sorted({PurePosixPath(file).parts[3] for file in libraries})
    if not backends:
        problems.append("it holds no native library")
    elf: dict[str, ElfLibrary] = {}
    for backend in backends:
        folder = {PurePosixPath(file).name: files[file] for file in libraries if f"/lib/{backend}/" in file}
        problems += _check_backend(backend, folder, allow_native, elf)
    problems += _check_tag(name["platform"], elf)
    return problems


def _check_contents(files: dict[str, bytes], info: str) -> Iterator[str]:
    for needed in ("gpt4all/__init__.py", "gpt4all/py.typed"):
        if needed not in files:
            yield f"{needed} is missing"
    for file in files:
        path = PurePosixPath(file)
        if path.parts[0] not in ("gpt4all", info):
            yield f"{file} does not belong into the wheel"
        elif path.parts[0] == info or path.is_relative_to(_LIBRARIES):
            continue
        elif path.suffix not in (".py", ".pyi") and path.name != "py.typed":
            yield f"{file} is no part of the Python package"
    for license_name in _LICENSES:
        if f"{info}/licenses/{license_name}" not in files:
            yield f"the licence file {license_name} is missing"


def _check_record(files: dict[str, bytes], info: str) -> Iterator[str]:
    record = f"{info}/RECORD"
    if record not in files:
        yield "RECORD is missing"
        return
    rows = {row[0]: row[1] for row in csv.reader(io.StringIO(files[record].decode("utf-8"))) if row}
    for file, content in files.items():
        if file == record:
            continue
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if rows.get(file) != f"sha256={digest}":
            yield f"RECORD does not describe {file}"


def _check_metadata(files: dict[str, bytes], info: str, version: str, platform: str) -> Iterator[str]:
    metadata = files.get(f"{info}/METADATA", b"").decode("utf-8")
    for line in ("Name: gpt4all", f"Version: {version}", "Requires-Python: >=3.10"):
        if line not in metadata.splitlines():
            yield f"METADATA lacks {line!r}"
    tags = files.get(f"{info}/WHEEL", b"").decode("utf-8")
    if f"Tag: py3-none-{platform}" not in tags.splitlines():
        yield "WHEEL names another tag than the file name"
    if "Root-Is-Purelib: false" not in tags.splitlines():
        yield "WHEEL calls it a pure Python package"


def _check_backend(
    backend: str, folder: dict[str, bytes], allow_native: bool, elf: dict[str, ElfLibrary]
) -> Iterator[str]:
    record = json.loads(folder.pop("build.json", b"{}"))
    if not record:
        yield f"{backend}: build.json is missing"
    if record.get("variants") == "native" and not allow_native:
        yield f"{backend}: built for one machine's processor; wheels for others need --variants all"
    if record.get("variants") == "all" and sum("ggml-cpu-" in name for name in folder) < 2:
        yield f"{backend}: the CPU modules are missing"
    if record.get("build_type") != "Release" or record.get("sanitize"):
        yield f"{backend}: not a release build"
    if set(record.get("files", {})) != set(folder):
        yield f"{backend}: build.json and the directory list different files"
    entry = f"libgpt4all-{backend}.so"
    if not any(f"gpt4all-{backend}." in name for name in folder):
        yield f"{backend}: the entry library is missing"
    for name, content in folder.items():
        if leaked := _BUILD_PATHS.search(content):
            yield f"{name} tells where it was built: {leaked.group().decode()}"
        if not content.startswith(b"\x7fELF"):
            continue  # macOS and Windows libraries are for a machine that can read them
        try:
            library = elf[name] = read_elf(content, name)
        except ElfError as error:
            yield str(error)
            continue
        allowed = set(folder) | _DRIVER_LIBRARIES.get(backend, set())
        yield from _check_library(name, library, allowed, is_entry=name == entry)


def _check_library(name: str, library: ElfLibrary, allowed: set[str], *, is_entry: bool) -> Iterator[str]:
    if library.soname and library.soname != name:
        yield f"{name} calls itself {library.soname}"
    for path in library.run_paths:
        if path != "$ORIGIN":
            yield f"{name} looks for libraries in {path!r}"
    for needed in library.needed:
        if needed not in allowed and not _SYSTEM_LIBRARIES.fullmatch(needed):
            yield f"{name} needs {needed}, which is neither in the wheel nor on every system"
    if library.executable_stack:
        yield f"{name} asks for an executable stack"
    for symbol in library.symbols:
        if symbol.binding == "unique" and symbol.defined:
            yield f"{name} defines the process-wide unique symbol {symbol.name}"
    if is_entry:
        yield from _check_exports(name, library)
    else:
        for symbol_name in sorted(library.exported):
            if not _ENGINE_SYMBOL.match(symbol_name):
                yield f"{name} exports {symbol_name}"


def _check_exports(name: str, library: ElfLibrary) -> Iterator[str]:
    declared = header_functions()
    for missing in sorted(declared - library.exported):
        yield f"{name} lacks {missing}, which the header declares"
    for extra in sorted(library.exported - declared):
        yield f"{name} exports {extra}, which the header does not declare"


def _check_tag(platform: str, elf: dict[str, ElfLibrary]) -> Iterator[str]:
    if not elf:
        return
    match = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", platform)
    if match is None:
        yield f"{platform} does not say which glibc the libraries need"
        return
    promised = (int(match[1]), int(match[2]))
    for name, library in elf.items():
        needed = library.glibc()
        if needed is not None and needed > promised:
            yield f"{name} needs glibc {needed[0]}.{needed[1]}, but the tag promises {promised[0]}.{promised[1]}"
        if library.machine != match[3]:
            yield f"{name} is for {library.machine}, but the tag says {match[3]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``scripts/dev wheel-check``."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev wheel-check", description="Check built wheels without installing them."
    )
    parser.add_argument("wheel", nargs="+", type=Path)
    parser.add_argument("--allow-native", action="store_true", help="accept libraries for this machine's processor")
    parser.add_argument("--limit-mb", type=float, default=_DEFAULT_LIMIT_MB, help="largest size (default: %(default)s)")
    options = parser.parse_args(arguments)
    failed = False
    for path in options.wheel:
        problems = list(check_wheel(path, allow_native=options.allow_native, limit_mb=options.limit_mb))
        failed |= bool(problems)
        print(f"{path.name}: {'ok' if not problems else f'{len(problems)} problem(s)'}")
        for problem in problems:
            print(f"  {problem}")
    return int(failed)
