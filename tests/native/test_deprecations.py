"""Warnings point at the caller's line: elsewhere nobody finds the cause, and Python hides those of deprecation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gpt4all import Embed4All, GPT4All, options
from tests.support.fake.backend import END, FakeModel
from tests.support.fake.helpers import LoadFake


class OwnFormat(GPT4All):
    """A subclass written for 2.8."""

    def _format_chat_prompt_template(
        self, messages: list[dict[str, str]], default_prompt_header: str = "", default_prompt_footer: str = ""
    ) -> str:
        return messages[0]["content"]


@contextmanager
def warning_here(words: str, category: type[Warning] = DeprecationWarning) -> Iterator[None]:
    with pytest.warns(category, match=words) as caught:
        yield
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("fake_backend")
@pytest.mark.parametrize(
    "call",
    [
        lambda path: GPT4All(path, allow_download="False").close(),  # type: ignore[arg-type]
        lambda path: GPT4All.retrieve_model(path, allow_download="False"),  # type: ignore[arg-type]
    ],
    ids=["constructor", "retrieve_model"],
)
def test_allow_download_as_a_string(fake_model: FakeModel, call: Callable[[str], object]) -> None:
    with warning_here("allow_download=False"):
        call(str(fake_model("a", END)))


def test_a_session_without_any_template(loaded: LoadFake) -> None:
    model = loaded("a", END)
    with warning_here("prompt_template"), model.chat_session():
        pass


@pytest.mark.usefixtures("fake_backend")
@pytest.mark.parametrize("streaming", [False, True])
def test_a_subclass_that_formats_messages(fake_model: FakeModel, streaming: bool) -> None:
    with OwnFormat(fake_model("a", END), n_ctx=512) as model, model.chat_session(prompt_template="{0}"):
        with warning_here("_format_chat_prompt_template"):
            answer = model.generate("x", streaming=streaming)
        assert "".join(answer) == "a"


@pytest.mark.usefixtures("fake_backend")
def test_too_many_threads(fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "usable_cpus", lambda: 1)
    path, embedder = fake_model("a", END), fake_model(architecture="bert", traits="encoder embedding")
    with warning_here("n_threads=2", UserWarning), GPT4All(path, n_ctx=512, n_threads=2):
        pass
    with warning_here("n_threads=2", UserWarning), Embed4All(embedder, n_threads=2):
        pass
    with GPT4All(path, n_ctx=512, n_threads=1) as model, warning_here("n_threads=2", UserWarning):
        model.model.set_thread_count(2)


@pytest.mark.usefixtures("fake_backend")
def test_a_context_longer_than_trained(fake_model: FakeModel) -> None:
    with warning_here("n_ctx=4096", UserWarning), OwnFormat(fake_model("a", END), n_ctx=4096, n_threads=1):
        pass


@pytest.mark.usefixtures("fake_backend")
def test_vectors_cut_very_short(fake_model: FakeModel) -> None:
    path = fake_model(architecture="bert", traits="encoder embedding", name="nomic-embed-text-v1.5")
    with Embed4All(path) as model, warning_here("dimensionality", UserWarning):
        model.embed("a", dimensionality=2)
