"""Several processes and threads at one file, and processes that are stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gpt4all
from gpt4all.downloads.partfile import exclusive
from gpt4all.errors import DownloadError
from gpt4all.model_files.retrieve import download_model
from tests.support.http.downloads import CONTENT, MD5, NAME, SIZE
from tests.support.http.server import HttpServer, Reply

pytestmark = pytest.mark.usefixtures("home", "pauses")

# Says how far it is, so that the test need not guess.
CHILD = """
import logging, sys
from gpt4all.model_files.retrieve import download_model
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s", force=True)
logging.getLogger("urllib3").setLevel(logging.ERROR)
directory, url, size, md5 = sys.argv[1:]
def tell(report):
    print(report.phase, report.done, flush=True)
try:
    print("path", download_model("tiny.gguf", directory, False, url, int(size), md5, progress=tell), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def child(models: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that downloads the file; its standard output says how it goes."""
    root = Path(gpt4all.__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-u", "-c", CHILD, str(models), url, str(SIZE), MD5]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for said in process.stdout:
        if said.startswith(line):
            return
    pytest.fail(f"the child ended without saying {line!r}")


def test_second_process_waits_and_uses_it(server: HttpServer, models: Path) -> None:
    url = server.add("/x", CONTENT, Reply(hold_after=50_000))
    with child(models, url) as first:
        wait_for(first, "downloading 50000")
        with child(models, url) as second:
            wait_for(second, f"another process is downloading {NAME}")
            server.release.set()
            wait_for(first, f"path {models / NAME}")
            wait_for(second, f"path {models / NAME}")
    assert (models / NAME).read_bytes() == CONTENT
    assert len(server.received) == 1
    assert [path.name for path in models.iterdir()] == [NAME]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_stopped_process_leaves_a_part(server: HttpServer, models: Path, end: signal.Signals) -> None:
    url = server.add("/x", CONTENT, Reply(hold_after=50_000))
    with child(models, url) as process:
        wait_for(process, "downloading 50000")
        process.send_signal(end)
        if end == signal.SIGINT:
            wait_for(process, "interrupted")
        process.wait()
    assert (models / f"{NAME}.part").read_bytes() == CONTENT[:50_000]
    assert not (models / NAME).exists()
    server.release.set()
    assert download_model(NAME, models, False, url, SIZE, MD5).read_bytes() == CONTENT
    assert server.ranges("/x") == [None, "bytes=50000-"]
    assert [path.name for path in models.iterdir()] == [NAME]


def test_when_the_first_process_is_killed_the_second_goes_on(server: HttpServer, models: Path) -> None:
    url = server.add("/x", CONTENT, Reply(hold_after=50_000))
    with child(models, url) as first:
        wait_for(first, "downloading 50000")
        with child(models, url) as second:
            wait_for(second, "another process")
            first.kill()
            wait_for(second, "path")
    assert (models / NAME).read_bytes() == CONTENT
    assert server.ranges("/x") == [None, "bytes=50000-"]


def test_threads(server: HttpServer, models: Path) -> None:
    url = server.add("/x", CONTENT)
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(download_model(NAME, models, False, url, SIZE, MD5)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [models / NAME] * 5
    assert len(server.received) == 1


def test_lock_that_is_held(models: Path) -> None:
    with (
        exclusive(models / NAME),
        pytest.raises(DownloadError, match="right now"),
        exclusive(models / NAME, wait=False),
    ):
        pass
