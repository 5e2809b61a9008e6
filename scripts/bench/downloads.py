"""Command line of ``scripts/dev bench-downloads``.

How fast a file comes over the loopback interface: one connection, as downloads use, or several.

Prints a table and, with --json, writes the figures. Everything is measured in turn within one run and the best round
counts, because machines are shared. What a download costs besides the network is hashing and the disk, so each is
given with and without a hash; either reads the finished file a second time for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import requests

from gpt4all.model_files.retrieve import download_model

NAME = "bench.gguf"


class _Handler(BaseHTTPRequestHandler):
    """Sends one file, or what a Range header asks of it, without copying through Python."""

    protocol_version = "HTTP/1.1"
    source: Path

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        size = self.source.stat().st_size
        first, last = 0, size - 1
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match:
            first, last = int(match[1]), int(match[2] or last)
        self.send_response(206 if match else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.flush()
        with self.source.open("rb") as file:
            while first <= last:
                first += os.sendfile(self.connection.fileno(), file.fileno(), first, last - first + 1)


def _serve(source: Path, pipe: Connection) -> None:
    handler = type("Handler", (_Handler,), {"source": source})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        pipe.send(server.server_address[1])
        server.serve_forever()


def several(url: str, final: Path, size: int, connections: int, algorithm: str | None) -> None:
    """The simplest download over several connections: each writes its share of the file in place."""
    share = -(-size // connections)
    fd = os.open(final, os.O_RDWR | os.O_CREAT)
    os.truncate(fd, size)

    def fetch(first: int) -> None:
        last = min(first + share, size) - 1
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True, timeout=60) as response:
            while block := response.raw.read1(1 << 18):
                first += os.pwrite(fd, block, first)

    threads = [threading.Thread(target=fetch, args=(first,)) for first in range(0, size, share)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if algorithm:
        hasher = hashlib.new(algorithm)
        os.lseek(fd, 0, os.SEEK_SET)
        while block := os.read(fd, 1 << 20):
            hasher.update(block)
        hasher.hexdigest()
    os.fsync(fd)
    os.close(fd)


def bare_socket(port: int, final: Path) -> None:
    """What the interface and the disk allow: received and written, and nothing else."""
    with socket.create_connection(("127.0.0.1", port)) as connection, final.open("wb", buffering=0) as file:
        connection.sendall(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
        buffer = bytearray(1 << 18)
        view = memoryview(buffer)
        while count := connection.recv_into(buffer):
            file.write(view[:count])
        os.fsync(file.fileno())


@dataclass
class Cost:
    """Of one way, the best of all rounds."""

    rate: float = 0.0
    """MB/s."""
    cpu: float = math.inf
    """CPU seconds this process spends on a GB; other load on the machine changes this least."""


def measure(megabytes: int, rounds: int, directory: Path) -> dict[str, Cost]:
    """What each way costs."""
    size = megabytes * 1_000_000
    source = directory / "source.gguf"
    source.write_bytes(os.urandom(1_000_000) * megabytes)
    hashes = {name: hashlib.new(name, source.read_bytes()).hexdigest() for name in ("md5", "sha256")}
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(source, theirs), daemon=True)
    server.start()
    port = ours.recv()
    url = f"http://127.0.0.1:{port}/{NAME}"
    target = directory / "target"
    target.mkdir()
    final = target / NAME

    def one(algorithm: str | None) -> None:
        expected = {f"expected_{algorithm}": hashes[algorithm]} if algorithm else {}
        download_model(NAME, target, False, url, size, **expected)  # type: ignore[arg-type]

    ways: dict[str, Callable[[], None]] = {"bare socket": partial(bare_socket, port, final)}
    for algorithm in (None, "md5", "sha256"):
        suffix = f", {algorithm}" if algorithm else ""
        ways[f"download_model{suffix}"] = partial(one, algorithm)
        for count in (2, 4):
            ways[f"{count} connections{suffix}"] = partial(several, url, final, size, count, algorithm)
    best = {name: Cost() for name in ways}
    try:
        for _ in range(rounds):
            for name, way in ways.items():
                shutil.rmtree(target)
                target.mkdir()
                start, cpu = time.perf_counter(), time.process_time()
                way()
                cost = best[name]
                cost.rate = max(cost.rate, size / 1e6 / (time.perf_counter() - start))
                cost.cpu = min(cost.cpu, (time.process_time() - cpu) / (size / 1e9))
    finally:
        server.terminate()
        server.join()
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all ways and print their figures."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev bench-downloads", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where the files are written (default: the temporary directory)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        costs = measure(options.megabytes, options.rounds, Path(directory))
    print(f"| {options.megabytes} MB over loopback, best of {options.rounds} | MB/s | CPU s/GB |")
    print("| --- | --- | --- |")
    for name, cost in costs.items():
        print(f"| {name} | {cost.rate:.0f} | {cost.cpu:.2f} |")
    if options.json:
        figures = {name: asdict(cost) for name, cost in costs.items()}
        options.json.write_text(json.dumps({"megabytes": options.megabytes, "ways": figures}, indent=2))
    return 0
