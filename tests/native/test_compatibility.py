"""Programs as people wrote them for gpt4all 2.8: chat plugins, LangChain's wrapper, notebooks, subclasses.

Each is kept as such a program would be, old habits and all, and must run unchanged.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import gpt4all
import gpt4all.gpt4all
from gpt4all import GPT4All
from tests.support.fake.backend import ECHO, END, TURN, FakeModel

TEMPLATE = "<u>{0}</u>"


@pytest.fixture
def models(fake_backend: Path, fake_model: FakeModel, tmp_path: Path) -> Path:
    """A directory with ``test.gguf``, which repeats what it is told."""
    directory = tmp_path / "models"
    directory.mkdir()
    fake_model(ECHO, END, chat_template="{{ x }}").rename(directory / "test.gguf")
    return directory


# Notebooks and scripts


def test_the_first_lines_of_a_notebook(models: Path) -> None:
    model = GPT4All(model_name="test.gguf", model_path=models, allow_download=False)
    output = model.generate("The capital of France is ", max_tokens=30)
    assert output == "The capital of France is "
    tokens = []
    with model.chat_session():
        for token in model.generate("What is up?", streaming=True):
            tokens.append(token)
        with pytest.warns(UserWarning, match="current_chat_session is a copy") as warned:
            model.current_chat_session.append({"role": "system", "content": "a copy"})  # type: ignore[union-attr]
        assert warned[0].filename == __file__
        model.current_chat_session += [{"role": "user", "content": "added"}]  # type: ignore[operator]
        history = model.current_chat_session
        assert history is not None
        assert len(history) == 4
    assert "What is up?" in "".join(tokens)
    # Afterwards it is the program's own, and no warning says otherwise.
    history[0]["content"] = "Be brief."
    history.append({"role": "user", "content": "And now?"})
    with model.chat_session(messages=history):
        assert model.current_chat_session == history
    model.close()


def test_the_name_without_its_ending_and_a_path_as_text(models: Path) -> None:
    model = GPT4All(
        "test", model_path=str(models), model_type="llama", n_threads=2, device="cpu", n_ctx=512, ngl=0, verbose=False
    )
    with model:
        assert (model.model_type, model.backend, model.device) == ("llama", "cpu", None)
        assert model.config["filename"] == "test.gguf"
        assert model.config["path"] == str(models / "test.gguf")


def test_all_the_old_options_of_generate(models: Path) -> None:
    with GPT4All("test.gguf", model_path=models) as model:
        text = model.generate(
            "Hello",
            max_tokens=50,
            temp=0.7,
            top_k=40,
            top_p=0.4,
            min_p=0.0,
            repeat_penalty=1.18,
            repeat_last_n=64,
            n_batch=8,
            n_predict=3,
            streaming=False,
            callback=gpt4all.gpt4all.empty_response_callback,
        )
        assert text == "Hel"


def test_a_callback_that_stops_at_a_word(fake_backend: Path, fake_model: FakeModel) -> None:
    model = GPT4All(fake_model("one", " two", " stop", " never"))
    seen = []

    def stop_on_token(token_id: int, token_string: str) -> bool:
        seen.append(token_string)
        return "stop" not in token_string

    assert model.generate("count", max_tokens=100, callback=stop_on_token) == "one two stop"
    assert seen == ["one", " two", " stop"]
    model.close()


def test_a_callback_that_only_prints(
    fake_backend: Path, fake_model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """It returns ``None``, which went on by mistake or stopped at once, depending on who called it."""
    model = GPT4All(fake_model("one", " two", END))
    model.generate("count", callback=lambda token_id, response: print(response, end="|"))
    assert capsys.readouterr().out == "one| two||"
    model.close()


def test_the_history_written_into_a_log(fake_backend: Path, fake_model: FakeModel) -> None:
    model = GPT4All(fake_model("one", END, TURN, "two", END))
    with model.chat_session("You are a bot.", TEMPLATE):
        model.generate(prompt="first", temp=0)
        model.generate(prompt="second", temp=0)
        log = [f"{message['role']}: {message['content']}" for message in model.current_chat_session or []]
    assert log == ["system: You are a bot.", "user: first", "assistant: one", "user: second", "assistant: two"]
    assert model.current_chat_session is None
    model.close()


def test_a_prompt_that_the_program_builds_by_itself(models: Path) -> None:
    with GPT4All("test.gguf", model_path=models) as model:
        prompt = gpt4all.gpt4all.DEFAULT_PROMPT_TEMPLATE.format("Why?")
        assert prompt == "### Human:\nWhy?\n\n### Assistant:\n"
        assert model.generate(prompt, max_tokens=0) == ""
        assert model._current_prompt_template == "{0}"


# A chat plugin: looks models up, keeps one loaded, replays stored conversations


class Plugin:
    """What a command-line tool's plugin does with the package."""

    directory: Path

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._model: GPT4All | None = None

    def installed(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("*.gguf"))

    def model(self, name: str) -> GPT4All:
        if self._model is None:
            config = GPT4All.retrieve_model(name, model_path=str(self.directory), allow_download=False)
            self._model = GPT4All(config["filename"], model_path=self.directory, allow_download=False)
        return self._model

    def execute(self, name: str, prompt: str, history: list[tuple[str, str]], system: str | None) -> Iterator[str]:
        model = self.model(name)
        with model.chat_session(system_prompt=system, prompt_template=TEMPLATE):
            session = [{"role": "system", "content": system or ""}]
            for asked, answered in history:
                session += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            model.current_chat_session = session
            yield from model.generate(prompt, max_tokens=200, streaming=True)


