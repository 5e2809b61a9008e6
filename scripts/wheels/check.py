"""Looks into a wheel: contents, hashes, tag, and what its libraries need, let out and are made of."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nativebuild.report import BuildError

from wheels.libraries import Place, check_library
from wheels.sbom import SBOM_NAME, check_bill
from wheels.tag import library_tag

__all__ = ["check_wheel", "header_functions"]

_ROOT = Path(__file__).resolve().parents[2]
_HEADER = _ROOT / "backends" / "include" / "gpt4all_backend.h"
#: What the server shows at its root.
_PAGE = PurePosixPath("gpt4all/server/page")
_LIMIT_MB = 20.0
#: With Vulkan's shaders, and the CPU modules a second time; and with the code of six GPUs (see CONTRIBUTING.md).
_LIMITS_MB = {"kompute": 40.0, "cuda": 160.0}
_LICENSES = ("LICENSE", "THIRD_PARTY_NOTICES")
_WHEEL_NAME = re.compile(r"(?P<package>gpt4all(_cuda\d+)?)-(?P<version>[^-]+)-py3-none-(?P<platform>[^-]+)\.whl")
_RECORD = "build.json"
#: Brought by the wheels that gpt4all-cuda12 and its kind depend on.
_NVIDIA = ("cudart", "cublas", "cublasLt")
_DECLARATION = re.compile(r"^GPT4ALL_API[^;(]*?\b(gpt4all_\w+)\s*\(", re.MULTILINE)


@dataclass(frozen=True)
class _Wheel:
    """What its name says, and what is in it: gpt4all itself, or a distribution with the cuda backend alone."""

    package: str
    version: str
    platform: str
    files: dict[str, bytes]

    @property
    def info(self) -> str:
        return f"{self.package}-{self.version}.dist-info"

    @property
    def cuda(self) -> str:
        """The CUDA that the name tells; empty for gpt4all itself."""
        return self.package.removeprefix("gpt4all").removeprefix("_cuda")

    def backends(self) -> dict[str, dict[str, bytes]]:
        """The files of each backend, by their names."""
        found: dict[str, dict[str, bytes]] = {}
        for file, content in self.files.items():
            match PurePosixPath(file).parts:
                case [self.package, "lib", name] if self.cuda:
                    found.setdefault("cuda", {})[name] = content
                case ["gpt4all", "_native", "lib", backend, *_, name]:
                    found.setdefault(backend, {})[name] = content
        return found

    def libraries(self) -> dict[str, bytes]:
        return {
            f"{backend}/{name}": content
            for backend, folder in self.backends().items()
            for name, content in folder.items()
            if name != _RECORD
        }


def header_functions(header: Path = _HEADER) -> set[str]:
    """The functions that the C header declares."""
    return set(_DECLARATION.findall(header.read_text(encoding="utf-8")))


def check_wheel(path: Path, *, allow_native: bool = False, limit_mb: float = 0) -> list[str]:
    """Return what is wrong with the wheel, in the words of a reviewer; empty when it is fine."""
    name = _WHEEL_NAME.fullmatch(path.name)
    if name is None:
        return [f"{path.name} is no name of a wheel of this package for one platform"]
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    wheel = _Wheel(name["package"], name["version"], name["platform"], files)
    backends = wheel.backends()
    problems = [*_check_contents(wheel), *_check_record(wheel), *_check_metadata(wheel)]
    if not backends:
        problems.append("it holds no native library")
    limit_mb = limit_mb or max((_LIMITS_MB.get(backend, _LIMIT_MB) for backend in backends), default=_LIMIT_MB)
    size_mb = path.stat().st_size / 1e6
    if size_mb > limit_mb:
        problems.append(f"it is {size_mb:.1f} MB large, more than {limit_mb:g}")
    elsewhere = {f"lib{library}.so.{wheel.cuda}" for library in _NVIDIA} if wheel.cuda else set[str]()
    for backend, folder in sorted(backends.items()):
        problems += _check_backend(backend, folder, elsewhere, allow_native)
    problems += [*_check_tag(wheel), *_check_sbom(wheel)]
    return problems


def _check_contents(wheel: _Wheel) -> Iterator[str]:
    needed = ["__init__.py", *_LICENSES] if wheel.cuda else ["__init__.py", "py.typed", "server/page/index.html"]
    licenses = [] if wheel.cuda else [f"{wheel.info}/licenses/{name}" for name in _LICENSES]
    for file in (*(f"{wheel.package}/{name}" for name in needed), *licenses):
        if file not in wheel.files:
            yield f"{file} is missing"
    ours = {f"{wheel.package}/{name}" for name in needed}
    native = PurePosixPath(wheel.package, "lib") if wheel.cuda else PurePosixPath("gpt4all/_native/lib")
    for file in wheel.files:
        path = PurePosixPath(file)
        if path.parts[0] not in (wheel.package, wheel.info):
            yield f"{file} does not belong into the wheel"
        elif path.parts[0] == wheel.info or file in ours or path.is_relative_to(native) or path.is_relative_to(_PAGE):
            continue
        elif wheel.cuda or (path.suffix not in (".py", ".pyi") and path.name not in ("py.typed", "rthooks.dat")):
            yield f"{file} is no part of the Python package"


def _check_record(wheel: _Wheel) -> Iterator[str]:
    files, record = wheel.files, f"{wheel.info}/RECORD"
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


def _check_metadata(wheel: _Wheel) -> Iterator[str]:
    files, info = wheel.files, wheel.info
    metadata = files.get(f"{info}/METADATA", b"").decode("utf-8")
    wanted = [f"Name: {wheel.package.replace('_', '-')}", f"Version: {wheel.version}", "Requires-Python: >=3.10"]
    if wheel.cuda:
        wanted.append(f"Requires-Dist: gpt4all=={wheel.version}")
        if f"cuda = {wheel.package}:library_directory" not in files.get(f"{info}/entry_points.txt", b"").decode():
            yield "entry_points.txt does not lead gpt4all to the backend"
    for line in wanted:
        if line not in metadata.splitlines():
            yield f"METADATA lacks {line!r}"
    tags = files.get(f"{info}/WHEEL", b"").decode("utf-8")
    if {line for line in tags.splitlines() if line.startswith("Tag: ")} != {
        f"Tag: py3-none-{part}" for part in wheel.platform.split(".")
    }:
        yield "WHEEL names another tag than the file name"
    if "Root-Is-Purelib: false" not in tags.splitlines():
        yield "WHEEL calls it a pure Python package"


def _check_backend(backend: str, folder: dict[str, bytes], elsewhere: Set[str], allow_native: bool) -> Iterator[str]:
    """``elsewhere`` are the libraries that come with what the wheel depends on."""
    record = json.loads(folder.pop(_RECORD, b"{}"))
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
            yield from check_library(name, content, Place({*folder, *elsewhere}, declared))
        except ValueError as error:
            yield str(error)


def _check_tag(wheel: _Wheel) -> Iterator[str]:
    libraries = wheel.libraries()
    if not libraries:
        return
    try:
        deserved = library_tag(libraries)
    except BuildError as error:
        yield str(error)
        return
    if deserved != wheel.platform:
        yield f"the tag says {wheel.platform}, but the libraries are {deserved}"
    elif wheel.platform.startswith("linux_"):
        yield f"{wheel.platform} does not say which C library the libraries need"


def _check_sbom(wheel: _Wheel) -> Iterator[str]:
    text = wheel.files.get(f"{wheel.info}/sboms/{SBOM_NAME}")
    if text is None:
        yield f"the bill of materials sboms/{SBOM_NAME} is missing"
        return
    records = [json.loads(folder[_RECORD]) for _, folder in sorted(wheel.backends().items()) if _RECORD in folder]
    yield from check_bill(text.decode("utf-8"), records)
