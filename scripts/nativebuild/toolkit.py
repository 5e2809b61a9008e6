"""What a toolkit is to the build: CMake definitions, and a text that tells one from another."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Toolkit"]


@dataclass(frozen=True)
class Toolkit:
    """``description`` and ``definitions`` are part of the build area's key; ``record`` goes into the build's record.

    ``linked_in`` names what of it is compiled into the libraries, with versions.
    """

    description: str = ""
    definitions: dict[str, str] = field(default_factory=dict)
    record: dict[str, str] = field(default_factory=dict)
    linked_in: dict[str, str] = field(default_factory=dict)