def test_a_plugin(models: Path) -> None:
    plugin = Plugin(models)
    assert plugin.installed() == ["test.gguf"]
    text = "".join(plugin.execute("test.gguf", "and now?", [("hi", "hello")], "Be kind."))
    assert text == "Be kind.<u>hi</u>hello\n\n<u>and now?</u>"
    again = "".join(plugin.execute("test.gguf", "fresh", [], None))
    assert again == "<u>fresh</u>"
    plugin.model("test.gguf").close()


# LangChain's wrapper: every option by name, a stream of callbacks, stops of its own


class Wrapper:
    """What a framework's ``LLM`` class does with the package."""

    def __init__(self, model: str, **options: Any) -> None:
        path, _, name = model.rpartition("/")
        self.options = options
        self.client = GPT4All(
            model_name=name,
            model_path=path or None,
            model_type=options.pop("backend", None),
            allow_download=options.pop("allow_download", False),
            device=options.pop("device", "cpu"),
        )
        if "n_threads" in options:
            self.client.model.set_thread_count(options.pop("n_threads"))
        self.backend = self.client.model.backend

    def call(self, prompt: str, stop: list[str] | None = None, on_token: Any = None) -> str:
        text = ""
        for token in self.client.generate(prompt, streaming=True, **self.options):
            if on_token is not None:
                on_token(token)
            text += token
        for word in stop or []:
            text = text.split(word)[0]
        return text


def test_a_wrapper(models: Path) -> None:
    llm = Wrapper(
        str(models / "test.gguf"), backend="llama", n_threads=3, max_tokens=200, temp=0.7, top_p=0.1, n_batch=8
    )
    assert (llm.backend, llm.client.model.thread_count()) == ("cpu", 3)
    tokens: list[str] = []
    assert llm.call("Tell me.\nNow", stop=["\nNow"], on_token=tokens.append) == "Tell me."
    assert "".join(tokens) == "Tell me.\nNow"
    assert Path(llm.client.model.model_path) == models / "test.gguf"
    assert llm.client.model.count_prompt_tokens("abc") == 4
    llm.client.close()


def test_a_wrapper_with_callbacks_bound_by_partial(fake_backend: Path, fake_model: FakeModel) -> None:
    model = GPT4All(fake_model("a", "b", "c", END))

    def handler(sink: list[str], token_id: int, token: str) -> bool:
        sink.append(token)
        return True

    sink: list[str] = []
    assert model.generate("x", callback=partial(handler, sink)) == "abc"
    assert "".join(sink) == "abc"
    model.close()


# Subclasses


