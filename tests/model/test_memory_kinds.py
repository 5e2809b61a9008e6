"""Attention, sliding window, recurrent, hybrid, encoder-decoder: one behaviour, whatever the model remembers with."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testmodels
from testmodels.greedy import greedy
from testmodels.registry import GREEDY_PROMPTS, Memory

from gpt4all import GPT4All, UnsupportedModelError
from gpt4all._native.backend import CancelFlag, Outcome

pytestmark = pytest.mark.model

GENERATING = [spec.name for spec in testmodels.tiny_models() if spec.generates]
PLAIN = [name for name in GENERATING if testmodels.find(name).memory is not Memory.ENCODER_DECODER]


def run(model: GPT4All, tokens: list[int], max_tokens: int, **options: Any) -> tuple[list[int], Outcome]:
    """Greedy tokens, as a chat computes them: what was computed before is used again."""
    return greedy(model._loaded._native, tokens, max_tokens, **{"reuse": True, "n_keep": 1, **options})


@pytest.mark.parametrize("name", GENERATING)
def test_it_generates_the_same_each_time(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    texts = {model.generate("Hello, world", max_tokens=12, temp=0, stop=[]) for _ in range(3)}
    assert len(texts) == 1
    assert model.last_generation is not None
    assert model.last_generation.completion_tokens == 12
    assert model.last_generation.finish_reason == "length"


@pytest.mark.parametrize("name", GENERATING)
def test_a_reused_prefix_gives_the_same_tokens(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    for prompt in GREEDY_PROMPTS:
        tokens = model._loaded.prompt_tokens(prompt)
        fresh, _ = run(model, tokens, 16, reuse=False)
        run(model, [*tokens[: len(tokens) // 2], *tokens], 4)
        reused, _ = run(model, tokens, 16)
        assert reused == fresh


@pytest.mark.parametrize("name", PLAIN)
def test_continuing_computes_only_new_tokens(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    tokens = model._loaded.prompt_tokens(GREEDY_PROMPTS[0])
    ids, _ = run(model, tokens, 10, reuse=False)
    longer = [*tokens, *ids, *tokens[1:]]
    fresh, _ = run(model, longer, 8, reuse=False)
    run(model, tokens, 10, reuse=False)
    again, outcome = run(model, longer, 8)
    # The last sampled token was never computed.
    assert outcome.cached_tokens == len(tokens) + len(ids) - 1
    assert again == fresh


@pytest.mark.parametrize("name", PLAIN)
def test_conversations_that_alternate_keep_their_contexts(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    first = model._loaded.prompt_tokens(GREEDY_PROMPTS[0] * 6)
    second = model._loaded.prompt_tokens(GREEDY_PROMPTS[1] * 6)
    expected = {}
    for tokens in (first, second):
        ids, _ = run(model, tokens, 6, reuse=False)
        longer = [*tokens, *ids, *tokens[1:5]]
        expected[tuple(tokens)] = longer, run(model, longer, 6, reuse=False)[0]
    for tokens in (first, second):
        run(model, tokens, 6, keep=True)
    for tokens in (first, second):
        longer, answer = expected[tuple(tokens)]
        ids, outcome = run(model, longer, 6, keep=True)
        assert ids == answer
        assert outcome.cached_tokens == len(tokens) + 5


@pytest.mark.parametrize("name", PLAIN)
def test_a_full_context_slides(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name, n_ctx=64)
    tokens = model._loaded.prompt_tokens(GREEDY_PROMPTS[0])[:20]
    ids, outcome = run(model, tokens, 300, n_keep=4)
    assert len(ids) == 300
    assert outcome.context_shifts >= 3
    assert outcome.finish_reason == "length"
    # What was moved is not taken for what a fresh computation would give.
    fresh, _ = run(model, tokens, 12, reuse=False)
    run(model, tokens, 200, n_keep=4)
    again, outcome = run(model, tokens, 12)
    assert again == fresh


@pytest.mark.parametrize("kv_type", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gemma3", "tiny-jamba"])
def test_a_full_context_slides_in_every_type(model_file: Callable[[str], Path], name: str, kv_type: str) -> None:
    # ggml cannot shift bf16; it ended the process when another thread than the first tried to.
    with GPT4All(model_file(name), n_ctx=32, n_threads=2, kv_type=kv_type) as model:
        ids, outcome = run(model, model._loaded.prompt_tokens("Hello"), 60)
    assert len(ids) == 60
    assert outcome.context_shifts >= 2


def test_a_full_context_slides_where_every_layer_has_a_window(
    model_file: Callable[[str], Path], tmp_path: Path
) -> None:
    # One half of the cache has no layers then.
    content = model_file("tiny-gemma3").read_bytes()
    place = content.index(b".sliding_window_pattern") + len(b".sliding_window_pattern") + struct.calcsize("<IIQ")
    assert content[place : place + 3] == bytes([True, True, False])
    path = tmp_path / "windowed.gguf"
    path.write_bytes(content[:place] + bytes([True] * 3) + content[place + 3 :])
    with GPT4All(path, n_ctx=64, n_threads=1) as model:
        assert model._loaded.info.can_shift
        ids, outcome = run(model, model._loaded.prompt_tokens("Hello"), 150)
    assert len(ids) == 150
    assert outcome.context_shifts >= 3


@pytest.mark.parametrize("name", PLAIN)
def test_a_cancelled_prompt_leaves_the_memory_in_order(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    tokens = (model._loaded.prompt_tokens(GREEDY_PROMPTS[0]) * 8)[:200]
    fresh, _ = run(model, tokens, 8, reuse=False)
    cancel = CancelFlag()
    cancel.set()
    _, outcome = run(model, tokens[:100], 5, n_batch=8, cancel=cancel)
    assert outcome.finish_reason == "cancelled"
    assert outcome.completion_tokens == 0
    assert run(model, tokens, 8)[0] == fresh


def test_both_parts_of_a_split_are_one_model(tiny: Callable[..., GPT4All]) -> None:
    whole, split = tiny("tiny-llama"), tiny("tiny-llama-split")
    for prompt in GREEDY_PROMPTS:
        assert split.generate(prompt, max_tokens=16, temp=0) == whole.generate(prompt, max_tokens=16, temp=0)


def test_invalid_utf8_survives_streaming(tiny: Callable[..., GPT4All]) -> None:
    model = tiny("tiny-llama-bytes")
    whole = model.generate("Hello", max_tokens=64, temp=0, stop=[])
    pieces = list(model.generate("Hello", max_tokens=64, temp=0, stop=[], streaming=True))
    assert "".join(pieces) == whole
    assert "\ufffd" in whole
    whole.encode()


@pytest.mark.parametrize("prompt", ["🦙🔥 emoji", "你好，世界", "naïve café", "a\x00b", "\n\n", " "])
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-llama-bpe"])
def test_any_text_goes_through(tiny: Callable[..., GPT4All], name: str, prompt: str) -> None:
    model = tiny(name)
    assert model.generate(prompt, max_tokens=4, temp=0, stop=[]) == "".join(
        model.generate(prompt, max_tokens=4, temp=0, stop=[], streaming=True)
    )
    assert model.detokenize(model.tokenize(prompt)).lstrip(" ") == prompt.lstrip(" ")


@pytest.mark.parametrize("n_ctx", [8, 9, 16])
def test_the_smallest_contexts(tiny: Callable[..., GPT4All], n_ctx: int) -> None:
    model = tiny("tiny-llama", n_ctx=n_ctx)
    assert model._loaded.info.n_ctx == n_ctx
    text = model.generate("a", max_tokens=40, temp=0, stop=[])
    assert model.last_generation is not None
    assert model.last_generation.completion_tokens == 40
    assert model.last_generation.context_shifts > 0
    assert text


@pytest.mark.parametrize("n_ctx", [0, None])
def test_zero_is_the_trained_length(tiny: Callable[..., GPT4All], n_ctx: int | None) -> None:
    info = tiny("tiny-llama", n_ctx=n_ctx)._loaded.info
    assert info.n_ctx == info.n_ctx_train == testmodels.find("tiny-llama").n_ctx_train


def test_more_than_trained_warns(model_file: Callable[[str], Path]) -> None:
    with pytest.warns(UserWarning, match="n_ctx=4096"):
        GPT4All(model_file("tiny-llama"), n_ctx=4096).close()


@pytest.mark.parametrize("kv_type", ["f32", "q8_0", "q4_0"])
def test_types_of_the_kv_cache(model_file: Callable[[str], Path], kv_type: str) -> None:
    with GPT4All(model_file("smollm2"), n_ctx=256, kv_type=kv_type) as model:
        assert "Paris" in model.generate("The capital of France is", max_tokens=8, temp=0)


def test_model_facts(tiny: Callable[..., GPT4All]) -> None:
    info = tiny("tiny-llama")._loaded.info
    spec = testmodels.find("tiny-llama")
    assert info.architecture == spec.architecture
    assert info.n_ctx_train == spec.n_ctx_train
    assert info.chat_template
    assert info.n_params > 0
    assert info.quantization
    assert info.can_shift
    assert not tiny("tiny-mamba")._loaded.info.can_shift


def test_generate_on_an_encoder_raises(tiny: Callable[..., GPT4All]) -> None:
    with pytest.raises(UnsupportedModelError, match="embedding"):
        tiny("tiny-bert").generate("Hello")


@pytest.mark.parametrize("name", GENERATING)
def test_threads_can_be_changed_between_calls(tiny: Callable[..., GPT4All], name: str) -> None:
    model = tiny(name)
    before = model.model.thread_count()
    expected = model.generate("Hello", max_tokens=6, temp=0, stop=[])
    try:
        # The engine still knew the freed threads of the call before, and now and then died of it.
        for n_threads in (1, 3, 2, 4, 1, 2):
            model.model.set_thread_count(n_threads + 1)
            model.model.set_thread_count(n_threads)
            assert model.generate("Hello", max_tokens=6, temp=0, stop=[]) == expected
    finally:
        model.model.set_thread_count(before)
