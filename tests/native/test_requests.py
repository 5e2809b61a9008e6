"""Requests: generations that a model computes together, each read by itself."""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int32
from typing import Any

import pytest
from testmodels import ModelError, ensure

from gpt4all._native import abi
from tests.native.conftest import REAL_SUBJECTS
from tests.support.abi.client import Library, Model, OnToken, Request, StatusError

N_CTX = 64
N_SEQUENCES = 4


@pytest.fixture(scope="module", params=[*REAL_SUBJECTS, "tiny-gemma3", "tiny-jamba"])
def pair(request: pytest.FixtureRequest, real_library: Library) -> Iterator[tuple[Model, Model]]:
    """A model that computes one generation at a time, and the same that computes several together."""
    try:
        path = ensure(request.param)
    except ModelError as error:
        pytest.skip(f"no tiny model: {error}")
    one = real_library.load(path, n_ctx=N_CTX)
    several = real_library.load(path, n_ctx=N_CTX, n_sequences=N_SEQUENCES)
    with one, several:
        yield one, several


#: One that ends, one that goes on beyond the context, and one that takes several steps for a token.
GRAMMARS = ['root ::= "(" [a-z ]{3,9} ")"', "root ::= ([a-f]+ [0-9 ])+", "root ::= " + "[a-z ]? " * 150 + "[a-z ]{400}"]


def grammar_of(text: str) -> Any:
    return ctypes.pointer(abi.String(text.encode(), len(text)))


def more_options(draw: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if draw.random() < 0.3:
        options |= {"repeat_penalty": 1.3, "repeat_last_n": draw.choice([-1, 8])}
    if draw.random() < 0.3:
        options["grammar"] = grammar_of(draw.choice(GRAMMARS))
    if draw.random() < 0.5:
        options |= {"keep_context": 1, "n_keep": draw.randint(0, 8)}
    if draw.random() < 0.2:
        options["reuse_prefix"] = 0
    return options


def mix(model: Model, seed: int) -> list[tuple[list[int], dict[str, Any]]]:
    """Prompts and options at random, some with a beginning in common, some that fill the context."""
    draw, more = random.Random(seed), random.Random(-1 - seed)
    beginning = "".join(draw.choice("abc def") for _ in range(20))
    jobs = []
    for _ in range(16):
        text = beginning * draw.randint(0, 1) + "".join(draw.choice("abc def") for _ in range(draw.randint(1, 40)))
        options: dict[str, Any] = {"max_tokens": draw.randint(0, 60), "n_batch": draw.choice([1, 7, 512])}
        if draw.random() < 0.3:
            options |= {"temperature": 0.8, "top_p": 1.0, "seed": draw.randint(0, 1000)}
        if draw.random() < 0.3:
            options["stop"] = [draw.choice("etaoin")]
        if "temperature" not in options:
            # Of a hundred texts that are drawn, one parts where batches round differently, so those stay as they are.
            options |= more_options(more)
        jobs.append((model.tokenize(text)[: draw.randint(2, N_CTX - 8)], options))
    return jobs


@pytest.mark.parametrize("seed", range(3))
def test_together_as_one_after_the_other(pair: tuple[Model, Model], seed: int, real_library: Library) -> None:
    one, several = pair
    # Without AVX-512 a row is rounded by how many are beside it, and one token in two thousand is another.
    may_part = 0 if b"AVX512" in real_library.c.gpt4all_cpu_info() else 1
    parted = []
    jobs = mix(one, seed)
    expected = [one.generate(tokens, **options) for tokens, options in jobs]
    requests = [several.start(tokens, **options) for tokens, options in jobs]
    for (tokens, _), request, wanted in zip(jobs, requests, expected, strict=True):
        with request:
            run = request.finish()
            assert run.status == abi.OK
            assert run.result.prompt_tokens == len(tokens)
            if run.calls != wanted.calls:
                parted.append((run.calls, wanted.calls))
                continue
            assert run.result.finish_reason == wanted.result.finish_reason
            assert run.result.completion_tokens == wanted.result.completion_tokens
            assert run.result.context_shifts == wanted.result.context_shifts
    assert len(parted) <= may_part, parted


@pytest.mark.parametrize("seed", range(3))
def test_those_that_are_stopped_stop_no_others(pair: tuple[Model, Model], seed: int) -> None:
    one, several = pair
    draw = random.Random(seed)
    jobs = mix(one, seed + 100)
    expected = [one.generate(tokens, **options) for tokens, options in jobs]
    flags = [c_int32() for _ in jobs]
    requests = [
        several.start(tokens, cancel=flag, **options) for (tokens, options), flag in zip(jobs, flags, strict=True)
    ]
    for request, flag, wanted in zip(requests, flags, expected, strict=True):
        with request:
            how = draw.choice(["not", "flag", "cancel", "callback", "free"])
            if how == "free":
                continue
            if how in ("cancel", "flag"):
                for _ in range(draw.randint(0, 3)):
                    request.read()
            if how == "cancel":
                request.cancel()
            if how == "flag":
                flag.value = 1
            run = request.finish(stop_after(draw.randint(1, 4)) if how == "callback" else None)
            assert run.status == abi.OK
            # The last piece may be what was held back.
            assert run.calls[:-1] == wanted.calls[: max(0, len(run.calls) - 1)]
            if how == "not":
                assert run.calls == wanted.calls


def stop_after(n_calls: int) -> OnToken:
    left = [n_calls]

    def on_token(token: int, piece: bytes) -> bool:
        left[0] -= 1
        return left[0] > 0

    return on_token


def test_readers_of_their_own(pair: tuple[Model, Model]) -> None:
    one, several = pair
    jobs = mix(one, 7)
    expected = [one.generate(tokens, **options).calls for tokens, options in jobs]
    found: dict[int, object] = {}

    def read(number: int, tokens: list[int], options: dict[str, Any]) -> None:
        with several.start(tokens, **options) as request:
            found[number] = request.finish().calls

    threads = [threading.Thread(target=read, args=(number, *job)) for number, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(jobs))] == expected


