"""Ctrl-C in the main thread, as a real signal: wherever it comes, the engine stops and the model is usable."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from tests.support.fake.backend import END, TURN, FakeModel
from tests.support.fake.children import Child

pytestmark = [
    pytest.mark.usefixtures("fake_backend"),
    pytest.mark.skipif(os.name == "nt", reason="passes a file descriptor to the child"),
]

#: Says that it is ready once the engine waits for the cancel flag.
AT_GATE = """
reached = gate()
threading.Thread(target=lambda: (reached.wait(), ready()), daemon=True).start()
model = GPT4All(PATHS[0])
"""
AFTERWARDS = """
print(model.generate("x"))
assert [thread.name for thread in threading.enumerate()].count("GPT4All worker") == 1
model.close()
assert "GPT4All worker" not in [thread.name for thread in threading.enumerate()]
"""


def interrupt(program: str, model: Path) -> str:
    """Runs a program, interrupts it once it is ready, and returns what it printed."""
    child = Child(program, model)
    child.wait_until_ready()
    child.send()
    ended = child.end()
    assert (ended.err, ended.code) == ("", 0)
    return ended.out


@pytest.fixture(params=["in the prompt", "after a token"])
def gated(request: pytest.FixtureRequest, fake_model: FakeModel) -> Path:
    """Waits for the cancel flag in its first call, of ``n_batch=1``, and answers later ones."""
    where = {"wait_cancel_in_prompt": 1} if request.param == "in the prompt" else {"wait_cancel_after": 2}
    return fake_model("a", TURN, "b", END, **where)


@pytest.mark.parametrize(
    "call",
    [
        "model.generate('x', n_batch=1)",
        "list(model.generate('x', n_batch=1, streaming=True))",
        "model.generate('x', n_batch=1, callback=lambda token, piece: True)",
        "list(model.generate('x', n_batch=1, streaming=True, callback=lambda token, piece: True))",
    ],
)
def test_in_a_call(gated: Path, call: str) -> None:
    out = interrupt(
        f"""
        {AT_GATE.replace(chr(10), chr(10) + " " * 8)}
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        {AFTERWARDS.replace(chr(10), chr(10) + " " * 8)}
        """,
        gated,
    )
    assert out == "interrupted\nb\n"


def test_between_two_pieces(fake_model: FakeModel) -> None:
    out = interrupt(
        f"""
        {AT_GATE.replace(chr(10), chr(10) + " " * 8)}
        try:
            for piece in model.generate("x", streaming=True):
                threading.Event().wait()
        except KeyboardInterrupt:
            print("interrupted")
        {AFTERWARDS.replace(chr(10), chr(10) + " " * 8)}
        """,
        fake_model("a", TURN, "b", END, wait_cancel_after=2),
    )
    assert out == "interrupted\nb\n"


def test_while_waiting_for_a_turn(fake_model: FakeModel) -> None:
    out = interrupt(
        f"""
        model = GPT4All(PATHS[0])
        held = model.generate("x", streaming=True)
        next(held)
        def watch():
            while len(model._loaded._worker._line) < 2:
                threading.Event().wait(0.001)
            ready()
        threading.Thread(target=watch, daemon=True).start()
        try:
            model.generate("y")
        except KeyboardInterrupt:
            print("interrupted")
        held.close()
        {AFTERWARDS.replace(chr(10), chr(10) + " " * 8)}
        """,
        fake_model("a", TURN, "b", END, wait_cancel_after=2),
    )
    assert out == "interrupted\nb\n"


@pytest.mark.parametrize("streaming", [False, True])
def test_in_a_session_the_history_keeps_what_was_said(
    gated: Path, streaming: bool, request: pytest.FixtureRequest
) -> None:
    out = interrupt(
        f"""
        {AT_GATE.replace(chr(10), chr(10) + " " * 8)}
        with model.chat_session("s", "{{0}}"):
            try:
                list(model.generate("x", n_batch=1, streaming={streaming}))
            except KeyboardInterrupt:
                print(model.current_chat_session[1:])
            model.generate("y")
            print(model.current_chat_session[1:])
        """,
        gated,
    )
    first, both = map(ast.literal_eval, out.splitlines())
    said = first[1]["content"]
    # A stream's reader may have seen less than was computed.
    assert said in ({""} if "in the prompt" in request.node.name else {"", "a", "aa"} if streaming else {"aa"})
    assert first == [{"role": "user", "content": "x"}, {"role": "assistant", "content": said}]
    assert both == [*first, {"role": "user", "content": "y"}, {"role": "assistant", "content": "b"}]


def test_in_a_load(fake_model: FakeModel) -> None:
    out = interrupt(
        """
        def on_progress(fraction):
            if fraction == 0:
                ready()
                threading.Event().wait()
        try:
            GPT4All(PATHS[0], progress=on_progress)
        except KeyboardInterrupt:
            print("interrupted")
        model = GPT4All(PATHS[0])
        print(model.generate("x"))
        """,
        fake_model("b", END),
    )
    assert out == "interrupted\nb\n"


def test_in_asyncio(gated: Path) -> None:
    """``asyncio.run`` cancels the main task; that is what stops the engine."""
    out = interrupt(
        f"""
        import asyncio
        {AT_GATE.replace(chr(10), chr(10) + " " * 8)}
        async def main():
            await model.agenerate("x", n_batch=1)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        print(model.generate("x"))
        """,
        gated,
    )
    assert out == "interrupted\nb\n"
