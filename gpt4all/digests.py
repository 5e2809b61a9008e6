"""What a file is expected to be, and the check that it is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from gpt4all.errors import ChecksumError
from gpt4all.progress import DownloadCallback, Reporter

__all__ = ["Digests", "Expected", "check_file"]

_HEX_LENGTHS = {"md5": 32, "sha256": 64}
_READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Expected:
    """Size in bytes and hexadecimal hashes a file should have; None where nothing is known.

    Raises TypeError or ValueError, naming the argument, for values that no file can have.
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


class Digests:
    """The hashes that `expected` asks for, over the bytes seen so far."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        # Integrity, not secrecy: FIPS builds of OpenSSL refuse md5 without saying so.
        self._hashers = {name: hashlib.new(name, usedforsecurity=False) for name in expected.hashes()}

    def update(self, data: bytes) -> None:
        for hasher in self._hashers.values():
            hasher.update(data)

    def feed(self, path: Path, size: int, reporter: Reporter) -> None:
        """Hash the first `size` bytes of `path`."""
        with path.open("rb", buffering=0) as file:
            left = size
            while left and (block := file.read(min(_READ_SIZE, left))):
                self.update(block)
                left -= len(block)
                reporter.advance(len(block))

    def check(self, name: str, size: int) -> None:
        """Raise ChecksumError unless `size` bytes were expected and the bytes have the expected hashes."""
        if self._expected.size is not None and size != self._expected.size:
            raise ChecksumError(f"{name} has {size} bytes; {self._expected.size} were expected")
        for algorithm, wanted in self._expected.hashes().items():
            found = self._hashers[algorithm].hexdigest()
            if found != wanted.lower():
                raise ChecksumError(f"{name} has the {algorithm} hash {found}; {wanted.lower()} was expected")


def check_file(path: Path, expected: Expected, *, verbose: bool, progress: DownloadCallback | None) -> None:
    """Compare the file `path` with `expected`; it is read, in the phase `"verifying"`, only when a hash is expected.

    Raises ChecksumError when it differs, OSError when it cannot be read.
    """
    size = path.stat().st_size
    digests = Digests(expected)
    if expected.hashes() and expected.size in (None, size):
        with Reporter(path.name, "verifying", verbose=verbose, progress=progress, total=size) as reporter:
            digests.feed(path, size, reporter)
    digests.check(path.name, size)