def test_a_reader_that_stays_away_holds_nobody_up(pair: tuple[Model, Model]) -> None:
    _, several = pair
    if several.info().traits & abi.TRAIT_ENCODER:
        pytest.skip("answers one at a time")
    prompt = several.tokenize("abc")
    with several.start(prompt, max_tokens=10**6) as idle:
        for _ in range(N_SEQUENCES + 1):
            with several.start(prompt, max_tokens=300) as request:
                assert request.finish().status == abi.OK
        # It has not come far, for nobody reads.
        idle.cancel()
        assert idle.finish().result.completion_tokens < 1000


#: Each token of its answers takes several steps' worth of work.
COSTLY = "root ::= " + "[a-z ]? " * 500 + "[a-z ]{400}"


def start_costly(model: Model, max_tokens: int = 20) -> Request:
    return model.start(
        model.tokenize("xyz"), grammar=grammar_of(COSTLY), max_tokens=max_tokens, temperature=1.0, top_p=1.0, seed=3
    )


def test_a_costly_grammar_holds_nobody_up(pair: tuple[Model, Model]) -> None:
    one, several = pair
    if several.info().traits & abi.TRAIT_ENCODER:
        pytest.skip("answers one at a time")
    prompt = one.tokenize("abc")
    expected = one.generate(prompt, max_tokens=20).calls
    with start_costly(one) as request:
        alone = request.finish()
    assert (alone.status, len(alone.calls)) == (abi.OK, 20)
    furthest = []
    for _ in range(3):  # it goes on while this thread may be waiting for a processor
        with several.start(prompt, max_tokens=20) as plain, start_costly(several) as costly:
            assert plain.finish().calls == expected
            furthest.append(len(costly.read(0).calls))
            assert costly.finish().calls == alone.calls
    # Both would be as far, each time, if a step waited for the grammar.
    assert min(furthest) < 15
    # It can be stopped between its pieces of work as well.
    with start_costly(several) as costly:
        costly.read()
        costly.cancel()
        assert costly.finish().result.finish_reason == abi.FINISH_CANCELLED


