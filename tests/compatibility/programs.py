"""Published programs that were written for gpt4all 2.8, unchanged; run by the Python that has them.

``python -I programs.py NAME ROOT``, where ROOT is the clone whose gpt4all they are to use. Their models lie in the home
directory, under the names that they ask for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

CHAT = "Llama-3.2-1B-Instruct-Q4_0.gguf"
EMBED = "all-MiniLM-L6-v2.gguf2.f16.gguf"
FOLDER = Path.home() / ".cache" / "gpt4all"
QUESTION = "What is the capital of France?"

PROGRAMS: dict[str, Callable[[], None]] = {}


def program(function: Callable[[], None]) -> Callable[[], None]:
    """Has a name on the command line."""
    PROGRAMS[function.__name__] = function
    return function


@program
def langchain_generates() -> None:
    """As in its docstring, and as part of a chain."""
    from langchain_community.llms import GPT4All
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.prompts import PromptTemplate

    class Heard(BaseCallbackHandler):  # type: ignore[misc]  # its package is not here
        def __init__(self) -> None:
            self.pieces: list[str] = []

        def on_llm_new_token(self, token: str, **_: object) -> None:
            self.pieces.append(token)

    heard = Heard()
    llm = GPT4All(model=str(FOLDER / CHAT), n_threads=2, n_predict=24, streaming=True, callbacks=[heard])
    answer = llm.invoke("Once upon a time, ")
    assert answer.strip()
    assert "".join(heard.pieces) == answer
    chain = PromptTemplate.from_template("The capital of {country} is") | llm.bind(temp=0, n_predict=4)
    assert chain.invoke({"country": "France"}).startswith(" Paris")
    assert "." not in llm.invoke("One. Two. Three.", stop=["."], n_predict=12)
    assert llm.client.model.thread_count() == 2


@program
def langchain_embeds() -> None:
    """As in its docstring, which passes a flag as a text."""
    from langchain_community.embeddings import GPT4AllEmbeddings

    embeddings = GPT4AllEmbeddings(model_name=EMBED, gpt4all_kwargs={"allow_download": "True"})
    cat, shares = embeddings.embed_documents(["The cat has had young.", "Shares fell on Monday."])
    question = embeddings.embed_query("Who looks after the kittens?")
    assert len(question) == 384
    near, far = (sum(a * b for a, b in zip(question, vector, strict=True)) for vector in (cat, shares))
    assert near > far


@program
def llm_gpt4all() -> None:
    """The plugin of the command line llm: a list of models, an answer, and another in the same conversation."""
    import llm
    from click.testing import CliRunner
    from llm.cli import cli

    details = {
        "filename": CHAT,
        "name": "Llama",
        "filesize": "1000",
        "ramrequired": "1",
        "promptTemplate": "<|im_start|>user\n%1<|im_end|>\n<|im_start|>assistant\n",
    }
    llm.user_dir().mkdir(parents=True, exist_ok=True)
    # What the plugin would fetch, and keeps for an hour.
    (llm.user_dir() / "gpt4all_models3.json").write_text(json.dumps([details]))
    name = CHAT.partition(".")[0]

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert f"gpt4all: {name}" in run("models")
    assert "(installed)" in run("models")
    model = llm.get_model(name)
    conversation = model.conversation()
    answers = [conversation.prompt(text, max_tokens=12, temp=0, top_k=1).text() for text in (QUESTION, "And of Italy?")]
    assert "Paris" in answers[0]
    assert answers[1].strip()
    assert len(list(model.prompt(QUESTION, max_tokens=12))) > 2


@program
def gpt4all_tone() -> None:
    from gpt4all_tone import ToneAnalyzer

    score = ToneAnalyzer(CHAT, "What a lovely day! Everybody laughed.").run()
    # A small model may say anything, but the program has to cope.
    assert score.startswith("Error: No scores") or 0 <= float(score) <= 1


@program
def gpt4all_code_review() -> None:
    code = Path("hello.py")
    code.write_text("print('hello')\n")
    sys.argv = ["gpt4all_code_review", "--model", CHAT, "--file", str(code)]
    entry = next(script for script in metadata.entry_points(group="console_scripts") if script.name == sys.argv[0])
    entry.load()()


@program
def llmshell() -> None:
    from gpt_shell.llm_client import GPT4AllClient

    client = GPT4AllClient(CHAT, str(FOLDER))
    assert client.is_available(), client.error
    assert isinstance(client.generate_command("list all files"), str)


@program
def own_tests() -> None:
    """2.8's own, but for one that downloads and one that asks what a small model does not know."""
    import pytest

    [file] = [file for file in metadata.files("gpt4all") or () if file.name == "test_gpt4all.py"]
    tests = Path("test_gpt4all.py")
    tests.write_text(Path(str(file.locate())).read_text(encoding="utf-8"))
    chosen = "not (test_download_model or test_inference_hparams)"
    assert pytest.main(["-q", "-p", "no:cacheprovider", "-k", chosen, str(tests)]) == 0


def main() -> None:
    _, name, root = sys.argv
    sys.path.insert(0, root)
    import gpt4all

    assert Path(gpt4all.__file__).is_relative_to(root), gpt4all.__file__
    PROGRAMS[name]()


if __name__ == "__main__":
    main()
