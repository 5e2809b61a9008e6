"""Memories that cannot be taken back: a copy made near a prompt's end takes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from testmodels import ModelError, ensure

from gpt4all._native import abi
from tests.support.abi.client import Library, Model, Request, Run

#: Tokens of a prompt after its checkpoint: templates change the last ones of a turn.
AFTER = 4


@pytest.fixture(params=[1, 3], ids=["alone", "of three"])
def n_sequences(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=["tiny-mamba", "tiny-jamba"])
def model(request: pytest.FixtureRequest, real_library: Library, n_sequences: int) -> Iterator[Model]:
    try:
        path = ensure(request.param)
    except ModelError as error:
        pytest.skip(f"no tiny model: {error}")
    with real_library.load(path, n_ctx=256, n_sequences=n_sequences) as loaded:
        yield loaded


def prompt_of(model: Model, text: str = "Once upon a time there was", n: int = 60) -> list[int]:
    return (model.tokenize(text) * 9)[:n]


def as_fresh(model: Model, tokens: list[int], run: Run) -> bool:
    """Whether a run says what it does where nothing is known of the prompt; spoils what was held of it."""
    fresh = model.generate(tokens, max_tokens=len(run.tokens), reuse_prefix=0)
    assert fresh.result.cached_tokens == 0
    return bool(run.tokens) and run.calls == fresh.calls


def test_an_edited_answer(model: Model) -> None:
    prompt = prompt_of(model)
    first = model.generate(prompt, max_tokens=30, keep_context=1)
    edited = [*prompt, *first.tokens[:5], *reversed(prompt[:20])]
    run = model.generate(edited, max_tokens=20, keep_context=1)
    assert run.result.cached_tokens == len(prompt) - AFTER
    assert as_fresh(model, edited, run)


def test_an_answer_anew(model: Model) -> None:
    prompt = prompt_of(model)
    first = model.generate(prompt, max_tokens=30, keep_context=1)
    for _ in range(3):
        run = model.generate(prompt, max_tokens=30, keep_context=1)
        assert run.result.cached_tokens == len(prompt) - AFTER
        assert run.calls == first.calls
    assert as_fresh(model, prompt, run)


def test_a_template_that_changes_the_last_tokens_of_a_turn(model: Model) -> None:
    prompt = prompt_of(model)
    model.generate(prompt, max_tokens=30, keep_context=1)
    second = [*prompt[:-AFTER], *prompt[:30]]
    run = model.generate(second, max_tokens=20, keep_context=1)
    assert run.result.cached_tokens == len(prompt) - AFTER
    assert as_fresh(model, second, run)


def test_going_on_needs_no_checkpoint_and_makes_the_next(model: Model) -> None:
    prompt = prompt_of(model)
    first = model.generate(prompt, max_tokens=10, keep_context=1)
    second = [*prompt, *first.tokens, *prompt[:30]]
    assert model.generate(second, max_tokens=10, keep_context=1).result.cached_tokens == len(prompt) + 9
    again = model.generate(second, max_tokens=10, keep_context=1)
    assert again.result.cached_tokens == len(second) - AFTER
    # There is one, of the last prompt.
    assert model.generate(prompt, max_tokens=1).result.cached_tokens == 0
    assert as_fresh(model, second, again)


def test_a_change_before_the_checkpoint_computes_it_all(model: Model) -> None:
    prompt = prompt_of(model)
    model.generate(prompt, max_tokens=10, keep_context=1)
    other = [*prompt[: -AFTER - 1], *prompt[:30]]
    run = model.generate(other, max_tokens=10)
    assert run.result.cached_tokens == 0
    assert as_fresh(model, other, run)


def test_a_displaced_context_brings_its_checkpoint(model: Model, n_sequences: int) -> None:
    prompt = prompt_of(model)
    first = model.generate(prompt, max_tokens=30, keep_context=1)
    for number in range(n_sequences):
        model.generate(prompt_of(model, f"{number} 9876543210"), max_tokens=5)
    edited = [*prompt, *first.tokens[:5], *reversed(prompt[:20])]
    run = model.generate(edited, max_tokens=20)
    assert run.result.cached_tokens == len(prompt) - AFTER
    assert as_fresh(model, edited, run)


def test_a_short_prompt_is_not_worth_one(model: Model) -> None:
    prompt = prompt_of(model, n=16 + AFTER - 1)
    for cached in (0, 0):
        assert model.generate(prompt, max_tokens=5).result.cached_tokens == cached
    prompt = prompt_of(model, n=16 + AFTER)
    for cached in (0, 16):
        assert model.generate(prompt, max_tokens=5).result.cached_tokens == cached


@pytest.mark.parametrize("name", ["tiny-mamba", "tiny-jamba"])
def test_no_room_for_one(real_library: Library, name: str) -> None:
    with real_library.load(ensure(name), n_ctx=256, prefix_cache_bytes=100) as model:
        prompt = prompt_of(model)
        for _ in range(2):
            assert model.generate(prompt, max_tokens=5, keep_context=1).result.cached_tokens == 0


def test_a_passing_prompt_displaces_no_kept_context(real_library: Library) -> None:
    """Its checkpoint has the room that is left, and no other."""
    with real_library.load(ensure("tiny-mamba"), n_ctx=256) as model:
        kept, passing = prompt_of(model), prompt_of(model, "9876543210")

    def outcome(budget: int) -> tuple[bool, bool]:
        with real_library.load(ensure("tiny-mamba"), n_ctx=256, prefix_cache_bytes=budget) as model:
            model.generate(kept, max_tokens=5, keep_context=1)
            model.generate(passing, max_tokens=5)
            again = model.generate(passing, max_tokens=5).result.cached_tokens == len(passing) - AFTER
            back = model.generate(kept, max_tokens=5).result.cached_tokens == len(kept) - AFTER
            return again, back

    seen = [outcome(int(2 ** (quarters / 4))) for quarters in range(32, 96)]
    # None, then room for the context that is to be kept, then for both.
    assert list(dict.fromkeys(seen)) == [(False, False), (False, True), (True, True)]


def cancel_after(requests: Sequence[Request], looks: int) -> bool:
    """Cancels them together a little later; whether they were at work."""
    for _ in range(looks):
        requests[0].read(timeout_us=0)
    for request in requests:
        request.cancel()
    results = [request.finish().result for request in requests]
    for request in requests:
        request.free()
    return all(result.finish_reason == abi.FINISH_CANCELLED and result.prompt_us > 0 for result in results)


@pytest.mark.parametrize("name", ["tiny-mamba", "tiny-jamba"])
def test_a_stopped_computation(real_library: Library, name: str) -> None:
    """It goes on from the checkpoint, not from the middle of a batch."""
    with real_library.load(ensure(name), n_ctx=256) as model:
        prompt = prompt_of(model)
        longer = [*prompt, *prompt, *prompt]
        expected = model.generate(longer, max_tokens=10, reuse_prefix=0).calls
        stopped, cached = 0, set()
        for looks in range(1000):
            model.generate(prompt, max_tokens=1)
            stopped += cancel_after([model.start(longer, n_batch=4)], looks % 40)
            run = model.generate(longer, max_tokens=10)
            assert run.calls == expected
            cached.add(run.result.cached_tokens)
            if stopped >= 20 and len(prompt) - AFTER in cached:
                break
        assert len(prompt) - AFTER in cached


@pytest.mark.parametrize("name", ["tiny-mamba", "tiny-jamba"])
def test_those_beside_a_stopped_computation(real_library: Library, name: str) -> None:
    """States that are computed together come to lie side by side; what lay between them moves, or half of it."""
    with real_library.load(ensure(name), n_ctx=1024, n_sequences=3) as model:
        starts = [prompt_of(model, text, 40) for text in ("Once upon", "9876543210", "abc def")]
        longer = [[*start, *reversed(start)] for start in starts]
        expected = [model.generate(tokens, max_tokens=5, reuse_prefix=0).calls for tokens in longer]
        stopped = 0
        for looks in range(1000):
            for start in starts:
                model.generate(start, max_tokens=1)
            # Another one lies between the two each time.
            other, idle = (1, 2) if looks % 2 else (2, 1)
            pair = [model.start(starts[place] * 20, max_tokens=1, n_batch=4) for place in (0, other)]
            stopped += cancel_after(pair, looks % 97)
            assert model.generate(longer[idle], max_tokens=5).calls == expected[idle]
            if stopped >= 60:
                break
        assert stopped >= 60


def test_a_window_that_moved_on(real_library: Library) -> None:
    # Beyond 8,192 tokens, layers with a window keep no more than that and a batch.
    with real_library.load(ensure("tiny-gemma3"), n_ctx=8200, n_batch=32) as model:
        prompt = prompt_of(model, n=100)
        first = model.generate(prompt, max_tokens=1000, keep_context=1)
        edited = [*prompt, *first.tokens[:20], *reversed(prompt)]
        run = model.generate(edited, max_tokens=20, keep_context=1)
        assert run.result.cached_tokens == len(prompt) - AFTER
        assert as_fresh(model, edited, run)