def test_a_short_question_does_not_wait_for_a_long_prompt(real_library: Library) -> None:
    with real_library.load(ensure("tiny-llama"), n_ctx=4096, n_sequences=2) as model:
        long = model.tokenize("abc def " * 300)
        with model.start(long, n_batch=8, max_tokens=1) as slow, model.start(long[:10], max_tokens=1) as quick:
            assert quick.finish().result.completion_tokens == 1
            assert slow.read(timeout_us=0).result.finish_reason == abi.FINISH_NOT_YET
            assert slow.finish().result.completion_tokens == 1


def test_reading_does_not_wait_longer_than_it_is_told_to(real_library: Library) -> None:
    with real_library.load(ensure("tiny-llama"), n_ctx=4096) as model:
        tokens = model.tokenize("abc def " * 300)
        with model.start(tokens, n_batch=1, max_tokens=1) as request:
            run = request.read(timeout_us=0)
            assert (run.calls, run.result.finish_reason) == ([], abi.FINISH_NOT_YET)
            assert run.result.prompt_tokens == len(tokens)


def test_what_has_ended_can_be_read_again(pair: tuple[Model, Model]) -> None:
    _, several = pair
    with several.start(several.tokenize("abc"), max_tokens=3) as request:
        first = request.finish()
        again = request.read()
        assert again.result.finish_reason == first.result.finish_reason
        assert again.result.completion_tokens == first.result.completion_tokens
        assert len(again.calls) == len(first.calls)


def test_a_request_that_is_read_cannot_be_freed(pair: tuple[Model, Model]) -> None:
    _, several = pair
    with several.start(several.tokenize("abc"), max_tokens=3) as request:
        refused: list[int] = []

        def free(token: int, piece: bytes) -> bool:
            with pytest.raises(StatusError, match="reading") as caught:
                request.free()
            refused.append(caught.value.status)
            return True

        run = request.finish(free)
        assert run.status == abi.OK
        assert refused == [abi.ERROR_BUSY] * len(run.calls)


def test_a_model_with_requests_cannot_be_freed(real_library: Library) -> None:
    model = real_library.load(ensure("tiny-llama"), n_ctx=N_CTX)
    request = model.start(model.tokenize("abc"), max_tokens=3)
    with pytest.raises(StatusError) as caught:
        model.free()
    assert caught.value.status == abi.ERROR_BUSY
    request.free()
    model.free()


def test_a_new_number_of_threads_waits_for_a_step_only(pair: tuple[Model, Model]) -> None:
    _, several = pair
    prompt = several.tokenize("abc")
    with several.start(prompt, max_tokens=50) as request:
        several.library.check(several.c.gpt4all_model_set_threads(several.handle, 2, 2))
        several.library.check(several.c.gpt4all_model_set_threads(several.handle, 1, 1))
        assert request.finish().status == abi.OK


def test_bad_requests(real_library: Library) -> None:
    with real_library.load(ensure("tiny-llama"), n_ctx=N_CTX) as model:
        for tokens, said in ([], "tokens"), ([10**6], "token"), ([1] * N_CTX, "context"):
            with pytest.raises(StatusError, match=said):
                model.start(tokens)
        with pytest.raises(StatusError, match="n_batch"):
            model.start([1], n_batch=0)
        assert model.generate([1], max_tokens=1).status == abi.OK


@pytest.mark.parametrize("n_sequences", [0, -1, 257])
def test_bad_numbers_of_sequences(real_library: Library, n_sequences: int) -> None:
    with pytest.raises(StatusError, match="n_sequences"):
        real_library.load(ensure("tiny-llama"), n_sequences=n_sequences)


@pytest.mark.parametrize("n_ctx", [1 << 24, 1 << 25, (1 << 31) - 1])
def test_more_tokens_than_the_engine_counts(real_library: Library, n_ctx: int) -> None:
    for name in ("tiny-llama", "tiny-mamba"):
        with pytest.raises(StatusError, match="n_sequences times n_ctx"):
            real_library.load(ensure(name), n_ctx=n_ctx, n_sequences=128)


