"""What the package and the engine say: through the ``gpt4all`` logger, and on stderr only when asked."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt4all import GPT4All
from tests.support.fake.backend import END, FakeModel
from tests.support.fake.helpers import LoadFake

# The fake says it on every load.
SAYS = [("debug", "each tensor"), ("info", "tensors"), ("warning", "odd vocabulary"), ("error", "out of memory")]


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    logger = logging.getLogger("gpt4all")
    before = logger.level
    yield
    logger.setLevel(before)


def heard(caplog: pytest.LogCaptureFixture) -> dict[str, int]:
    return {record.getMessage(): record.levelno for record in caplog.records if record.name == "gpt4all.engine"}


def test_nothing_is_written_unasked(loaded: LoadFake, capfd: pytest.CaptureFixture[str]) -> None:
    assert loaded("a", END, log=SAYS).generate("x") == "a"
    assert capfd.readouterr() == ("", "")


def test_the_engine_informs_only_those_who_debug(loaded: LoadFake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gpt4all")
    loaded("a", END, log=SAYS)
    assert heard(caplog) == {"odd vocabulary": logging.WARNING, "out of memory": logging.ERROR}
    caplog.set_level(logging.DEBUG, "gpt4all")
    loaded("a", END, log=SAYS)
    assert heard(caplog)["tensors"] == logging.DEBUG
    assert "each tensor" not in heard(caplog)
    caplog.set_level(1, "gpt4all")
    loaded("a", END, log=SAYS)
    assert heard(caplog)["each tensor"] == 5


def test_verbose_shows_it_on_stderr_until_the_model_is_closed(
    loaded: LoadFake, capfd: pytest.CaptureFixture[str]
) -> None:
    model = loaded("a", END, log=SAYS, options={"verbose": True})
    out, err = capfd.readouterr()
    assert out == ""
    for line in ("engine: tensors\n", "engine: odd vocabulary\n", "engine: out of memory\n", "found model file"):
        assert line in err
    assert "each tensor" not in err
    model.close()
    loaded("a", END, log=SAYS)
    assert capfd.readouterr() == ("", "")


def test_the_engines_lines_can_be_left_out(loaded: LoadFake, caplog: pytest.LogCaptureFixture) -> None:
    engine = logging.getLogger("gpt4all.engine")
    caplog.set_level(logging.DEBUG, "gpt4all")
    engine.setLevel(logging.ERROR)
    try:
        loaded("a", END, log=SAYS)
    finally:
        engine.setLevel(logging.NOTSET)
    assert heard(caplog) == {"out of memory": logging.ERROR}
    assert "found model file" in caplog.text


@pytest.mark.usefixtures("fake_backend")
def test_a_load_that_fails_is_no_longer_verbose(fake_model: FakeModel, tmp_path: Path) -> None:
    logger = logging.getLogger("gpt4all")
    for name in (str(tmp_path / "nowhere.gguf"), fake_model(fail_load=("INVALID_MODEL", "broken"))):
        with pytest.raises((FileNotFoundError, RuntimeError)) as caught:
            GPT4All(name, verbose=True, allow_download=False)
        assert caught.value.__traceback__ is not None  # and so the half-made model is still there
        assert logger.level == logging.NOTSET


def test_verbose_leaves_the_logger_as_it_was(loaded: LoadFake) -> None:
    logger = logging.getLogger("gpt4all")
    logger.setLevel(logging.WARNING)
    first: GPT4All = loaded("a", END, options={"verbose": True})
    second: GPT4All = loaded("a", END, options={"verbose": True})
    first.close()
    assert logger.isEnabledFor(logging.DEBUG), "the other one is still to be heard"
    second.close()
    assert logger.level == logging.WARNING


@pytest.mark.usefixtures("fake_backend")
def test_a_forgotten_model_is_no_longer_verbose(fake_model: FakeModel, capfd: pytest.CaptureFixture[str]) -> None:
    model = GPT4All(fake_model("a", END), n_ctx=64, verbose=True)
    del model
    gc.collect()
    capfd.readouterr()
    GPT4All(fake_model("a", END, log=SAYS), n_ctx=64).close()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("gpt4all").level == logging.NOTSET
