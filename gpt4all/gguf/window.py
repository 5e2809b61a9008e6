"""A bounded view of a file, for reading a GGUF header that may be anything.

No length read from the file decides how much memory is taken. The file is
read, not mapped: a mapped file that another process shortens would end this
one with SIGBUS.
"""

from __future__ import annotations

import io
import struct
from typing import Any

from gpt4all.errors import InvalidModelError

MAX_STRING_BYTES = 1 << 30

_WINDOW_BYTES = 1 << 18
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


def quoted(text: str) -> str:
    """Quote text from a file for a message: escaped, and cut when long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


class Window:
    """A view of a file that moves forward and holds a bounded piece of it.

    ``where`` names the part being read, for messages.
    """

    def __init__(self, file: io.RawIOBase, size: int, shown_path: str) -> None:
        self.size = size
        self.shown_path = shown_path
        self.where = "its header"
        self._file = file
        self._buffer = b""
        self._start = 0
        self._at = 0

    @property
    def position(self) -> int:
        return self._start + self._at

    @property
    def remaining(self) -> int:
        return self.size - self.position

    def damaged(self, found: str) -> InvalidModelError:
        return InvalidModelError(
            f"{self.shown_path} is a damaged GGUF file: {found}. Delete it and download it again, "
            "or convert the model again"
        )

    def cut_short(self, needed: int) -> InvalidModelError:
        return InvalidModelError(
            f"{self.shown_path} is truncated: {self.where} reaches to byte {needed} or beyond, and the file ends at "
            f"byte {self.size}; the download probably did not finish. Delete the file and download it again"
        )

    def require(self, count: int) -> None:
        """Make the next ``count`` bytes available, or raise."""
        if self._at + count <= len(self._buffer):
            return
        if count > self.remaining:
            raise self.cut_short(self.position + count)
        pieces = [self._buffer[self._at :]]
        have = len(pieces[0])
        self._start += self._at
        self._at = 0
        while have < count:
            piece = self._file.read(max(_WINDOW_BYTES, count - have))
            if not piece:
                self.size = self._start + have
                raise self.cut_short(self._start + count)
            pieces.append(piece)
            have += len(piece)
        self._buffer = b"".join(pieces)

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        self.require(layout.size)
        values = layout.unpack_from(self._buffer, self._at)
        self._at += layout.size
        return values

    def u32(self) -> int:
        return int(self.unpack(_U32)[0])

    def u64(self) -> int:
        return int(self.unpack(_U64)[0])

    def take(self, count: int) -> bytes:
        """Return ``count`` bytes, which the caller has found to be few."""
        self.require(count)
        taken = self._buffer[self._at : self._at + count]
        self._at += count
        return taken

    def skip(self, count: int) -> None:
        if count > self.remaining:
            raise self.cut_short(self.position + count)
        self.seek(self.position + count)

    def seek(self, position: int) -> None:
        if self._start <= position <= self._start + len(self._buffer):
            self._at = position - self._start
            return
        self._file.seek(position)
        self._start, self._at, self._buffer = position, 0, b""

    def string_length(self, limit: int = MAX_STRING_BYTES) -> int:
        length = self.u64()
        if length > limit:
            raise self.damaged(f"in {self.where} a string claims {length} bytes (at most {limit} make sense)")
        if length > self.remaining:
            raise self.cut_short(self.position + length)
        return length

    def skip_strings(self, count: int) -> None:
        """Pass over ``count`` strings.

        Models have hundreds of thousands of them, each behind its own length,
        so this is the loop that decides what a preflight costs.
        """
        unpack = _U64.unpack_from
        done = 0
        while done < count:
            self.require(8)
            buffer, at = self._buffer, self._at
            try:
                for done in range(done, count):  # noqa: B007, B020 - goes on where the last window ended
                    at += unpack(buffer, at)[0] + 8
                done = count
            except (struct.error, OverflowError):
                pass  # the next length lies beyond the window; it is string number ``done``
            self._leave_window(at)

    def _leave_window(self, at: int) -> None:
        """Move to ``at``, an offset into the buffer that may lie beyond its end."""
        if at - len(self._buffer) > MAX_STRING_BYTES:
            raise self.damaged(f"in {self.where} a string claims more than {MAX_STRING_BYTES} bytes")
        if self._start + at > self.size:
            raise self.cut_short(self._start + at)
        self.seek(self._start + at)