def test_memory_of_sequences_is_measured(real_library: Library) -> None:
    path = ensure("tiny-llama")
    one, four = (real_library.memory(path, n_ctx=256, n_sequences=n)[0].context for n in (1, 4))
    assert four == 4 * one


@pytest.mark.model
def test_memory_of_logits_is_measured(real_library: Library) -> None:
    path, n_vocab = ensure("gemma3"), 262_144
    one, many = (real_library.memory(path, n_ctx=256, n_sequences=n)[0].compute for n in (1, 16))
    assert many - one >= 15 * n_vocab * ctypes.sizeof(ctypes.c_float)


@contextmanager
def errors_heard(library: Library) -> Iterator[list[bytes]]:
    """The log lines that tell of errors or warn."""
    lines: list[bytes] = []

    def on_log(level: int, address: int, length: int, payload: int | None) -> None:
        if level >= abi.LOG_WARNING:
            lines.append(ctypes.string_at(address, length))

    callback = abi.LogCallback(on_log)
    library.check(library.c.gpt4all_set_log_callback(callback, None))
    try:
        yield lines
    finally:
        library.check(library.c.gpt4all_set_log_callback(abi.LogCallback(), None))


def test_what_is_stopped_is_logged_as_no_error(pair: tuple[Model, Model]) -> None:
    one, _ = pair
    prompt = one.tokenize("abc def " * 40)[: N_CTX - 8]
    stopped = 0
    with errors_heard(one.library) as lines:
        for looks in range(2000):
            with one.start(prompt, max_tokens=1, reuse_prefix=0) as request:
                # A little later each time, so that it is at work some of the times.
                for _ in range(looks // 4):
                    request.read(timeout_us=0)
                request.cancel()
                result = request.finish().result
            stopped += result.finish_reason == abi.FINISH_CANCELLED and result.prompt_us > 0
            if stopped == 3:
                break
    assert lines == []
    assert stopped == 3


def test_embeddings_that_are_stopped_are_logged_as_no_error(real_library: Library) -> None:
    with real_library.load(ensure("tiny-qwen3-embedding"), n_ctx=N_CTX) as model:
        flag = c_int32()

        def stop(sizes: list[int]) -> bool:
            # Before the batch: the engine stops at the first node.
            flag.value = 1
            return True

        with errors_heard(real_library) as lines:
            run = model.embed([[1, 2, 3]], on_batch=stop, cancel=flag)
        assert run.status == abi.ERROR_CANCELLED
        assert lines == []


def test_more_answers_than_a_batch_has_room_for(real_library: Library) -> None:
    """They take turns: none waits until others are done."""
    with real_library.load(ensure("tiny-llama"), n_ctx=N_CTX, n_sequences=4, n_batch=2) as model:
        prompt = model.tokenize("abc")
        long = [model.start(prompt, max_tokens=10**6) for _ in range(2)]
        threads = [threading.Thread(target=request.finish) for request in long]
        for thread in threads:
            thread.start()
        for _ in range(3):
            short = [model.start(prompt, max_tokens=20) for _ in range(2)]
            for request in short:
                with request:
                    assert request.finish().result.completion_tokens == 20
        assert all(thread.is_alive() for thread in threads)
        for request, thread in zip(long, threads, strict=True):
            request.cancel()
            thread.join()
            request.free()


def test_an_empty_sequence_comes_before_one_that_is_displaced(real_library: Library) -> None:
    # Nothing that is displaced comes back.
    with real_library.load(ensure("tiny-llama"), n_ctx=256, n_sequences=2, prefix_cache_bytes=0) as model:
        first, second, third = (model.tokenize(text * 12)[:30] for text in ("abc ", "xyz ", "123 "))

        def cached(tokens: list[int]) -> int:
            return int(model.generate(tokens, max_tokens=0).result.cached_tokens)

        # All begin with the same token, which is worth no more than the room that is left.
        assert first[0] == second[0]
        assert [cached(first), cached(second)] == [0, 0]
        # Each where it was, so neither displaced the other.
        assert [cached([*first, 5]), cached([*second, 5])] == [30, 30]
        # Then the one that was used longest ago goes.
        assert cached(third) <= 1
        assert cached([*second, 5, 6]) == 31
