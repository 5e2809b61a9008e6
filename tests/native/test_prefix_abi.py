"""What ``gpt4all_generate`` keeps of earlier calls.

In the real library that is each kind of memory, in the fake the one context.
"""

from __future__ import annotations

import pytest

from gpt4all._native import abi
from tests.native.conftest import ENGINES
from tests.support.abi.client import N_CTX, Model, Subject

#: Tokens that are worth keeping, but not a checkpoint, which would take room of its own.
SHORT = 18

with_an_engine = pytest.mark.parametrize("subject", ENGINES, indirect=True)


def test_prefix_is_reused(model: Model, prompt: list[int]) -> None:
    traits = model.info().traits
    # An encoder reads the whole prompt; a recurrent state only goes on from where it is.
    remembers, goes_back = not traits & abi.TRAIT_ENCODER, not traits & (abi.TRAIT_ENCODER | abi.TRAIT_RECURRENT)
    first = model.generate(prompt, max_tokens=10)
    assert first.result.cached_tokens == 0
    # The last prompt token is computed again, for its logits.
    again = model.generate(prompt, max_tokens=10)
    assert again.result.cached_tokens == (len(prompt) - 1 if goes_back else 0)
    assert model.generate(prompt, max_tokens=10, reuse_prefix=0).result.cached_tokens == 0
    # The last token of an answer has been sampled and not computed.
    longer = [*prompt, *first.tokens, *prompt]
    assert model.generate(longer, max_tokens=1).result.cached_tokens == (len(prompt) + 9 if remembers else 0)
    other = [*prompt[:2], *first.tokens]
    assert model.generate(other, max_tokens=1).result.cached_tokens == (2 if goes_back else 0)


@with_an_engine
@pytest.mark.parametrize(("keep", "budget", "back"), [(1, 1 << 26, True), (0, 1 << 26, False), (1, 0, False)])
def test_displaced_context_comes_back(subject: Subject, keep: int, budget: int, back: bool) -> None:
    with subject.library.load(subject.model, n_ctx=N_CTX, prefix_cache_bytes=budget) as model:
        first = (model.tokenize("Once upon a time there was") * 3)[:30]
        other = [first[0], *model.tokenize("xyz0123456789", 0)]
        alone = model.generate(first, max_tokens=5, keep_context=keep)
        shared = next(n for n, (a, b) in enumerate(zip(first, other, strict=False)) if a != b)
        assert shared < 5
        traits = model.info().traits
        if traits & (abi.TRAIT_ENCODER | abi.TRAIT_RECURRENT):
            shared = 0
        assert model.generate(other, max_tokens=5).result.cached_tokens == shared
        longer = [*first, *alone.tokens]
        again = model.generate(longer, max_tokens=5, keep_context=keep)
        comes_back = back and not traits & abi.TRAIT_ENCODER
        # The last token of an answer has been sampled and not computed.
        assert again.result.cached_tokens == (len(longer) - 1 if comes_back else shared)
        assert again.calls == model.generate(longer, max_tokens=5, reuse_prefix=0).calls


@with_an_engine
def test_borrowing_a_beginning_takes_it_from_nobody(subject: Subject) -> None:
    with subject.library.load(subject.model, n_ctx=256, prefix_cache_bytes=1 << 26) as model:
        traits = model.info().traits
        goes_back = not traits & (abi.TRAIT_ENCODER | abi.TRAIT_RECURRENT)
        letters = model.tokenize("abcdefghijklmnopqrstuvwxyz", 0)
        system = (model.tokenize("Once upon a time there was") * 9)[:50]
        owner, borrower, other = [*system, *(letters * 4)[:60]], [*system, *letters[::-1][:20]], letters * 2
        for tokens in (owner, other, borrower):
            run = model.generate(tokens, max_tokens=1, keep_context=1)
        assert run.result.cached_tokens == (len(system) if goes_back else 0)
        again = model.generate([*owner, letters[0]], max_tokens=1, keep_context=1)
        assert again.result.cached_tokens == (0 if traits & abi.TRAIT_ENCODER else len(owner))
        assert again.calls == model.generate([*owner, letters[0]], max_tokens=1, reuse_prefix=0).calls


# A sliding window's layers keep all positions of the smaller context, and a part of the larger one's.
@with_an_engine
@pytest.mark.parametrize("n_ctx", [256, 9000])
def test_a_displaced_context_can_be_taken_back(subject: Subject, n_ctx: int) -> None:
    with subject.library.load(subject.model, n_ctx=n_ctx, prefix_cache_bytes=1 << 26) as model:
        traits = model.info().traits
        prompt = (model.tokenize("Once upon a time there was") * 9)[:100]
        # A recurrent state goes back to its checkpoint only.
        goes_back_by = len(prompt) if traits & abi.TRAIT_ENCODER else 4 if traits & abi.TRAIT_RECURRENT else 1
        first = model.generate(prompt, max_tokens=30, keep_context=1)
        model.generate(model.tokenize("0123456789"), max_tokens=30)
        again = model.generate(prompt, max_tokens=30)
        assert again.result.cached_tokens == len(prompt) - goes_back_by
        assert again.calls == first.calls


