"""Runs a Markdown page's blocks in their order, and compares what they write with what the page shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpt4all import Embed4All, GPT4All
from tests.support.command_line import DEADLINE
from tests.support.documents import Block, Page

__all__ = ["run_page"]

_PORT = ":4891"
#: Written by the shell around the exit status of each command of a block.
_END = "\x1e"


def run_page(page: Page, *, addresses: Mapping[str, str]) -> None:
    """Runs it in the present folder and environment.

    Args:
        page: the page.
        addresses: what stands in for beginnings of addresses on the page.

    Raises:
        AssertionError: a block does something else than the page says.
    """
    with contextlib.ExitStack() as stack:
        run = _Run(page, stack, {_PORT: f":{_free_port()}", **addresses})
        for block in page.blocks:
            run.block(block)
        run.finish()


class _Run:
    def __init__(self, page: Page, stack: contextlib.ExitStack, stand_ins: Mapping[str, str]) -> None:
        self._page = page
        self._stack = stack
        self._stand_ins = stand_ins
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._written = ""
        self._error: Exception | None = None
        self._files: set[str] = set()
        stack.callback(self._close_models)

    def block(self, block: Block) -> None:
        place = f"{self._page.name}:{block.line}"
        reason = block.said("not run")
        if reason is None and block.language in ("bash", "sh", ""):
            raise AssertionError(f"{place}: say why this is not run, or make it a recorded run (console)")
        if block.language == "text":
            self._compare(place, block)
            return
        self.finish()
        if reason is not None:
            assert reason, f"{place}: no reason"
            return
        # A program may be given their folder.
        self._files = {name for name in self._files if name.partition("/")[0] not in block.code}
        if name := block.said("file"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(self._in(block.code), encoding="utf-8")
            self._files.add(name)
        elif block.language == "python":
            self._python(place, block)
        elif block.language == "console":
            self._console(place, block)

    def finish(self) -> None:
        """Raises what the last block ended with, where the page does not show it."""
        if self._error is not None:
            raise self._error

    def _python(self, place: str, block: Block) -> None:
        # With the page's own line numbers in tracebacks.
        code = compile("\n" * (block.line - 1) + self._in(block.code), place, "exec", dont_inherit=True)
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                exec(code, self._names)
        except Exception as error:
            self._error = error
            output.write("".join(traceback.format_exception_only(error)))
            if sys.version_info < (3, 11):  # which shows no notes
                output.write("\n".join(getattr(error, "__notes__", [])))
        self._written = self._out(output.getvalue())

    def _compare(self, place: str, block: Block) -> None:
        shown = block.code
        if not block.shows(shown, self._written):
            raise AssertionError(f"{place} shows\n{shown}\nbut this is written:\n{self._written}") from self._error
        self._error = None

    def _console(self, place: str, block: Block) -> None:
        commands = _commands(block.code)
        if block.remark == "until the end of the page":
            ((command, shown),) = commands
            self._stack.enter_context(self._in_the_background(place, block, self._in(command), shown))
            return
        script = "\n".join(
            f"{self._in(command)}\nstatus=$?; printf '{_END}%s{_END}' $status; (exit $status)"
            for command, _ in commands
        )
        done = subprocess.run(
            ["bash", "-c", script],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
        )
        outputs = self._out(done.stdout.decode()).split(_END)
        assert len(outputs) == 2 * len(commands) + 1, f"{place}: the shell ended after\n{outputs[-1]}"
        for (command, shown), got, status in zip(commands, outputs[::2], outputs[1::2], strict=False):
            # What fails, has to be shown to.
            if not block.shows(shown, got) or (status != "0" and "error: " not in shown):
                raise AssertionError(f"{place} shows for {command}\n{shown}\nbut this is written:\n{got}")
        self._written = ""

    @contextlib.contextmanager
    def _in_the_background(self, place: str, block: Block, command: str, shown: str) -> Iterator[None]:
        command += f" --port {self._stand_ins[_PORT].removeprefix(':')}"
        started = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert started.stdout is not None
        try:
            got = ""
            until = time.monotonic() + DEADLINE
            while not block.shows(shown, self._out(got)):
                readable, _, _ = select.select([started.stdout], [], [], max(until - time.monotonic(), 0))
                data = os.read(started.stdout.fileno(), 65536) if readable else b""
                assert data, f"{place} shows for {command}\n{shown}\nbut this is written:\n{got}"
                got += data.decode()
            yield
        finally:
            started.send_signal(signal.SIGINT)
            started.communicate(timeout=DEADLINE)

    def _in(self, text: str) -> str:
        for there, here in self._stand_ins.items():
            text = text.replace(there, here)
        return text

    def _out(self, text: str) -> str:
        for there, here in self._stand_ins.items():
            text = text.replace(here, there)
        return text

    def _close_models(self) -> None:
        for value in self._names.values():
            if isinstance(value, (GPT4All, Embed4All)):
                value.close()
        assert not self._files, f"{self._page.name}: nothing uses {self._files}"


def _commands(code: str) -> list[tuple[str, str]]:
    """Pairs of a command and what is shown for it; lines of a command that go on begin with ``>``."""
    found = re.findall(r"^\$ (.*(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", code, re.MULTILINE)
    return [(command.replace("\n> ", "\n"), shown) for command, shown in found]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
