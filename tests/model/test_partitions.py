"""The same prompt computed in different pieces: logits agree, and texts part only where two candidates nearly tie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from testmodels import greedy
from testmodels.greedy import distance

from gpt4all import GPT4All

pytestmark = pytest.mark.model

#: Largest difference of two logits of the same position, computed in different
#: partitions. Matrix and attention kernels add up in another order, and partly
#: in half precision, for another batch size. Logits of these models have a
#: standard deviation of 3 to 5, and the largest differences seen were half of these.
TOLERANCE = {"smollm2": 1.2, "gemma3": 2.2, "tiny": 5e-2}

LONG = (
    "The quick brown fox jumps over the lazy dog. It was a bright cold day in April, and the clocks were striking. "
    * 24
)


def logits_after(model: GPT4All, tokens: Sequence[int], n_batch: int, *, reuse: bool = False) -> list[float]:
    return greedy.logits_after(model._loaded._native, tokens, n_batch, reuse=reuse)


def prompt_of(model: GPT4All, length: int) -> list[int]:
    tokens = model._loaded.prompt_tokens(LONG)
    assert len(tokens) >= length
    return tokens[:length]


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 31, 33, 120])
@pytest.mark.parametrize("n_batch", [1, 8, 512])
def test_batch_sizes_agree_smollm2(smollm2: GPT4All, length: int, n_batch: int) -> None:
    tokens = prompt_of(smollm2, length)
    whole = logits_after(smollm2, tokens, 512)
    assert distance(whole, logits_after(smollm2, tokens, n_batch)) < TOLERANCE["smollm2"]


@pytest.mark.parametrize("length", [2, 9, 120])
@pytest.mark.parametrize("n_batch", [1, 8])
def test_batch_sizes_agree_gemma3(gemma3: GPT4All, length: int, n_batch: int) -> None:
    tokens = prompt_of(gemma3, length)
    whole = logits_after(gemma3, tokens, 512)
    assert distance(whole, logits_after(gemma3, tokens, n_batch)) < TOLERANCE["gemma3"]


@pytest.mark.parametrize("shared", [1, 8, 63, 64, 65, 99])
def test_a_reused_prefix_changes_nothing(smollm2: GPT4All, shared: int) -> None:
    tokens = prompt_of(smollm2, 100)
    other = [*tokens[:shared], *reversed(tokens[shared:])]
    fresh = logits_after(smollm2, tokens, 512)
    logits_after(smollm2, other, 512)
    assert distance(fresh, logits_after(smollm2, tokens, 512, reuse=True)) < TOLERANCE["smollm2"]


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_the_same_partition_is_exactly_the_same(name: str, request: pytest.FixtureRequest) -> None:
    model: GPT4All = request.getfixturevalue(name)
    tokens = prompt_of(model, 50)
    assert logits_after(model, tokens, 16) == logits_after(model, tokens, 16)


@pytest.mark.parametrize("length", [507, 508, 511, 512, 513, 516, 1019, 1020])
def test_lengths_around_batch_and_context_borders(tiny: Callable[..., GPT4All], length: int) -> None:
    model = tiny("tiny-llama", n_ctx=1024)
    tokens = [5 + (i * 7) % 200 for i in range(length)]
    whole = logits_after(model, tokens, 512)
    assert distance(whole, logits_after(model, tokens, 100)) < TOLERANCE["tiny"]


def test_texts_part_only_at_a_near_tie(smollm2: GPT4All) -> None:
    prompt = LONG[:400]
    texts = {
        n_batch: smollm2.generate(prompt, max_tokens=48, temp=0, repeat_penalty=1.0, n_batch=n_batch, stop=[])
        for n_batch in (1, 8, 512)
    }
    for n_batch in (1, 8):
        ours, theirs = (smollm2.tokenize(texts[n]) for n in (n_batch, 512))
        differing = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
        if differing is None:
            continue
        context = [*smollm2._loaded.prompt_tokens(prompt), *theirs[:differing]]
        best = sorted(logits_after(smollm2, context, 512), reverse=True)
        assert best[0] - best[1] < TOLERANCE["smollm2"]
