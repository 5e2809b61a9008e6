"""Programs for gpt4all 2.8 on a real model; more of them, on the fake, are in ``tests/native``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt4all import GPT4All

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def directory(model_file: Callable[[str], Path]) -> Path:
    return model_file("smollm2").parent


NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_notebook(directory: Path) -> None:
    model = GPT4All(NAME, model_path=str(directory), allow_download=False, n_threads=2)
    assert "Paris" in model.generate("The capital of France is", max_tokens=8, temp=0)
    with model.chat_session():
        first = model.generate(prompt="Hello, my name is Ada.", top_k=1, max_tokens=20)
        second = model.generate(prompt="What is my name?", top_k=1, max_tokens=20)
        session = model.current_chat_session
    assert [message["content"] for message in session or []][1:] == [
        "Hello, my name is Ada.",
        first,
        "What is my name?",
        second,
    ]
    model.close()


def test_an_old_template_with_a_system_prompt(directory: Path) -> None:
    model = GPT4All("SmolLM2-135M-Instruct.Q4_1", model_path=directory, allow_download=False)
    system = "<|im_start|>system\nYou are a helpful bot.<|im_end|>\n"
    template = "<|im_start|>user\n{0}<|im_end|>\n<|im_start|>assistant\n{1}<|im_end|>\n"
    with model.chat_session(system, template):
        text = "".join(model.generate("Say hello.", max_tokens=20, temp=0, streaming=True))
    assert text
    assert "<|im_" not in text
    model.close()


def test_a_wrapper_that_counts_and_stops(directory: Path) -> None:
    model = GPT4All(NAME, model_path=directory, model_type="llama", device="cpu", allow_download=False)
    model.model.set_thread_count(2)
    assert model.model.thread_count() == 2
    seen: list[str] = []

    def on_token(token_id: int, token: str) -> Any:
        seen.append(token)
        if len(seen) == 5:
            return False
        return None

    text = model.generate("Once upon a time", max_tokens=50, temp=0.7, top_p=0.4, n_batch=8, callback=on_token)
    assert text == "".join(seen)
    assert len(seen) == 5
    assert model.model.count_prompt_tokens("Once upon a time") == 4
    model.close()