def test_a_subclass_that_finds_its_models_elsewhere(models: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    class Elsewhere(GPT4All):
        @classmethod
        def retrieve_model(  # type: ignore[override]
            cls, model_name: str, model_path: Any = None, allow_download: bool = True, verbose: bool = False
        ) -> dict[str, Any]:
            asked.append((model_name, model_path, allow_download, verbose))
            return {"path": str(models / "test.gguf"), "filename": "test.gguf", "promptTemplate": "<{0}>", "own": 1}

    with Elsewhere("some-name", model_path="/nowhere", allow_download=False) as model:
        assert asked == [("some-name", "/nowhere", False, False)]
        assert model.config["own"] == 1
        with model.chat_session():
            assert model.generate("hi") == "<hi>"


def test_a_subclass_that_formats_its_prompts(models: Path) -> None:
    calls: list[tuple[list[dict[str, str]], str, str]] = []

    class Formatting(GPT4All):
        def _format_chat_prompt_template(
            self, messages: list[dict[str, str]], default_prompt_header: str = "", default_prompt_footer: str = ""
        ) -> str:
            calls.append((messages, default_prompt_header, default_prompt_footer))
            return default_prompt_header + "".join(f"[{message['content']}]" for message in messages)

    model = Formatting("test.gguf", model_path=models)
    with model.chat_session("Sys.", TEMPLATE):
        with pytest.warns(DeprecationWarning, match="_format_chat_prompt_template"):
            first = model.generate("one")
        with pytest.warns(DeprecationWarning, match="_format_chat_prompt_template"):
            second = model.generate("two")
    assert calls == [([{"role": "user", "content": "one"}], "Sys.", ""), ([{"role": "user", "content": "two"}], "", "")]
    assert "[one]" in first
    assert second.endswith("[two]")
    model.close()


def test_a_subclass_that_calls_the_formatter_it_replaces(models: Path) -> None:
    class Shouting(GPT4All):
        def _format_chat_prompt_template(
            self, messages: list[dict[str, str]], default_prompt_header: str = "", default_prompt_footer: str = ""
        ) -> str:
            return super()._format_chat_prompt_template(messages, default_prompt_header, default_prompt_footer).upper()

    model = Shouting("test.gguf", model_path=models)
    with model.chat_session("sys", TEMPLATE), pytest.warns(DeprecationWarning, match="deprecated"):
        assert "<U>HI</U>" in model.generate("hi")
    model.close()


def test_what_the_formatter_does_by_itself(models: Path) -> None:
    """As that of 2.8.2: only an answer is followed by a line end, and messages of the system are left out."""
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    with GPT4All("test.gguf", model_path=models) as model:
        assert model._format_chat_prompt_template(messages) == "userassistant\nuser"
        with model.chat_session("", "<{0}>"):
            assert model._format_chat_prompt_template(messages, "H", "F") == "H\n\n<user>assistant\n<user>\n\nF"


# Positions and names


def test_the_positions_of_arguments() -> None:
    def positional(function: Any) -> list[str]:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [name for name, one in inspect.signature(function).parameters.items() if one.kind in kinds]

    assert positional(GPT4All.__init__) == ["self", "model_name"]
    assert positional(GPT4All.retrieve_model) == ["model_name", "model_path", "allow_download", "verbose"]
    assert positional(GPT4All.download_model) == [
        "model_filename",
        "model_path",
        "verbose",
        "url",
        "expected_size",
        "expected_md5",
    ]
    assert positional(GPT4All.generate) == ["self", "prompt"]
    assert positional(GPT4All.chat_session) == ["self", "system_prompt", "prompt_template"]
    assert positional(GPT4All._format_chat_prompt_template) == [
        "self",
        "messages",
        "default_prompt_header",
        "default_prompt_footer",
    ]


def test_names_of_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    module = gpt4all.gpt4all
    assert isinstance(module.DEFAULT_MODEL_DIRECTORY, Path)
    assert module.append_extension_if_missing("a") == "a.gguf"
    assert module.append_extension_if_missing("a.bin") == "a.bin"
    assert module.empty_response_callback(1, "x") is True
    # What annotations of programs name.
    assert module.MessageType == dict[str, str]
    assert vars(module)["ConfigType"] == dict[str, Any]
    monkeypatch.setattr(module, "DEFAULT_MODEL_DIRECTORY", models, raising=False)
    with GPT4All("test.gguf", allow_download=False) as model:
        assert model.config["path"] == str(models / "test.gguf")


def test_text_for_allow_download(models: Path) -> None:
    with pytest.warns(DeprecationWarning, match="allow_download"):
        model = GPT4All("test.gguf", model_path=models, allow_download="False")  # type: ignore[arg-type]
    model.close()


# Failures that programs catch


def test_except_clauses_of_old_programs(models: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        GPT4All("absent.gguf", model_path=models, allow_download=False)
    with pytest.raises(FileNotFoundError):
        GPT4All("test.gguf", model_path=tmp_path / "no-such-directory")
    (models / "broken.gguf").write_bytes(b"<html>")
    with pytest.raises((RuntimeError, ValueError)):
        GPT4All("broken.gguf", model_path=models)
    model = GPT4All("test.gguf", model_path=models)
    with pytest.raises(ValueError, match="template"), model.chat_session("", "%1"):
        pass
    model.close()
    with GPT4All("test.gguf", model_path=models, n_ctx=32) as model, pytest.raises(ValueError, match="32"):
        model.generate("word " * 50)


def test_no_warning_for_a_program_that_does_nothing_old(models: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with GPT4All("test.gguf", model_path=models) as model, model.chat_session("", TEMPLATE):
            model.generate("hi")
