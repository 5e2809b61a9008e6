"""Grammars, biases and log-probabilities on real weights."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt4all import GenerationError, GPT4All
from gpt4all._native.backend import CancelFlag, Outcome
from gpt4all.options import GenerationOptions

pytestmark = pytest.mark.model

CAPITAL = "The capital of France is"


@pytest.fixture(scope="module")
def smollm2(model_file: Callable[[str], Path]) -> Iterator[GPT4All]:
    """With one thread, for which a busy machine matters less: there are many short answers here."""
    with GPT4All(model_file("smollm2"), n_ctx=1024, n_threads=1) as model:
        yield model


#: A grammar, and a regular expression for the same texts.
EQUAL = {
    "alternatives": ('root ::= " London" | " Rome" | " Paris in spring"', " London| Rome| Paris in spring"),
    "repetitions": ('root ::= ([0-9]{2,3} ", "){3} "end" "!"? "."*', r"([0-9]{2,3}, ){3}end!?\.*"),
    "rules": (
        '# a comment\nroot ::= word (" " word){2} "\\n"\nword ::=\n  [a-z]+ |\n  [A-Z] [^A-Z\\n ]{1,4}\n',
        r"([a-z]+|[A-Z][^A-Z\n ]{1,4})( ([a-z]+|[A-Z][^A-Z\n ]{1,4})){2}\n",
    ),
    "beyond ASCII": ('root ::= "Ünï" [а-яё]{3} [\\U0001F600-\\U0001F64F]{2} "日本"', "Ünï[а-яё]{3}[😀-🙏]{2}日本"),
    "escapes": ('root ::= "\\x41\\u00e9\\"\\\\" [\\]\\-\\\\]{2} [^\\x00-\\uFFFF]', r'Aé"\\[\]\-\\]{2}[^\x00-\uFFFF]'),
    "any character": ('root ::= "<" .{3} ">"', "(?s)<.{3}>"),
    "recursion": ('root ::= "(" root? ")" | "x"', r"\(*x?\)*"),
    "empty repetitions": ('root ::= ("a"? "b"?)* "c"', "[ab]*c"),
    "overlapping readings": ("root ::= ([a-z] | [a-m] | [d-z])+ [.]", r"[a-z]+\."),
    "nothing": ('root ::= ""', ""),
}
SAMPLINGS: list[dict[str, Any]] = [
    {"temp": 0},
    {"temp": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1},
    {"temp": 1.5, "top_k": 3, "min_p": 0.2, "seed": 2},
]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "all tokens", "few tokens"])
@pytest.mark.parametrize("name", EQUAL)
def test_an_answer_keeps_to_the_grammar(smollm2: GPT4All, name: str, sampling: dict[str, Any]) -> None:
    grammar, expression = EQUAL[name]
    text = smollm2.generate(CAPITAL, max_tokens=60, grammar=grammar, **sampling)
    assert smollm2.last_generation is not None
    if smollm2.last_generation.finish_reason == "stop":
        assert re.fullmatch(expression, text), text
    else:
        # Cut off, but nothing that could not still become one.
        assert smollm2.last_generation.completion_tokens == 60
        assert name in ("rules", "recursion", "repetitions", "empty repetitions", "overlapping readings"), text


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-mamba"])
def test_random_weights_keep_to_it_too(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    grammar = 'root ::= "{" [a-z]{1,3} (", " [a-z]{1,3}){0,2} "}"'
    for seed in range(10):
        text = model.generate("x", max_tokens=60, temp=2.0, top_k=0, top_p=1.0, seed=seed, grammar=grammar)
        assert re.fullmatch(r"\{[a-z]{1,3}(, [a-z]{1,3}){0,2}\}", text), text


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-mamba"])
def test_a_grammar_outlives_the_context(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name, n_ctx=64)
    grammar = 'root ::= "{" ([a-z]{20} ", "){8} "}"'
    text = model.generate("x", max_tokens=400, temp=1.0, seed=1, grammar=grammar)
    assert re.fullmatch(r"\{([a-z]{20}, ){8}\}", text), text
    assert model.last_generation is not None
    assert model.last_generation.context_shifts > 0


def test_pieces_are_the_text(smollm2: GPT4All) -> None:
    grammar = 'root ::= " 🦙🦙 é" [0-9]{4}'
    whole = smollm2.generate(CAPITAL, temp=0, grammar=grammar)
    assert "".join(smollm2.generate(CAPITAL, temp=0, grammar=grammar, streaming=True)) == whole
    assert whole.startswith(" 🦙🦙 é")


def test_no_character_begins_with_bytes_that_none_has(smollm2: GPT4All) -> None:
    """0xE0 0x81 begins no character, though the number it stands for so far is one."""
    bytes_of = smollm2._loaded._native.detokenize
    ids = {bytes_of([token]): token for token in range(smollm2._loaded.info.n_vocab)}
    biases = {ids[b"\xe0"]: 100.0, ids[b"\x81"]: 50.0}
    text = smollm2.generate(CAPITAL, temp=0, grammar="root ::= [^A-Z] [^A-Z]", logit_bias=biases)
    assert len(text) == 2
    assert all("\u0800" <= character <= "\u0fff" for character in text), text


def test_it_ends_where_nothing_can_follow(smollm2: GPT4All) -> None:
    """Without an end token, and so also where that is banned."""
    eos = smollm2._loaded.info.token_eos
    assert eos is not None
    assert smollm2.generate(CAPITAL, temp=0, grammar='root ::= " Rome"', logit_bias={eos: -math.inf}) == " Rome"
    assert smollm2.last_generation is not None
    assert smollm2.last_generation.finish_reason == "stop"


def test_it_does_not_end_before_the_grammar_does(smollm2: GPT4All) -> None:
    eos = smollm2._loaded.info.token_eos
    assert eos is not None
    text = smollm2.generate(CAPITAL, temp=0, max_tokens=40, grammar='root ::= [a-z ]{20,25} "."', logit_bias={eos: 100})
    assert re.fullmatch(r"[a-z ]{20,25}\.", text)
    # With both allowed, the model wants to end.
    assert smollm2.generate(CAPITAL, temp=0, grammar="root ::= [a-z ]*", logit_bias={eos: 100}) == ""


def test_what_the_limit_cuts_off_says_so(smollm2: GPT4All) -> None:
    assert re.fullmatch("[a-z]+", smollm2.generate(CAPITAL, temp=0, max_tokens=3, grammar="root ::= [a-z]{99}"))
    assert smollm2.last_generation is not None
    assert smollm2.last_generation.finish_reason == "length"
    smollm2.generate(CAPITAL, temp=0, max_tokens=1, grammar='root ::= " Paris"')
    assert smollm2.last_generation.finish_reason == "stop"


def keeping(ids: list[int]) -> Callable[[int, str], bool]:
    def callback(token: int, text: str) -> bool:
        ids.append(token)
        return True

    return callback


def test_tokens_by_their_names(smollm2: GPT4All) -> None:
    (rome,) = smollm2.tokenize(" Rome")
    assert smollm2.generate(CAPITAL, temp=0, grammar=f'root ::= <[{rome}]> "!"') == " Rome!"
    # A control token is no text, and no text is a control token.
    ids: list[int] = []
    smollm2.generate(
        CAPITAL,
        temp=0,
        grammar='root ::= <|im_start|> "a"',
        callback=keeping(ids),
    )
    assert ids == [*smollm2._loaded.tokenize("<|im_start|>", parse_special=True), *smollm2.tokenize("a")]
    text = smollm2.generate(CAPITAL, temp=0, grammar=f"root ::= !<[{rome}]> !<[{rome}]>")
    assert text == " Paris."
    smollm2.generate(CAPITAL, temp=0, grammar='root ::= "<|im_start|>"', callback=keeping(ids))
    assert ids.count(ids[0]) == 1


def test_a_grammar_that_the_vocabulary_cannot_follow(smollm2: GPT4All) -> None:
    biases = dict.fromkeys(range(smollm2._loaded.info.n_vocab), -math.inf)
    with pytest.raises(GenerationError, match="logit_bias leaves no token"):
        smollm2.generate(CAPITAL, logit_bias=biases)
    del biases[smollm2.tokenize("x")[0]]
    with pytest.raises(GenerationError, match="no token of the model goes on as the grammar wants"):
        smollm2.generate(CAPITAL, logit_bias=biases, grammar='root ::= "y"')
    # The failure left the computed logits without the biases.
    assert all(map(math.isfinite, smollm2._loaded.last_logits()))
    assert smollm2.generate(CAPITAL, max_tokens=4, temp=0).startswith(" Paris")


BAD = {
    "root ::= x": "line 1, column 10: rule 'x' is not defined",
    'a ::= "b"': "no rule 'root'",
    'root ::= "a': "ends inside a literal",
    'root ::= "a"\n\n  "b"': "line 3, column 3: a rule's name is expected",
    'root ::= "a"\nroot ::= "b"': "line 2, column 1: rule 'root' is defined a second time",
    'root ::= root "a" | "b"': "rule 'root' is left-recursive",
    'root ::= a "x"\na ::= b | "y"\nb ::= e a "z"\ne ::= f\nf ::= ""': "is left-recursive",
    'root ::= "a" root': "rule 'root' never ends",
    "root ::= root": "never ends",
    'root ::= "a"{1000000000}': "this number is larger than",
    'root ::= "a"{3,2}': "at most is less than at least",
    "root ::= *": "nothing to repeat",
    'root ::= ("a"': ") is expected",
    'root ::= "a")': "no part of a rule",
    "root ::= [z-a]": "the wrong way round",
    "root ::= []": "is empty",
    "root ::= [\\uD800]": "is empty",
    'root ::= "\\uDC00"': "a surrogate is no character",
    'root ::= "\\q"': "this escape is unknown",
    'root ::= "\\x4"': "2 hexadecimal digits",
    'root ::= "\\UFFFFFFFF"': "no such character",
    "root ::= <[99999999]>": "larger than",
    "root ::= <[400000]>": "no such token",
    "root ::= <two words>": "is not one token",
    "root ::= <": "no end",
    "root = 3": "::= is expected",
    "": "no rule 'root'",
    'root ::= "a"\0': "no part of a rule",
    "root ::= " + "(" * 100_000: "nested more than 200 deep",
    "root ::= " + '"' + "a" * 2_000_000 + '"': "longer than",
}


@pytest.mark.parametrize("grammar", BAD, ids=[repr(grammar[:40]) for grammar in BAD])
def test_a_bad_grammar_is_an_error_that_says_where(smollm2: GPT4All, grammar: str) -> None:
    with pytest.raises(ValueError, match="grammar") as caught:
        smollm2.generate(CAPITAL, grammar=grammar)
    assert BAD[grammar] in str(caught.value)


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

EXPENSIVE = {
    "many repetitions": ("root ::= " + '"a"{0,9999} ' * 1000, "too large"),
    # Every beginning has its own end, of which a vocabulary has a hundred thousand.
    "palindromes": (
        "root ::= " + " | ".join(f'"{c}" root "{c}"' for c in LETTERS) + ' | "."',
        "let fewer things match",
    ),
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_what_would_take_all_memory_is_refused(smollm2: GPT4All, name: str) -> None:
    grammar, message = EXPENSIVE[name]
    with pytest.raises(ValueError, match=message):
        smollm2.generate(CAPITAL, grammar=grammar)


def test_a_stopped_call_does_not_expand_to_the_end(smollm2: GPT4All) -> None:
    cancel = CancelFlag()
    cancel.set()
    text, outcome = constrained(smollm2, CAPITAL, EXPENSIVE["palindromes"][0], None, cancel=cancel)
    assert (text, outcome.finish_reason) == ("", "cancelled")


#: The ways to read a beginning double with every level or character.
MULTIPLYING = {
    "levels": "root ::= r0\n" + "".join(f'r{i} ::= r{i + 1} "a" | r{i + 1} "b"\n' for i in range(40)) + 'r40 ::= "x"',
    "ends": 'root ::= "x" root "a" | "x" root "b" | "."',
    "optional ends": 'root ::= "x" root? "a"? | "x" root? "b"? root?',
}


@pytest.mark.parametrize("name", MULTIPLYING)
def test_ambiguity_does_not_multiply(smollm2: GPT4All, name: str) -> None:
    (x,) = smollm2.tokenize("x")
    text = smollm2.generate(CAPITAL, max_tokens=50, temp=0, grammar=MULTIPLYING[name], logit_bias={x: 50.0})
    assert text == "x" * 50 if name != "levels" else re.fullmatch("x[ab]{40}", text)


def test_many_alternatives_are_no_ambiguity(smollm2: GPT4All) -> None:
    names = [f"{n:05}" for n in range(50_000)]
    grammar = "root ::= " + " | ".join(f'"{name}"' for name in names)
    assert smollm2.generate("0123", temp=0, grammar=grammar) in names


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= "a" root "b" | "a" root "c" | "."',
        'root ::= ("a" | "a" "a" | "a" "a" "a")+ "."',
        "root ::= ([a-z ] | [a-m ] | [d-z ])+ [.]",
        "root ::= " + "[a-z ]? " * 500 + '"."',
        "root ::= " + '("a"? "b"?)? ' * 300 + '"."',
        'root ::= "x"{0,10000} "."',
        # What is repeated is shared, so these are small.
        'root ::= (("a"{3000}){3000}){3000}',
        'root ::= "' + "a" * 1000 + '"{1000}',
        # Every token is asked about each of them.
        "root ::= " + " | ".join(f'<[{n}]> "{n}"' for n in range(40_000)),
    ],
)
def test_an_ambiguous_grammar_works_or_is_refused(smollm2: GPT4All, grammar: str) -> None:
    """And in no case takes exponential time: the suite would not end."""
    with contextlib.suppress(ValueError):
        assert smollm2.generate("aaaa", max_tokens=12, temp=1.0, seed=3, grammar=grammar)
    assert smollm2.generate(CAPITAL, max_tokens=4, temp=0).startswith(" Paris")


# Thinking, for which the grammar waits


def constrained(
    model: GPT4All,
    prompt: str,
    grammar: str,
    thinking: tuple[str, str] | None,
    *,
    cancel: CancelFlag | None = None,
    **options: Any,
) -> tuple[str, Outcome]:
    pieces: list[bytes] = []

    def on_token(token: int, data: bytes) -> bool:
        pieces.append(data)
        return True

    arguments: dict[str, Any] = {"max_tokens": 60, "temp": 0, "repeat_penalty": 1.0, "seed": 0, **options}
    outcome = model._loaded._native.generate(
        model._loaded.prompt_tokens(prompt),
        GenerationOptions.create(grammar=grammar, **arguments),
        on_token,
        cancel or CancelFlag(),
        thinking=thinking,
    )
    return b"".join(pieces).decode(), outcome


def test_a_grammar_waits_for_the_end_of_thinking(smollm2: GPT4All) -> None:
    text, outcome = constrained(smollm2, CAPITAL, 'root ::= "<" [0-9]{3} ">"', ("", "."))
    assert re.fullmatch(r" Paris\.\s*<[0-9]{3}>", text), text
    assert outcome.finish_reason == "stop"


def test_the_model_decides_whether_to_think(smollm2: GPT4All) -> None:
    grammar = 'root ::= "<" [0-9]{3} ">"'
    text, _ = constrained(smollm2, CAPITAL, grammar, ("Paris", "."))
    assert re.fullmatch(r" Paris\.\s*<[0-9]{3}>", text), text
    text, _ = constrained(smollm2, CAPITAL, "root ::= [ a-z]{3}", ("<think>", "</think>"))
    assert re.fullmatch(r"[ a-z]{3}", text), text


def test_a_mark_may_be_several_tokens_and_end_within_one(smollm2: GPT4All) -> None:
    letters = "a, b, c, d, e, f, g, h. a, b, c, d, e, f, g, h. a, b, c,"
    text, _ = constrained(smollm2, letters, "root ::= [0-9]{3}", ("d, e", ", g"))
    assert re.fullmatch(r" d, e, f, g\s*[0-9]{3}", text), text
    text, _ = constrained(smollm2, CAPITAL, 'root ::= "is" [a-z]{3}', ("", " Par"))
    assert re.fullmatch(r" Paris[a-z]{3}", text), text


def test_thinking_does_not_end_the_turn(smollm2: GPT4All) -> None:
    eos = smollm2._loaded.info.token_eos
    assert eos is not None
    text, _ = constrained(smollm2, CAPITAL, 'root ::= "x"', ("", "."), logit_bias={eos: 50.0})
    assert text.strip().endswith("x")


def test_the_answer_after_thinking_may_be_empty(smollm2: GPT4All) -> None:
    text, outcome = constrained(smollm2, CAPITAL, 'root ::= ""', ("", "."))
    assert (text, outcome.finish_reason) == (" Paris.", "stop")
    eos = smollm2._loaded.info.token_eos
    assert eos is not None
    text, outcome = constrained(smollm2, CAPITAL, "root ::= [a-z]*", ("", "."), logit_bias={eos: 50.0})
    assert (text, outcome.finish_reason) == (" Paris.", "stop")


# Biases and log-probabilities


def test_a_bias_bans_or_forces_a_token(smollm2: GPT4All) -> None:
    (paris,) = smollm2.tokenize(" Paris")
    (rome,) = smollm2.tokenize(" Rome")
    assert "Paris" not in smollm2.generate(CAPITAL, max_tokens=10, temp=0, logit_bias={paris: -math.inf})
    assert smollm2.generate(CAPITAL, max_tokens=1, temp=0, logit_bias={rome: 50}) == " Rome"
    assert smollm2.generate(CAPITAL, max_tokens=1, temp=1.0, seed=1, logit_bias={rome: 50}) == " Rome"
    # It was for those calls only, and left the computed logits as they were.
    assert smollm2.generate(CAPITAL, max_tokens=1, temp=0) == " Paris"


def test_logprobs_are_the_models_own(smollm2: GPT4All) -> None:
    smollm2.generate(CAPITAL, max_tokens=0)
    logits = list(smollm2._loaded.last_logits())
    highest = max(logits)
    log_sum = highest + math.log(math.fsum(math.exp(logit - highest) for logit in logits))
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:5]
    (rome,) = smollm2.tokenize(" Rome")
    smollm2.generate(CAPITAL, max_tokens=2, temp=1.5, seed=1, logit_bias={rome: 100}, logprobs=5)
    assert smollm2.last_generation is not None
    assert smollm2.last_generation.logprobs is not None
    first, second = smollm2.last_generation.logprobs["content"]
    assert first["token"] == second["token"] == " Rome"
    assert first["logprob"] == pytest.approx(logits[rome] - log_sum, abs=1e-4)
    top = first["top_logprobs"]
    assert [entry["logprob"] for entry in top] == pytest.approx([logits[i] - log_sum for i in order], abs=1e-4)
    assert [entry["token"] for entry in top] == [smollm2.detokenize([token]) for token in order]
    assert first["bytes"] == list(b" Rome")


def test_probabilities_sum_to_one_at_most(smollm2: GPT4All) -> None:
    smollm2.generate(CAPITAL, max_tokens=8, temp=0, logprobs=20)
    assert smollm2.last_generation is not None
    assert smollm2.last_generation.logprobs is not None
    for entry in smollm2.last_generation.logprobs["content"]:
        top = entry["top_logprobs"]
        assert len(top) == 20
        assert 0 < math.fsum(math.exp(other["logprob"]) for other in top) <= 1.00001
        assert [other["logprob"] for other in top] == sorted((other["logprob"] for other in top), reverse=True)


def test_asking_changes_nothing(smollm2: GPT4All) -> None:
    options: dict[str, Any] = {"max_tokens": 20, "temp": 1.0, "seed": 5}
    assert smollm2.generate(CAPITAL, logprobs=3, **options) == smollm2.generate(CAPITAL, **options)
