"""What a file is expected to be, and the check that it is."""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gpt4all.downloads.own_files import open_regular
from gpt4all.downloads.progress import DownloadCallback, Reporter
from gpt4all.errors import ChecksumError

__all__ = ["Expected", "check_file", "check_open_file"]

_HEX_LENGTHS = {"md5": 32, "sha256": 64}
_READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Expected:
    """Size in bytes and hexadecimal hashes a file should have; ``None`` where nothing is known.

    Raises:
        ValueError, TypeError: no file can have such a value; the message names the argument.
    """

    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            if isinstance(self.size, bool) or not isinstance(self.size, int):
                raise TypeError(f"expected_size must be an int or None, not {type(self.size).__name__}")
            if self.size < 1:
                raise ValueError(f"expected_size must be positive, not {self.size}")
        for name, value in self.hashes().items():
            if not re.fullmatch(rf"[0-9a-fA-F]{{{_HEX_LENGTHS[name]}}}", value):
                raise ValueError(f"expected_{name} must be {_HEX_LENGTHS[name]} hexadecimal digits, not {value[:80]!r}")

    def hashes(self) -> dict[str, str]:
        """The known hashes by name."""
        return {name: value for name, value in (("md5", self.md5), ("sha256", self.sha256)) if value is not None}


def check_file(path: Path, expected: Expected, *, verbose: bool, progress: DownloadCallback | None) -> None:
    """Compare a file with what is expected; it is read, in the phase ``"verifying"``, only when a hash is.

    Raises:
        ChecksumError: it differs.
        OSError: it cannot be read.
    """
    if expected.hashes():
        with open(open_regular(path), "rb", buffering=0) as file:
            check_open_file(file, path.name, expected, verbose=verbose, progress=progress)
    else:
        _check_size(path.name, path.stat().st_size, expected.size)


def check_open_file(
    file: io.FileIO, name: str, expected: Expected, *, verbose: bool, progress: DownloadCallback | None
) -> None:
    """As ``check_file`` does, for an open file; where it stands is not kept."""
    size = os.fstat(file.fileno()).st_size
    _check_size(name, size, expected.size)
    if not expected.hashes():
        return
    # Integrity, not secrecy: FIPS builds of OpenSSL refuse md5 without saying so.
    hashers = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in expected.hashes()}
    file.seek(0)
    left = size
    with Reporter(name, "verifying", verbose=verbose, progress=progress, total=size) as reporter:
        while left and (block := file.read(min(_READ_SIZE, left))):
            for hasher in hashers.values():
                hasher.update(block)
            left -= len(block)
            reporter.advance(len(block))
    for algorithm, wanted in expected.hashes().items():
        found = hashers[algorithm].hexdigest()
        if found != wanted.lower():
            raise ChecksumError(f"{name} has the {algorithm} hash {found}; {wanted.lower()} was expected")


def _check_size(name: str, size: int, expected: int | None) -> None:
    if expected not in (None, size):
        raise ChecksumError(f"{name} has {size} bytes; {expected} were expected")
