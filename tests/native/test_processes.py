"""``fork``, ``spawn`` and process pools: what works there, and a clear error for what cannot."""

from __future__ import annotations

import os

import pytest

from tests.support.fake import children
from tests.support.fake.backend import END, TURN, FakeModel

pytestmark = [
    pytest.mark.usefixtures("fake_backend"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

#: Later Pythons warn of any fork of a process with threads, and warnings are errors there.
FORK = """
import warnings
warnings.filterwarnings("ignore", category=DeprecationWarning)

def in_child(work):
    '''Prints what ``work`` says in a forked child, in one write, and waits for it.'''
    child = os.fork()
    if child == 0:
        try:
            text = str(work())
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        os.write(1, f"{text}\\n".encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""

CALLS = (
    "model.generate('x')",
    "list(model.generate('x', streaming=True))",
    "asyncio.run(once(model))",
    "model.tokenize('x')",
    "model.detokenize([3])",
    "model.model.set_thread_count(1)",
    "next(stream)",
)


@pytest.mark.parametrize("call", CALLS)
def test_a_model_of_the_parent_says_why_it_does_not_work(fake_model: FakeModel, call: str) -> None:
    ended = children.run(
        f"""
        {FORK.replace(chr(10), chr(10) + " " * 8)}
        import asyncio
        async def once(model):
            return await model.agenerate("x")
        model = GPT4All(PATHS[0])
        stream = model.generate("x", streaming=True)
        next(stream)
        in_child(lambda: {call})
        stream.close()
        print(model.generate("x", max_tokens=2))
        """,
        fake_model("a"),
    )
    said, own = ended.out.splitlines()
    assert said.startswith("GenerationError: ")
    assert "forked" in said
    assert "'spawn'" in said
    assert (own, ended.err, ended.code) == ("aa", "", 0)


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)", "model.close(); sys.exit(0)", "del model; sys.exit(0)"])
def test_a_child_ends_without_a_word(fake_model: FakeModel, end: str) -> None:
    ended = children.run(
        f"""
        {FORK.replace(chr(10), chr(10) + " " * 8)}
        reached = gate()
        model = GPT4All(PATHS[0])
        stream = model.generate("x", streaming=True)
        next(stream)
        assert reached.wait()
        child = os.fork()
        if child == 0:
            {end}
        assert os.waitpid(child, 0)[1] == 0
        stream.close()
        print(model.generate("x"))
        """,
        fake_model("a", TURN, "b", END, wait_cancel_after=2),
    )
    assert (ended.out, ended.err, ended.code) == ("b\n", "", 0)


def test_a_child_meets_no_lock_that_another_thread_held(fake_model: FakeModel) -> None:
    """A server's thread looks for a library while its main thread forks workers."""
    ended = children.run(
        f"""
        {FORK.replace(chr(10), chr(10) + " " * 8)}
        import faulthandler
        from gpt4all.devices import probe as gpu_probe
        from gpt4all._native import loader
        from tests.support.spawned import answer
        go_on = threading.Event()
        holds = threading.Barrier(3)
        def hold(lock):
            with lock:
                holds.wait()
                go_on.wait()
        for lock in (loader.lock(), gpu_probe._lock):
            threading.Thread(target=hold, args=[lock]).start()
        holds.wait()
        faulthandler.dump_traceback_later({children.DEADLINE / 2}, exit=True)
        in_child(lambda: (answer(PATHS[0]), GPT4All.list_gpus()))
        go_on.set()
        """,
        fake_model("a"),
    )
    assert (ended.out, ended.err, ended.code) == ("('aaa', [])\n", "", 0)


def test_a_child_may_load_a_model_of_its_own(fake_model: FakeModel) -> None:
    ended = children.run(
        f"""
        {FORK.replace(chr(10), chr(10) + " " * 8)}
        from tests.support.spawned import answer
        in_child(lambda: answer(PATHS[0]))
        model = GPT4All(PATHS[0])
        model.generate("x", max_tokens=1)
        in_child(lambda: answer(PATHS[0]))
        print(model.generate("x", max_tokens=2))
        """,
        fake_model("a"),
    )
    assert (ended.out, ended.err, ended.code) == ("aaa\naaa\naa\n", "", 0)


@pytest.mark.parametrize(
    "pool",
    [
        "multiprocessing.get_context('spawn').Pool(2)",
        "concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context('spawn'))",
        "multiprocessing.get_context('fork').Pool(2)",
    ],
)
def test_pools_of_processes(fake_model: FakeModel, pool: str) -> None:
    ended = children.run(
        f"""
        import concurrent.futures, multiprocessing, warnings
        from tests.support.spawned import answer
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        model = GPT4All(PATHS[0])
        model.generate("x", max_tokens=1)
        with {pool} as pool:
            print(list(pool.map(answer, PATHS * 4)))
        print(model.generate("x", max_tokens=2))
        """,
        fake_model("a"),
    )
    assert (ended.out, ended.err, ended.code) == (f"{['aaa'] * 4}\naa\n", "", 0)
