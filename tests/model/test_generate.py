"""``generate`` on a real model: what comes back, what is reported, and how it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from gpt4all import GPT4All
from gpt4all.options import LEGACY_STOPS

pytestmark = pytest.mark.model

QUESTION = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def test_the_capital_of_france(smollm2: GPT4All) -> None:
    assert smollm2.generate("The capital of France is", max_tokens=4, temp=0).startswith(" Paris.")


def test_an_answer_ends_by_itself(smollm2: GPT4All) -> None:
    text = smollm2.generate(QUESTION.format("What is the capital of France?"), max_tokens=200, temp=0)
    assert "Paris" in text
    assert "<|im_end|>" not in text
    last = smollm2.last_generation
    assert last is not None
    assert last.finish_reason == "stop"
    assert 0 < last.completion_tokens < 200


def test_control_tokens_are_text_when_asked(smollm2: GPT4All) -> None:
    parsed = smollm2._loaded.prompt_tokens(QUESTION.format("Hi"))
    plain = smollm2._loaded.prompt_tokens(QUESTION.format("Hi"), parse_special=False)
    assert len(plain) > len(parsed)
    assert smollm2.generate(QUESTION.format("Hi"), max_tokens=2, temp=0, parse_special=False)
    assert smollm2.last_generation is not None
    assert smollm2.last_generation.prompt_tokens == len(plain)


@pytest.mark.parametrize(
    "options", [{"temp": 0.0}, {"temp": 0.9, "seed": 7}, {"temp": 1.5, "seed": 1, "top_k": 0, "top_p": 1.0}]
)
def test_streamed_pieces_are_the_text(smollm2: GPT4All, options: dict[str, float]) -> None:
    whole = smollm2.generate("Once upon a time", max_tokens=40, stop=[], **options)  # type: ignore[call-overload]
    pieces = list(
        smollm2.generate("Once upon a time", max_tokens=40, stop=[], streaming=True, **options)  # type: ignore[call-overload]
    )
    assert "".join(pieces) == whole
    assert len(pieces) > 10


def test_a_seed_repeats_and_another_does_not(smollm2: GPT4All) -> None:
    texts = [smollm2.generate("Once upon a time", max_tokens=30, temp=1.2, top_p=1.0, seed=seed) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("options", [{"temp": 0}, {"top_k": 1}, {"top_p": 0.0}, {"top_p": -1.0}])
def test_ways_to_be_greedy(smollm2: GPT4All, options: dict[str, float]) -> None:
    greedy = smollm2.generate("The sun is", max_tokens=12, temp=0)
    assert smollm2.generate("The sun is", max_tokens=12, **options) == greedy  # type: ignore[call-overload]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_max_tokens_is_exact(smollm2: GPT4All, n: int) -> None:
    text = smollm2.generate("Once upon a time", max_tokens=n, temp=0)
    last = smollm2.last_generation
    assert last is not None
    assert (last.completion_tokens, last.finish_reason) == (n, "length")
    assert bool(text) == bool(n)
    assert smollm2.generate("Once upon a time", n_predict=n, temp=0) == text


def test_a_repeated_prompt_is_cached(smollm2: GPT4All) -> None:
    prompt = "One two three four five six seven eight nine ten eleven twelve"
    smollm2.generate(prompt, max_tokens=1)
    smollm2.generate(prompt, max_tokens=1)
    last = smollm2.last_generation
    assert last is not None
    assert last.cached_tokens == last.prompt_tokens - 1


@pytest.mark.parametrize("stop", ["miles", " miles away", "9", "es a", " "])
def test_a_stop_text_over_token_borders_is_never_seen(smollm2: GPT4All, stop: str) -> None:
    prompt = "The distance from the Earth to the Moon is about"
    whole = smollm2.generate(prompt, max_tokens=60, temp=0, repeat_penalty=1.0, stop=[])
    for streaming in (False, True):
        text = "".join(
            smollm2.generate(prompt, max_tokens=60, temp=0, repeat_penalty=1.0, stop=[stop], streaming=streaming)
        )
        assert stop not in text
        assert text == whole.partition(stop)[0]
        assert smollm2.last_generation is not None
        if stop in whole:
            assert smollm2.last_generation.finish_reason == "stop"


@pytest.mark.parametrize("stop", LEGACY_STOPS)
def test_the_stop_texts_of_2_8(smollm2: GPT4All, stop: str) -> None:
    prompt = f"one {stop}: two\n\n" * 8 + "one"
    free = smollm2.generate(prompt, max_tokens=12, temp=0, repeat_penalty=1.0, stop=[])
    assert stop in free
    assert smollm2.generate(prompt, max_tokens=12, temp=0, repeat_penalty=1.0) == free.partition(stop)[0]


def test_the_window_of_the_penalty_counts_the_prompt(smollm2: GPT4All) -> None:
    prompt = "red red red red red red red"
    free = smollm2.generate(prompt, max_tokens=4, temp=0, repeat_penalty=1.0)
    assert free.strip().startswith("red")
    assert not smollm2.generate(prompt, max_tokens=4, temp=0, repeat_penalty=3.0).strip().startswith("red")


@pytest.mark.parametrize("penalties", [(1.5, 0.0), (0.0, 0.5), (1.0, -0.75)])
def test_penalties_of_the_answer_count_its_tokens_only(smollm2: GPT4All, penalties: tuple[float, float]) -> None:
    presence, frequency = penalties
    prompt, counts, text = "red red red red red red red", Counter[int](), ""
    for _ in range(4):
        # One token at a time, with what the penalties come to as biases.
        biases = {token: -presence - frequency * count for token, count in counts.items()}
        text += smollm2.generate(
            prompt + text,
            max_tokens=1,
            temp=0,
            repeat_penalty=1.0,
            logit_bias=biases,
            callback=lambda token, _: counts.update([token]),
        )
    whole = smollm2.generate(
        prompt, max_tokens=4, temp=0, repeat_penalty=1.0, presence_penalty=presence, frequency_penalty=frequency
    )
    assert whole == text


def test_a_callback_sees_every_token(smollm2: GPT4All) -> None:
    seen: list[tuple[int, str]] = []

    def collect(token: int, piece: str) -> None:
        seen.append((token, piece))

    text = smollm2.generate("Once upon a time", max_tokens=20, temp=0, callback=collect)
    assert "".join(piece for _, piece in seen) == text
    assert smollm2.detokenize([token for token, _ in seen]) == text
    assert len(seen) == 20


def test_emoji_and_chinese_survive(smollm2: GPT4All) -> None:
    prompt = "🦙 你好 🦙 你好 🦙 你好 🦙 你好 🦙 你好 🦙 你好 🦙"
    pieces = list(smollm2.generate(prompt, max_tokens=30, temp=0, repeat_penalty=1.0, streaming=True))
    assert "你好" in "".join(pieces)
    # Only the end of the text may cut a character.
    assert not any("\ufffd" in piece for piece in pieces[:-1])


def test_tokens_there_and_back(smollm2: GPT4All) -> None:
    text = "Grüße, 世界! 🦙\n\ttabs and  spaces"
    assert smollm2.detokenize(smollm2.tokenize(text)) == text
    assert smollm2.model.count_prompt_tokens(text) == len(smollm2.tokenize(text))


def test_facts(smollm2: GPT4All) -> None:
    assert smollm2.backend == "cpu"
    assert smollm2.device is None
    assert set(smollm2.config) == {"path", "filename"}
    assert smollm2._loaded.info.architecture == "llama"
    assert smollm2._loaded.info.quantization == "Q4_1"
    assert smollm2._loaded.info.n_ctx_train == 8192
    assert smollm2.model.thread_count() >= 1


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_change_nothing_but_speed(smollm2: GPT4All, n_threads: int) -> None:
    before = smollm2.model.thread_count()
    expected = smollm2.generate("The capital of France is", max_tokens=8, temp=0)
    smollm2.model.set_thread_count(n_threads)
    try:
        assert smollm2.model.thread_count() == n_threads
        assert smollm2.generate("The capital of France is", max_tokens=8, temp=0) == expected
    finally:
        smollm2.model.set_thread_count(before)


def test_closing_during_a_long_prompt_stops_it(tiny: Callable[..., GPT4All]) -> None:
    model = tiny("tiny-llama", n_ctx=2048)
    stream = model.generate("word " * 350, max_tokens=10_000, temp=0, stop=[], streaming=True)
    next(iter(stream))
    stream.close()
    assert model.last_generation is not None
    assert model.last_generation.finish_reason == "cancelled"
    assert model.generate("Hello", max_tokens=3, temp=0)
