"""What models of known families write, and what it says: whole, and cut at every byte.

The texts follow those that llama.cpp's own tests record for the templates in its source tree; what they say is a fact
about each family. Reasoning and content are compared without the space around them, which formats treat differently.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt4all._native.backend import NativeModel
from gpt4all._native.chat import PreparedChat
from gpt4all.tools.toolbox import read_tools
from tests.support.chat.reference import template_directory

pytestmark = pytest.mark.model

DATA = json.loads((Path(__file__).parents[1] / "data" / "recorded_answers.json").read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DATA["tools"]
ANSWERS: dict[str, list[dict[str, Any]]] = DATA["answers"]
#: Where calls are asked for in the generic form, so that what the family itself writes is text.
GENERIC = {
    # Their templates write calls, but show the model no tools.
    *("deepseek-ai-DeepSeek-V3.1", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "fireworks-ai-llama-3-firefunction-v2"),
    # Their form has no place for the grammars of arguments.
    *("google-gemma-4-31B-it", "LFM2-8B-A1B", "LFM2.5-Instruct", "LFM2.5-8B-A1B", "MiniMax-M3", "Kimi-K3"),
    # Nothing tells where a call begins.
    *("meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct", "meta-llama-Llama-3.3-70B-Instruct"),
}
#: Those that wrap all text in marks, so that text without them is not in the form.
WRAPS_TEXT = {
    *("CohereForAI-c4ai-command-r-plus-tool_use", "CohereForAI-c4ai-command-r7b-12-2024-tool_use"),
    *("meetkai-functionary-medium-v3.2", "muse-glimmer", "openai-gpt-oss-120b"),
}
ASKED = [{"role": "user", "content": "Hey"}]


def prepare(model: NativeModel, name: str, tools: list[str], args: dict[str, Any]) -> tuple[str, PreparedChat]:
    template = (template_directory() / f"{name}.jinja").read_text(encoding="utf-8")
    offered = read_tools([{"function": {"name": tool, "parameters": SCHEMAS[tool]}} for tool in tools])
    choice = {"tools": [tool.definition() for tool in offered], "choice": "auto" if tools else "none", "parallel": True}
    parts, chat = model.prepare_chat(ASKED, choice, template, args)
    return "".join(text for text, _ in parts), chat


def said(read: dict[str, Any]) -> tuple[str, str, list[tuple[str, Any, str]]]:
    calls = [(call["name"], json.loads(call["arguments"]), call["id"]) for call in read["tool_calls"]]
    return read["content"].strip(), read["reasoning_content"].strip(), calls


def certain(text: str) -> str:
    """Without the sign for a character that is cut."""
    return text.rstrip("\ufffd")


def check_cuts(chat: PreparedChat, text: str, whole: dict[str, Any]) -> None:
    data = text.encode()
    before: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": []}
    for end in range(len(data) + 1):
        read = chat.parse(data[:end], partial=True)
        for key in ("content", "reasoning_content"):
            assert certain(read[key]).startswith(certain(before[key])), (end, key)
            assert whole[key].startswith(certain(read[key])), (end, key)
        assert len(before["tool_calls"]) <= len(read["tool_calls"]) <= len(whole["tool_calls"]), end
        for call, last in zip(read["tool_calls"], whole["tool_calls"], strict=False):
            assert call["name"] in ("", last["name"]), end
            assert last["arguments"].startswith(certain(call["arguments"])), end
            assert not call["complete"] or json.loads(call["arguments"]) == json.loads(last["arguments"]), end
        for call, earlier in zip(read["tool_calls"], before["tool_calls"], strict=False):
            assert certain(call["arguments"]).startswith(certain(earlier["arguments"])), end
            assert call["complete"] >= earlier["complete"], end
        before = read
    # All that was told piece by piece is all that is told at the end.
    assert {**before, "complete": whole["complete"]} == whole


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_recorded_answers(model: NativeModel, name: str) -> None:
    for answer in ANSWERS[name]:
        args = {"enable_thinking": answer["thinking"]} if "thinking" in answer else {}
        _, chat = prepare(model, name, answer.get("tools", []), args)
        whole = chat.parse(answer["text"], partial=False)
        generic = chat.describe()["format"] == "generic"
        assert generic == (name in GENERIC and "tools" in answer)
        if generic and "calls" in answer:
            assert whole["tool_calls"] == [], answer["text"]
        else:
            calls = [(call[0], call[1], call[2] if len(call) > 2 else "") for call in answer.get("calls", [])]
            assert said(whole) == (answer.get("content", ""), answer.get("reasoning", ""), calls), answer["text"]
            assert all(call["complete"] for call in whole["tool_calls"])
        check_cuts(chat, answer["text"], whole)


def test_every_template_with_recorded_answers_is_there() -> None:
    assert set(ANSWERS) <= {path.stem for path in template_directory().glob("*.jinja")}
    assert len(ANSWERS) > 55


@pytest.mark.parametrize("thinking", [None, False, True])
def test_plain_text_beside_tools_is_content(model: NativeModel, thinking: bool | None) -> None:
    """Whether or not the prompt has begun the model's thinking, and however it ended that."""
    read_as_content = 0
    for path in sorted(template_directory().glob("*.jinja")):
        args = {} if thinking is None else {"enable_thinking": thinking}
        prompt, chat = prepare(model, path.stem, ["count", "get_time"], args)
        read = chat.parse("Good day.", partial=False)
        thinks = prompt.rstrip().endswith(("<|START_THINKING|>", "<think>", "think<|sep|>", "reasoning steps:"))
        wanted = ("", "Good day.") if thinks else ("Good day.", "")
        assert (read["content"], read["reasoning_content"].strip()) == wanted, path.stem
        assert read["complete"] == (path.stem not in WRAPS_TEXT), path.stem
        read_as_content += not thinks
    assert read_as_content > 40
