"""How far a download or a verification is: a tqdm bar for people, a callback for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gpt4all.errors import CancellationError

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["DownloadCallback", "DownloadProgress", "Reporter"]


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is: what ``download_progress`` is called with, for every block.

    Attributes:
        filename: the name the file will have.
        phase: ``"downloading"``, or ``"verifying"`` while bytes that are already on the disk are hashed.
        done: bytes of the file that are done.
        total: bytes of the file, ``None`` while that is unknown.

    Example:
        >>> def show(report: DownloadProgress) -> None:
        ...     print(f"{report.phase} {report.filename}: {report.done} of {report.total} bytes")
        >>> config = GPT4All.retrieve_model("tiny-llama.gguf", download_progress=show)
        downloading tiny-llama.gguf: ... of ... bytes
        ...
    """

    filename: str
    phase: str
    done: int
    total: int | None


DownloadCallback = Callable[[DownloadProgress], object]
"""Called for every block; returning False (None goes on) stops with a CancellationError, and the part file stays."""


class Reporter:
    """Tells ``progress`` and a tqdm bar about one phase; a context manager.

    The bar is shown with ``verbose``, and otherwise where somebody is likely to see it: on a terminal or in a notebook.
    """

    def __init__(
        self,
        filename: str,
        phase: str,
        *,
        verbose: bool,
        progress: DownloadCallback | None,
        done: int = 0,
        total: int | None = None,
    ) -> None:
        self._filename, self._phase, self._progress = filename, phase, progress
        self._done, self._total = done, total
        self._bar: tqdm[Any] | None = None
        if verbose or _someone_watches():
            from tqdm.auto import tqdm

            description = f"{phase.capitalize()} {filename}"
            self._bar = tqdm(
                desc=description, initial=done, total=total, unit="B", unit_scale=True, unit_divisor=1024, miniters=1
            )

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        self._tell()

    def restart(self, done: int, total: int | None) -> None:
        """The count now stands at ``done`` bytes, of ``total``."""
        if (done, total) == (self._done, self._total):
            return
        self._done, self._total = done, total
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = done
            self._bar.refresh()

    def _tell(self) -> None:
        if self._progress is None:
            return
        if self._progress(DownloadProgress(self._filename, self._phase, self._done, self._total)) is False:
            raise CancellationError(f"{self._phase} {self._filename} was stopped by its progress callback")


def _someone_watches() -> bool:
    stream = sys.stderr
    return "ipykernel" in sys.modules or (stream is not None and stream.isatty())
