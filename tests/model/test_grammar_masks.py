"""The tokens that a grammar allows, all at once against one by one, over the vocabularies of real models."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt4all import GPT4All
from gpt4all.grammars.json_schema import schema_grammar
from tests.support.fake.backend import build_grammar_masks

pytestmark = pytest.mark.model

SCHEMAS: dict[str, Any] = {
    "anything": True,
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "born": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "greenish"]}, "maxItems": 3},
            "scores": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
            "code": {"type": "string", "pattern": "^[A-Z]{2,4}(-[a-z0-9]+)*$"},
        },
    },
}
GRAMMARS = {
    "any text": "root ::= .*",
    "no text at all": 'root ::= ""',
    "lines": 'root ::= ("- " [^\\n]{1,40} "\\n")+',
    "words": 'root ::= word (" " word)* "."\nword ::= [A-Za-z] [a-z]*',
    "beyond ASCII": "root ::= [а-яё]{2,9} [\\u4e00-\\u9fff、。]+ [^\\x00-\\u2fff]?",
    "overlapping readings": "root ::= ([a-z ] | [a-m ] | [d-z] [^a])+ [.]",
    "ends that match": 'root ::= [a-z] root [0-9]+ | "(" root ")" | "(" root? "]"? | ""',
    "tokens by name": 'root ::= (!<[300]> "," | <[301]> [a-z]{0,12} | <[0]>)+',
} | {name: schema_grammar(schema) for name, schema in SCHEMAS.items()}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_grammar_masks(tmp_path_factory.mktemp("masks") / "grammar_masks")


@pytest.fixture(scope="module")
def vocabulary(model_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``vocabulary(model)``: a file of the texts of all of a model's tokens."""
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            written[name] = tmp_path_factory.mktemp("vocabulary") / name
            with GPT4All(model_file(name), n_ctx=64, n_threads=1) as model:
                texts = [model._loaded._native.detokenize([token]) for token in range(model._loaded.info.n_vocab)]
            written[name].write_bytes(b"".join(struct.pack("=I", len(text)) + text for text in texts))
        return written[name]

    return write


#: More than any token takes.
ALL_AT_ONCE = 10**9
#: Those of which a token takes more than one piece of work.
MANY_STEPS = {"overlapping readings", "ends that match", *SCHEMAS}


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize(
    ("model", "steps", "work"),
    [("tiny-llama-bytes", 200, ALL_AT_ONCE), ("tiny-llama-bytes", 40, 1), ("smollm2", 25, 300), ("gemma3", 6, 10_000)],
)
def test_all_tokens_at_once(
    program: Path, vocabulary: Callable[[str], Path], tmp_path: Path, model: str, steps: int, work: int, name: str
) -> None:
    grammar = tmp_path / "grammar"
    grammar.write_text(GRAMMARS[name], encoding="utf-8")
    command = [program, vocabulary(model), grammar, "1", str(steps), "7", str(work)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert (done.stderr, done.returncode) == ("", 0)
    pauses = re.match(rf"{steps} masks of \d+ tokens, .*, (\d+) pauses", done.stdout)
    assert pauses
    if work == ALL_AT_ONCE or (work == 1 and name in MANY_STEPS):
        assert (int(pauses[1]) > 0) == (work == 1)
    print(done.stdout)
