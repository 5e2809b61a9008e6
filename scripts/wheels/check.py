"""Looks into a wheel: contents, hashes, tag, and what its libraries need, let out and are made of."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nativebuild.report import BuildError

from wheels.libraries import Place, check_library
from wheels.sbom import SBOM_NAME, check_bill
from wheels.tag import library_tag

__all__ = ["check_wheel", "header_functions"]

_ROOT = Path(__file__).resolve().parents[2]
_HEADER = _ROOT / "backends" / "include" / "gpt4all_backend.h"
_LIBRARIES = PurePosixPath("gpt4all/_native/lib")
#: What the server shows at its root.
_PAGE = PurePosixPath("gpt4all/server/page")
_LIMIT_MB = 20.0
#: With Vulkan's shaders, and the CPU modules a second time.
_LIMIT_KOMPUTE_MB = 40.0
_LICENSES = {"LICENSE", "THIRD_PARTY_NOTICES"}
_WHEEL_NAME = re.compile(r"gpt4all-(?P<version>[^-]+)-py3-none-(?P<platform>[^-]+)\.whl")
_DECLARATION = re.compile(r"^GPT4ALL_API[^;(]*?\b(gpt4all_\w+)\s*\(", re.MULTILINE)


def header_functions(header: Path = _HEADER) -> set[str]:
    """The functions that the C header declares."""
    return set(_DECLARATION.findall(header.read_text(encoding="utf-8")))


def check_wheel(path: Path, *, allow_native: bool = False, limit_mb: float = 0) -> list[str]:
    """Return what is wrong with the wheel, in the words of a reviewer; empty when it is fine."""
    name = _WHEEL_NAME.fullmatch(path.name)
    if name is None:
        return [f"{path.name} is no name of a wheel of this package for one platform"]
    problems = list[str]()
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
    limit_mb = limit_mb or (_LIMIT_KOMPUTE_MB if "kompute" in backends else _LIMIT_MB)
    size_mb = path.stat().st_size / 1e6
    if size_mb > limit_mb:
        problems.append(f"it is {size_mb:.1f} MB large, more than {limit_mb:g}")
    for backend in backends:
        folder = {PurePosixPath(file).name: files[file] for file in libraries if f"/lib/{backend}/" in file}
        problems += _check_backend(backend, folder, allow_native)
    problems += _check_tag(name["platform"], {file: files[file] for file in libraries if not file.endswith(".json")})
    problems += _check_sbom(files, info)
    return problems


def _check_contents(files: dict[str, bytes], info: str) -> Iterator[str]:
    for needed in ("gpt4all/__init__.py", "gpt4all/py.typed", f"{_PAGE}/index.html"):
        if needed not in files:
            yield f"{needed} is missing"
    for file in files:
        path = PurePosixPath(file)
        if path.parts[0] not in ("gpt4all", info):
            yield f"{file} does not belong into the wheel"
        elif path.parts[0] == info or path.is_relative_to(_LIBRARIES) or path.is_relative_to(_PAGE):
            continue
        elif path.suffix not in (".py", ".pyi") and path.name not in ("py.typed", "rthooks.dat"):
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
    if {line for line in tags.splitlines() if line.startswith("Tag: ")} != {
        f"Tag: py3-none-{part}" for part in platform.split(".")
    }:
        yield "WHEEL names another tag than the file name"
    if "Root-Is-Purelib: false" not in tags.splitlines():
        yield "WHEEL calls it a pure Python package"


def _check_backend(backend: str, folder: dict[str, bytes], allow_native: bool) -> Iterator[str]:
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
    entry = next((name for name in folder if re.fullmatch(rf"libgpt4all-{backend}\.(so|dll|dylib)", name)), None)
    if entry is None:
        yield f"{backend}: the entry library is missing"
    for name, content in folder.items():
        declared = header_functions() if name == entry else None
        try:
            yield from check_library(name, content, Place(set(folder), declared))
        except ValueError as error:
            yield str(error)


def _check_tag(platform: str, libraries: dict[str, bytes]) -> Iterator[str]:
    if not libraries:
        return
    try:
        deserved = library_tag(libraries)
    except BuildError as error:
        yield str(error)
        return
    if deserved != platform:
        yield f"the tag says {platform}, but the libraries are {deserved}"
    elif platform.startswith("linux_"):
        yield f"{platform} does not say which C library the libraries need"


def _check_sbom(files: dict[str, bytes], info: str) -> Iterator[str]:
    text = files.get(f"{info}/sboms/{SBOM_NAME}")
    if text is None:
        yield f"the bill of materials sboms/{SBOM_NAME} is missing"
        return
    records = [
        json.loads(content)
        for file, content in sorted(files.items())
        if PurePosixPath(file).is_relative_to(_LIBRARIES) and file.endswith("/build.json")
    ]
    yield from check_bill(text.decode("utf-8"), records)
