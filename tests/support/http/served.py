"""A server as a person starts it: ``gpt4all serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
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
def running(*options: str, models: tuple[str, ...] = ("smollm2", "minilm")) -> Iterator[Running]:
    """``gpt4all serve`` with these options, until the block ends."""
    files = [testmodels.ensure(name) for name in models]
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
