"""Reads ``backends/llama_cpp.lock``, the pin of the engine's source."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from nativebuild.report import BuildError

__all__ = ["LlamaCppLock", "read_lock"]

_LINE = re.compile(r'(?P<key>[a-z0-9_]+)\s*=\s*"(?P<value>[^"]*)"')
_FORMS = {
    "package": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "package_version": re.compile(r"[0-9][0-9A-Za-z.+-]*"),
    "sdist_sha256": re.compile(r"[0-9a-f]{64}"),
    "source_path": re.compile(r"[A-Za-z0-9._/-]+"),
    "version": re.compile(r"[0-9][0-9A-Za-z.-]*"),
    "commit": re.compile(r"[0-9a-f]{7,40}"),
}


@dataclass(frozen=True)
class LlamaCppLock:
    """The pinned source distribution and the llama.cpp inside it."""

    package: str
    package_version: str
    sdist_sha256: str
    source_path: str
    version: str
    commit: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.package_version}"


def read_lock(path: Path) -> LlamaCppLock:
    """Parse the lock file; anything missing, unknown or odd is an error that names the line."""
    values: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BuildError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise BuildError(f'{path}, line {number}: expected key = "value", found {line.strip()!r}')
        key, value = match["key"], match["value"]
        if key not in _FORMS:
            raise BuildError(f"{path}, line {number}: unknown key {key!r}; known are {', '.join(_FORMS)}")
        if key in values:
            raise BuildError(f"{path}, line {number}: {key!r} is given twice")
        if not _FORMS[key].fullmatch(value):
            raise BuildError(f"{path}, line {number}: {value!r} is no valid {key}")
        values[key] = value
    missing = [field.name for field in fields(LlamaCppLock) if field.name not in values]
    if missing:
        raise BuildError(f"{path} lacks {', '.join(missing)}")
    source_path = PurePosixPath(values["source_path"])
    if source_path.is_absolute() or ".." in source_path.parts:
        raise BuildError(f"{path}: source_path must stay inside the source distribution")
    return LlamaCppLock(**values)
