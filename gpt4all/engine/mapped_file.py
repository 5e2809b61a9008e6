"""Whether a model file in use is still as long as it was: reading a mapped file beyond its end ends the process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gpt4all.errors import InvalidModelError


@dataclass(frozen=True)
class MappedFile:
    """A file as it was when it was opened."""

    path: Path
    device: int
    inode: int
    size: int

    @classmethod
    def of(cls, path: Path) -> MappedFile:
        """The file as it is now."""
        status = os.stat(path)
        return cls(path, status.st_dev, status.st_ino, status.st_size)

    def check(self) -> None:
        """Costs a few microseconds. A file that was deleted or replaced stays mapped as it was.

        Raises:
            InvalidModelError: the file has become shorter.
        """
        try:
            now = self.of(self.path)
        except OSError:
            return
        if (now.device, now.inode) == (self.device, self.inode) and now.size < self.size:
            raise InvalidModelError(
                f"{self.path} has become shorter while it was in use, {now.size} bytes instead of {self.size}, perhaps "
                "because another file is being copied over it; put the model back and load it again. A model that is "
                "replaced by renaming, or loaded with use_mmap=False, is not affected"
            )
