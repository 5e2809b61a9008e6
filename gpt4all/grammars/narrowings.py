"""What a JSON Schema's author should know of its grammar, such as what it leaves out, said once for each schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from gpt4all.notices import warn_caller

#: As many lines as a reader takes in; the rest is counted.
_MAX_SHOWN = 20
#: Schemas that are remembered as warned about.
_MAX_REMEMBERED = 10_000

_warned: set[bytes] = set()


class Narrowings:
    """JSON pointers into a schema, and what its grammar does not do there."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], None] = {}

    def add(self, pointer: str, what: str) -> None:
        self._found.setdefault((pointer, what))

    def __len__(self) -> int:
        return len(self._found)

    def since(self, mark: int) -> list[tuple[str, str]]:
        """Those added after there were ``mark``."""
        return list(self._found)[mark:]

    def forget(self, mark: int) -> None:
        """All that came after there were ``mark``: the part they were in is left out itself."""
        for found in self.since(mark):
            del self._found[found]

    def extend(self, found: Iterable[tuple[str, str]]) -> None:
        for pointer, what in found:
            self.add(pointer, what)

    def warn(self, schema: str, name: str) -> None:
        """One ``UserWarning`` that names each, unless there was one for the same schema."""
        if not self._found:
            return
        lines = [f"{pointer}: {what}" for pointer, what in self._found]
        more = [f"and {len(lines) - _MAX_SHOWN} more"] if len(lines) > _MAX_SHOWN else []
        warn_once(
            schema,
            f"{name}: answers validate, but not everything that the schema accepts can be generated:\n  "
            + "\n  ".join(lines[:_MAX_SHOWN] + more),
        )


def warn_once(schema: str, message: str) -> None:
    """A ``UserWarning`` at the caller's line, the first time for this schema."""
    key = hashlib.sha256(schema.encode()).digest()
    if key in _warned:
        return
    if len(_warned) >= _MAX_REMEMBERED:
        _warned.clear()
    _warned.add(key)
    warn_caller(message)
