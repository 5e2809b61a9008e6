"""What the tests of downloads share: a file, and a download of it that was broken off."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from gpt4all.downloads.progress import DownloadProgress
from gpt4all.errors import CancellationError
from gpt4all.model_files.retrieve import download_model
from tests.support.http.server import HttpServer, Reply

NAME = "tiny.gguf"
PATH = f"/files/{NAME}"
CONTENT = b"GGUF" + bytes(index * 7 % 251 for index in range(600_000))
SIZE = len(CONTENT)
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()

#: Read time-outs in seconds for a server that falls silent. A test takes the first that is long enough for everything
#: before the silence, which on a busy machine may take a while.
PATIENCE = (0.1, 0.5, 2.0, 8.0, 30.0)


def leave_part(server: HttpServer, models: Path, **expected: Any) -> str:
    """Leave a part file of 50,000 bytes, as an interrupted call does, and forget the requests; the file's address."""

    def stop(report: DownloadProgress) -> bool:
        return report.done < 50_000

    url = server.add(PATH, CONTENT, Reply(hold_after=50_000))
    with pytest.raises(CancellationError):
        download_model(NAME, models, False, url, progress=stop, **expected)
    server.release.set()
    server.received.clear()
    assert (models / f"{NAME}.part").read_bytes() == CONTENT[:50_000]
    return url
