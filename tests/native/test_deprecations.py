"""Deprecation warnings point at the caller's line: elsewhere, Python keeps them to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gpt4all import GPT4All
from tests.fake import END, FakeModel
from tests.native_helpers import LoadFake


class OwnFormat(GPT4All):
    """A subclass written for 2.8."""

    def _format_chat_prompt_template(
        self, messages: list[dict[str, str]], default_prompt_header: str = "", default_prompt_footer: str = ""
    ) -> str:
        return messages[0]["content"]


@contextmanager
def warning_here(words: str) -> Iterator[None]:
    with pytest.warns(DeprecationWarning, match=words) as caught:
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
