"""Thinking and answer told apart, whatever pieces they come in."""

from __future__ import annotations

import pytest

from gpt4all.generation.reasoning import ChannelSplitter, Splitter, TagSplitter, splitter_for

THINK = "{{ '<think>' }}...</think>"
HARMONY = "<|start|>assistant<|channel|>final<|message|>"


def split(splitter: Splitter | None, text: str, size: int) -> tuple[str, str]:
    assert splitter is not None
    thinking = answer = ""
    for start in range(0, len(text), size):
        more_thinking, more_answer = splitter.feed(text[start : start + size])
        thinking += more_thinking
        answer += more_answer
    more_thinking, more_answer = splitter.finish()
    return thinking + more_thinking, answer + more_answer


CASES = [
    ("<think>\nLet me see.\n</think>\n\nParis.", "", ("Let me see.\n", "Paris.")),
    ("Paris.", "", ("", "Paris.")),
    ("  <think>a</think>b", "", ("a", "b")),
    ("\n\nno thinking", "", ("", "\n\nno thinking")),
    ("<thin", "", ("", "<thin")),
    ("<thinking is fun", "", ("", "<thinking is fun")),
    ("<think>never closed </thi", "", ("never closed </thi", "")),
    ("a < b</think> 1 <think> 2", "<think>\n", ("a < b", "1 <think> 2")),
    ("<think></think>x", "<think>\n\n</think>\n\n", ("", "x")),
    ("", "", ("", "")),
]


@pytest.mark.parametrize(("text", "ending", "expected"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_tags(text: str, ending: str, expected: tuple[str, str], size: int) -> None:
    assert split(splitter_for(THINK, ending), text, size) == expected


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<|channel|>analysis<|message|>Hm, 2+2.<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
            ("Hm, 2+2.", "4"),
        ),
        ("<|channel|>final<|message|>4", ("", "4")),
        ("<|channel|>analysis<|message|>cut sho", ("cut sho", "")),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>", ("{}", "")),
        ("<|channel|>final<|message|>a < b and b <| c", ("", "a < b and b <| c")),
        ("no marks at all", ("", "no marks at all")),
        ("<|channel|>ana", ("", "")),
    ],
)
def test_channels(text: str, expected: tuple[str, str], size: int) -> None:
    assert split(splitter_for(HARMONY, "<|start|>assistant"), text, size) == expected


def test_the_template_decides() -> None:
    assert splitter_for("{{ messages }}", "") is None
    assert isinstance(splitter_for(THINK, ""), TagSplitter)
    assert isinstance(splitter_for(HARMONY, ""), ChannelSplitter)
