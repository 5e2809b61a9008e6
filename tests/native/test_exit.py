"""The interpreter's exit in the middle of anything: the right exit code, no word on stderr, no hang."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.fake import children
from tests.support.fake.backend import END, FakeModel

pytestmark = [
    pytest.mark.usefixtures("fake_backend"),
    pytest.mark.skipif(os.name == "nt", reason="passes a file descriptor to the child"),
]


@pytest.fixture
def endless(fake_model: FakeModel) -> Path:
    """Its turns only end with ``max_tokens``."""
    return fake_model("a")


@pytest.fixture
def gated(fake_model: FakeModel) -> Path:
    """Waits for the cancel flag after two tokens."""
    return fake_model("a", wait_cancel_after=2)


def silent_exit(program: str, *models: Path, code: int = 0, out: str = "") -> None:
    ended = children.run(program, *models)
    assert (ended.code, ended.out, ended.err) == (code, out, "")


def test_open_stream(endless: Path) -> None:
    silent_exit(
        """
        model = GPT4All(PATHS[0])
        stream = model.generate("x", max_tokens=10**9, streaming=True)
        print(next(stream))
        """,
        endless,
        out="a\n",
    )


def test_worker_waiting_for_a_reader(endless: Path) -> None:
    silent_exit(
        """
        from gpt4all.engine import runs
        model = GPT4All(PATHS[0])
        stream = model.generate("x", max_tokens=10**9, streaming=True)
        next(stream)
        run = model._loaded._worker._line[0]
        while run._news.qsize() < runs.BUFFERED_PIECES:
            threading.Event().wait(0.001)
        """,
        endless,
    )


def test_worker_computing(gated: Path) -> None:
    silent_exit(
        """
        reached = gate()
        model = GPT4All(PATHS[0])
        stream = model.generate("x", streaming=True)
        next(stream)
        assert reached.wait(30)
        """,
        gated,
    )


def test_worker_in_the_prompt(fake_model: FakeModel) -> None:
    silent_exit(
        """
        reached = gate()
        model = GPT4All(PATHS[0])
        thread = threading.Thread(target=lambda: model.generate("x"), daemon=True)
        thread.start()
        assert reached.wait(30)
        """,
        fake_model("a", wait_cancel_in_prompt=0),
    )


@pytest.mark.parametrize("loop", ["model.generate('x')", "list(model.generate('x', streaming=True))"])
def test_daemon_threads_that_go_on_calling(fake_model: FakeModel, loop: str) -> None:
    silent_exit(
        f"""
        model = GPT4All(PATHS[0])
        begun = threading.Barrier(5)
        def work():
            assert {loop}
            begun.wait()
            while True:
                answer = {loop}
                # A text cut short by the exit would pass for a whole one.
                if "".join(answer) != "abcdef":
                    os.write(2, b"cut short")
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        begun.wait()
        """,
        fake_model(*"abcdef", END),
    )


def test_daemon_threads_that_wait_for_their_turn(gated: Path) -> None:
    silent_exit(
        """
        reached = gate()
        model = GPT4All(PATHS[0])
        for _ in range(4):
            threading.Thread(target=lambda: print(model.generate("x")), daemon=True).start()
        assert reached.wait(30)
        while len(model._loaded._worker._line) < 4:
            threading.Event().wait(0.001)
        """,
        gated,
    )


def test_a_thread_that_is_no_daemon_finishes_its_work(fake_model: FakeModel) -> None:
    silent_exit(
        """
        model = GPT4All(PATHS[0])
        begun = threading.Event()
        def work():
            stream = model.generate("x", max_tokens=2000, streaming=True)
            next(stream)
            begun.set()
            print(1 + len(list(stream)), model.last_generation.finish_reason)
        threading.Thread(target=work).start()
        assert begun.wait(30)
        """,
        fake_model("a"),
        out="2000 length\n",
    )


def test_a_pool_finishes_its_work(fake_model: FakeModel) -> None:
    silent_exit(
        """
        from concurrent.futures import ThreadPoolExecutor
        model = GPT4All(PATHS[0])
        pool = ThreadPoolExecutor(2)
        for number in range(4):
            # One write each: print() writes the line end apart, so lines of two threads mix.
            pool.submit(lambda: sys.stdout.write(model.generate("x", max_tokens=3) + "\\n"))
        """,
        fake_model("a"),
        out="aaa\n" * 4,
    )


@pytest.mark.parametrize("code", [0, 3])
def test_sys_exit_in_the_reader(endless: Path, code: int) -> None:
    silent_exit(
        f"""
        model = GPT4All(PATHS[0])
        for piece in model.generate("x", max_tokens=10**9, streaming=True):
            sys.exit({code})
        """,
        endless,
        code=code,
    )


def test_sys_exit_in_a_callback(endless: Path) -> None:
    silent_exit(
        """
        model = GPT4All(PATHS[0])
        print(model.generate("x", max_tokens=10**9, callback=lambda token, piece: sys.exit(4)))
        """,
        endless,
        code=4,
    )


def test_unhandled_exception_in_the_reader(endless: Path) -> None:
    ended = children.run(
        """
        model = GPT4All(PATHS[0])
        stream = model.generate("x", max_tokens=10**9, streaming=True)
        for piece in stream:
            raise KeyError("own")
        """,
        endless,
    )
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Traceback")
    assert ended.err.rstrip().endswith("KeyError: 'own'")
    assert ended.err.count("Traceback") == 1


def test_models_in_cycles_and_module_globals(endless: Path) -> None:
    silent_exit(
        """
        class Owner:
            def __init__(self):
                self.me = self
                self.model = GPT4All(PATHS[0])
                self.stream = self.model.generate("x", max_tokens=10**9, streaming=True)
                next(self.stream)
            def __del__(self):
                self.stream.close()
                self.model.close()
        owners = [Owner() for _ in range(3)]
        del owners[0]
        sys.modules["a_module"] = owners[0]
        """,
        endless,
    )


def test_handlers_that_run_at_exit(endless: Path) -> None:
    """Those registered after the first load still find the models open, those before it closed."""
    silent_exit(
        """
        import atexit
        def late():
            try:
                model.generate("x")
            except ValueError as error:
                print(error)
        atexit.register(late)
        model = GPT4All(PATHS[0])
        atexit.register(lambda: print(model.generate("x", max_tokens=2)))
        """,
        endless,
        out="aa\nthe model is closed; load it again\n",
    )


def test_a_handler_that_joins_a_worker(gated: Path) -> None:
    silent_exit(
        """
        import atexit
        reached = gate()
        atexit.register(lambda: worker.join())
        model = GPT4All(PATHS[0])
        worker = threading.Thread(target=lambda: print(model.generate("x")), daemon=True)
        worker.start()
        assert reached.wait(30)
        """,
        gated,
    )


def test_a_callback_that_never_returns(endless: Path) -> None:
    silent_exit(
        """
        from gpt4all.engine import at_exit
        at_exit.EXIT_PATIENCE = 0.1
        model = GPT4All(PATHS[0])
        inside = threading.Event()
        def hang(token, piece):
            inside.set()
            threading.Event().wait()
        threading.Thread(
            target=lambda: list(model.generate("x", streaming=True, callback=hang)), daemon=True
        ).start()
        assert inside.wait(30)
        """,
        endless,
    )


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_while_exiting(endless: Path, times: int) -> None:
    """The engine's thread is in a callback, and would come back into an interpreter that is gone."""
    silent_exit(
        f"""
        import asyncio, os, signal
        from gpt4all.engine import at_exit

        model, begun = GPT4All(PATHS[0]), threading.Event()

        def callback(token, text):
            begun.set()
            while not at_exit.exiting:
                threading.Event().wait(0.001)
            for _ in range({times}):
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait(0.1)
            return True

        async def answer():
            await model.agenerate("x", callback=callback)

        # Not in the main thread, where the event loop's end would stop the engine first.
        threading.Thread(target=asyncio.run, args=(answer(),), daemon=True).start()
        begun.wait()
        """,
        endless,
    )


def test_loads_under_way(fake_model: FakeModel) -> None:
    silent_exit(
        """
        inside = threading.Barrier(4)
        def wait_once(fraction):
            if fraction == 0:
                inside.wait()
        for _ in range(3):
            threading.Thread(target=lambda: GPT4All(PATHS[0], progress=wait_once), daemon=True).start()
        inside.wait()
        """,
        fake_model("a", progress_steps=1000),
    )


def test_log_lines_while_the_interpreter_exits(fake_model: FakeModel) -> None:
    silent_exit(
        """
        logging.getLogger("gpt4all").setLevel(1)
        logging.getLogger("gpt4all").addHandler(logging.FileHandler(os.devnull))
        model = GPT4All(PATHS[0])
        def work():
            while True:
                model.model.set_thread_count(2)
                model.generate("x", max_tokens=2)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        model.generate("x")
        """,
        fake_model("a", log_calls=1),
    )


def test_an_open_async_generation(endless: Path) -> None:
    silent_exit(
        """
        import asyncio
        async def main():
            model = GPT4All(PATHS[0])
            async for piece in model.agenerate("x", max_tokens=10**9):
                print(piece)
                sys.exit(5)
        asyncio.run(main())
        """,
        endless,
        code=5,
        out="a\n",
    )
