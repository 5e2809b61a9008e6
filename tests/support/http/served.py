"""A server as a person starts it: ``gpt4all serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import testmodels
from openai import OpenAI


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    url: str
    process: subprocess.Popen[str]
    chat: str
    embed: str
    closing: contextlib.ExitStack = field(repr=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, key: str = "any") -> OpenAI:
        return self.closing.enter_context(OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0))

    def post(self, path: str, body: object, **more: object) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=60, **more)  # type: ignore[arg-type]

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


@contextlib.contextmanager
def running(*options: str, models: Sequence[str | Path] = ("smollm2", "minilm")) -> Iterator[Running]:
    """``gpt4all serve`` with these options, until the block ends."""
    files = [testmodels.ensure(name) if isinstance(name, str) else name for name in models]
    command = [sys.executable, "-m", "gpt4all", "serve", *map(str, files), "--port", "0", "--offline", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("listening on "):
                break
        else:
            raise AssertionError("".join(said))
        with contextlib.ExitStack() as closing:
            yield Running(line.split()[-1], process, Path(files[0]).stem, Path(files[-1]).stem, closing)
    finally:
        process.terminate()
        # Reading on, so that what it says last does not block it.
        process.communicate(timeout=60)


#: An answer that goes on until the context is full.
LONG = {"prompt": "1, 2, 3,", "max_tokens": 4000, "logit_bias": {"0": -100, "2": -100}, "seed": 1}


def until(condition: Callable[[], bool]) -> None:
    """Looks again and again, for a time that no test should need."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_progress(server: Running) -> float:
    return server.metrics()[f'gpt4all_answers_in_progress{{model="{server.chat}"}}']


def begin(server: Running, **more: object) -> socket.socket:
    """A request for a long answer."""
    body = json.dumps({"model": server.chat, **LONG, **more}).encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection
