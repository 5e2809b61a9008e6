"""The real library in a forked child."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.fake import children

pytestmark = [pytest.mark.model, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


def test_a_child_logs_although_another_thread_was_logging(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(60))
    ended = children.run(
        """
        import logging, os, signal, threading, warnings
        from gpt4all._native import loader
        from gpt4all._native.backend import load_backend
        from gpt4all.errors import ModelLoadError
        from gpt4all.options import LoadOptions

        warnings.filterwarnings("ignore", category=DeprecationWarning)
        backend = load_backend("cpu")
        [path] = PATHS
        inside, leave = threading.Event(), threading.Event()

        class Slow(logging.Handler):
            def emit(self, record):
                if threading.current_thread() is not threading.main_thread():
                    inside.set()
                    leave.wait()

        logger = logging.getLogger("gpt4all.engine")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(Slow())

        def load():
            try:
                backend.load_model(path, LoadOptions.create(n_ctx=8))
            except ModelLoadError:
                pass

        thread = threading.Thread(target=load)
        thread.start()
        inside.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            backend.silence()
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        leave.set()
        thread.join()
        """,
        broken,
    )
    assert ended.out.split() == ["0"], ended.err
