"""Command line of ``scripts/dev exits``: interpreters that end in the middle of a generation."""

from __future__ import annotations

import argparse
import itertools
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import testmodels

from tests.support.fake import children

_STREAM = 'stream = model.generate("Once upon a time", max_tokens=10**6, streaming=True, stop=[])\nnext(stream)\n'


@dataclass(frozen=True)
class Way:
    """One way to end.

    Attributes:
        program: what the child does after loading ``model``.
        code: its exit code.
        signal: what it is sent once it is ready, if anything.
        last_line: how the last line on stderr begins; nothing may be there without.
    """

    name: str
    program: str
    code: int = 0
    signal: int = 0
    last_line: str = ""


WAYS = (
    Way("the end of the program", _STREAM),
    Way(
        "sys.exit in a loop",
        'for piece in model.generate("Once", max_tokens=10**6, streaming=True):\n    sys.exit(3)\n',
        3,
    ),
    Way(
        "a daemon thread",
        "inside = threading.Event()\n"
        "def work():\n"
        '    model.generate("Once", max_tokens=10**6, stop=[], callback=lambda *_: inside.set())\n'
        "threading.Thread(target=work, daemon=True).start()\n"
        "inside.wait()\n",
    ),
    Way("sys.exit in a callback", 'model.generate("Once", callback=lambda token, piece: sys.exit(4))\n', 4),
    Way(
        "an event loop",
        "import asyncio\n"
        "async def main():\n"
        '    async for piece in model.agenerate("Once", max_tokens=10**6):\n'
        "        sys.exit(5)\n"
        "asyncio.run(main())\n",
        5,
    ),
    Way("an exception", _STREAM + 'raise KeyError("own")\n', 1, last_line="KeyError: 'own'"),
    Way(
        "Ctrl-C",
        _STREAM + "ready()\nfor piece in stream: pass\n",
        -signal.SIGINT,
        signal.SIGINT,
        last_line="KeyboardInterrupt",
    ),
    Way("SIGTERM", _STREAM + "ready()\nfor piece in stream: pass\n", -signal.SIGTERM, signal.SIGTERM),
    Way(
        "an answer after Ctrl-C",
        "import signal\n"
        "def interrupt(*_):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return True\n"
        "try:\n"
        '    model.generate("Once", max_tokens=10**6, stop=[], callback=interrupt)\n'
        "except KeyboardInterrupt:\n"
        '    sys.exit(0 if model.generate("Once", max_tokens=4) else 1)\n'
        "sys.exit(2)\n",
    ),
    Way("several models", "others = [GPT4All(PATHS[0], n_ctx=64) for _ in range(3)]\n" + _STREAM),
    Way("a fork", _STREAM + "if os.fork() == 0: sys.exit(0)\nassert os.wait()[1] == 0\n"),
)


def end(way: Way, model: Path, device: str = "cpu") -> str:
    """Why that was no clean exit, or nothing."""
    child = children.Child(f"model = GPT4All(PATHS[0], n_ctx=256, device={device!r})\n{way.program}", model)
    if way.signal:
        child.wait_until_ready()
        child.send(way.signal)
    ended = child.end()
    lines = ended.err.splitlines()
    noise = not (lines and lines[-1].startswith(way.last_line) and ended.err.count("Traceback") == 1)
    if ended.code != way.code or ended.out or (noise if way.last_line else bool(ended.err)):
        return f"exit code {ended.code} instead of {way.code}\n{ended.out}{ended.err}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """End so many interpreters, each way in turn; any noise is printed."""
    parser = argparse.ArgumentParser(
        prog="scripts/dev exits",
        description="End interpreters in the middle of a generation: right exit code, no word, no hang.",
    )
    parser.add_argument("count", nargs="?", type=int, default=100, help="how many (default: 100)")
    count = parser.parse_args(arguments).count
    failures = 0
    for number, way in zip(range(count), itertools.cycle(WAYS), strict=False):
        problem = end(way, testmodels.ensure("tiny-mamba" if number // len(WAYS) % 2 else "tiny-llama"))
        if problem:
            failures += 1
            print(f"{way.name}: {problem}")
    print(f"{count} exits, {failures} of them not clean")
    return int(bool(failures))