def bytes_kept(subject: Subject, tokens: list[int]) -> int:
    """What a copy of their context takes: the smallest budget with which they come back."""
    too_few, enough = 0, 1 << 24
    while enough - too_few > 1:
        budget = (too_few + enough) // 2
        with subject.library.load(subject.model, n_ctx=128, prefix_cache_bytes=budget) as model:
            model.generate(tokens, max_tokens=0, keep_context=1)
            model.generate(tokens[::-1], max_tokens=0)
            back = model.generate([*tokens, tokens[0]], max_tokens=0).result.cached_tokens == len(tokens)
        too_few, enough = (too_few, budget) if back else (budget, enough)
    return enough


@with_an_engine
def test_rotating_conversations_need_room_for_all_but_one(subject: Subject) -> None:
    """Whoever is continued leaves its place to the one that it displaces."""
    with subject.library.load(subject.model, n_ctx=128) as model:
        if model.info().traits & abi.TRAIT_ENCODER:
            pytest.skip("an encoder reads the whole prompt")
        starts = [model.tokenize(text * 40, 0)[:SHORT] for text in ("abc", "xyz", "123")]
    size = bytes_kept(subject, starts[0])
    with subject.library.load(subject.model, n_ctx=128, prefix_cache_bytes=2 * size + size // 2) as model:
        for tokens in starts:
            model.generate(tokens, max_tokens=0, keep_context=1)
        for place in (0, 1, 0, 2, 1, 0):
            longer = [*starts[place], starts[place][0]]
            assert model.generate(longer, max_tokens=0, keep_context=1).result.cached_tokens == len(starts[place])
            starts[place] = longer


@with_an_engine
def test_the_budget_drops_what_was_stored_longest_ago(subject: Subject) -> None:
    with subject.library.load(subject.model, n_ctx=128) as model:
        if model.info().traits & abi.TRAIT_ENCODER:
            pytest.skip("an encoder reads the whole prompt")
        starts = [model.tokenize(text * 40, 0)[:SHORT] for text in ("abc", "xyz", "123", "KLM")]
    size = bytes_kept(subject, starts[0])
    with subject.library.load(subject.model, n_ctx=128, prefix_cache_bytes=2 * size + size // 2) as model:

        def comes_back(tokens: list[int]) -> bool:
            return int(model.generate([*tokens, tokens[0]], max_tokens=0, keep_context=1).result.cached_tokens) == SHORT

        for tokens in starts:
            model.generate(tokens, max_tokens=0, keep_context=1)
        # The first had to go for the third; who comes back gives its place to the fourth.
        assert [comes_back(starts[place]) for place in (1, 0, 3)] == [True, False, True]


def test_full_context_drops_its_older_half(subject: Subject) -> None:
    with subject.library.load(subject.model, n_ctx=32) as model:
        prompt = (model.tokenize("Once upon a time there was") * 2)[:10]
        run = model.generate(prompt, max_tokens=60, n_keep=5)
        assert (run.status, run.result.finish_reason) == (abi.OK, abi.FINISH_LENGTH)
        assert run.result.completion_tokens == 60
        # 22 tokens fill it (31 after an encoder, which keeps the prompt elsewhere), then each shift makes room for
        # (32 - 5) // 2 of those left to compute.
        assert run.result.context_shifts == 3
        # Shifted tokens are not what a fresh computation would give, so only the kept ones count.
        goes_back = not model.info().traits & (abi.TRAIT_ENCODER | abi.TRAIT_RECURRENT)
        assert model.generate(prompt, max_tokens=1).result.cached_tokens == (5 if goes_back else 0)


@with_an_engine
def test_a_context_that_was_full_is_kept(subject: Subject) -> None:
    with subject.library.load(subject.model, n_ctx=N_CTX, prefix_cache_bytes=1 << 26) as model:
        traits = model.info().traits
        if traits & abi.TRAIT_ENCODER:
            pytest.skip("an encoder reads the whole prompt")
        prompt = (model.tokenize("Once upon a time there was") * 2)[:20]
        run = model.generate(prompt, max_tokens=50, n_keep=5, keep_context=1)
        assert run.result.context_shifts == 1
        # What is held then: the oldest half is gone of what came after the kept ones.
        held = [*prompt, *run.tokens[:-1]]
        held = [*held[:5], *held[5 + (N_CTX - 5) // 2 :]]
        model.generate(model.tokenize("0123456789"), max_tokens=20)
        again = model.generate([*held, run.tokens[-1]], max_tokens=1)
        if traits & abi.TRAIT_CAN_SHIFT:
            # Those that were moved were not computed in their present place.
            assert again.result.cached_tokens <= 5
        else:
            assert again.result.cached_tokens == len(held)
