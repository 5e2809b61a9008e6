"""Measures servers through HTTP: llama-server, and others beside it; run by any Python."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from bench.drivers.common import Spec, Values, main
from bench.drivers.mixed_load import mixed_load, throughput

_HOST = "127.0.0.1"
_PATIENCE = 120


def mixed(spec: Spec) -> Values:
    with _server(spec) as port:

        def ask(prompt: str, n_new: int, on_first: Callable[[], None]) -> int:
            body = {**spec["request"], "prompt": prompt, "n_predict": n_new, "stream": True}
            with closing(http.client.HTTPConnection(_HOST, port, timeout=None)) as connection:
                connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
                response = connection.getresponse()
                last = b""
                for line in response:
                    if line.startswith(b"data: "):
                        if not last:
                            on_first()
                        last = line
                if response.status != 200 or not last:
                    raise ValueError(f"llama-server answered with status {response.status}")
                return int(json.loads(last[len(b"data: ") :])["tokens_predicted"])

        return mixed_load(spec["key"], spec["requests"], ask)


def served(spec: Spec) -> Values:
    """Tokens per second of clients that ask at the same time, in OpenAI's terms."""
    with _server(spec) as port:

        def ask(prompt: str, n_new: int, on_first: Callable[[], None]) -> int:
            asked = {"prompt": prompt, "max_tokens": n_new, "stream": True, "stream_options": {"include_usage": True}}
            with closing(http.client.HTTPConnection(_HOST, port, timeout=None)) as connection:
                body = json.dumps({**spec["request"], **asked})
                connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                usage = None
                for line in response:
                    if line.startswith(b"data: {"):
                        on_first()
                        usage = json.loads(line[len(b"data: ") :]).get("usage") or usage
                if response.status != 200 or usage is None:
                    raise ValueError(f"the server answered with status {response.status}")
                return int(usage["completion_tokens"])

        return throughput(spec["key"], spec["rounds"], ask)


@contextmanager
def _server(spec: Spec) -> Iterator[int]:
    """Runs a server until the end of the block; gives its port."""
    with closing(socket.socket()) as free:
        free.bind((_HOST, 0))
        port = int(free.getsockname()[1])
    command = [*spec["command"], "--host", _HOST, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ValueError(f"the server did not start; its status is {process.poll()}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection(_HOST, port, timeout=5)) as connection:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main({"mixed": mixed, "served": served}))
