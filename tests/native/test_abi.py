"""The contract of ``gpt4all_backend.h``, held against the fake and, where one is built, against the real library.

What needs a certain text or a failure on demand is in ``test_fake_abi.py``.
"""

from __future__ import annotations

import ctypes
import math
import subprocess
import threading
from ctypes import byref, c_float, c_int32, c_int64, c_void_p, sizeof
from pathlib import Path
from typing import Any

import pytest

from gpt4all._native import abi
from tests.support.abi.client import N_CTX, Library, Model, StatusError, Subject
from tests.support.fake.backend import build_c_test


@pytest.fixture
def library(subject: Subject) -> Library:
    return subject.library


@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_c_program(subject: Subject, tmp_path: Path, standard: str) -> None:
    program = build_c_test(tmp_path / "test_abi", f"-std={standard}")
    done = subprocess.run([program, subject.library.path, subject.model], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


def test_versions(library: Library) -> None:
    assert library.c.gpt4all_abi_version() == abi.ABI_VERSION
    assert library.c.gpt4all_build_info()


def test_the_cpu_variant_and_its_instruction_sets_are_told(library: Library) -> None:
    name, _, instruction_sets = library.c.gpt4all_cpu_info().decode().partition(": ")
    assert name
    assert instruction_sets.split()


def test_devices_include_the_cpu(library: Library) -> None:
    kinds = [device.type for device in library.devices()]
    assert abi.DEVICE_CPU in kinds


# Loading


def test_model_info(subject: Subject, model: Model) -> None:
    info = model.info()
    assert info.n_ctx == N_CTX
    assert info.architecture.decode() == subject.architecture
    assert info.n_ctx_train == subject.n_ctx_train
    assert info.traits & abi.TRAIT_DECODER
    assert bool(info.traits & abi.TRAIT_RECURRENT) == (subject.architecture in {"mamba", "jamba"})
    assert bool(info.traits & abi.TRAIT_ENCODER) == (subject.architecture == "t5")
    assert bool(info.traits & abi.TRAIT_CAN_SHIFT) == (subject.architecture in {"llama", "gemma3", "t5"})
    assert 0 <= info.token_eos < info.n_vocab
    assert info.add_bos == (subject.architecture in {"llama", "gemma3", "jamba"})
    assert min(info.n_embd, info.n_layer, info.n_params, info.weights_bytes) > 0


def test_context_of_the_trained_length(subject: Subject) -> None:
    with subject.library.load(subject.model, n_ctx=0) as model:
        info = model.info()
        assert info.n_ctx == info.n_ctx_train


def test_progress_goes_from_zero_to_one(subject: Subject) -> None:
    seen: list[float] = []

    def on_progress(fraction: float, payload: int | None) -> int:
        seen.append(fraction)
        return 0

    subject.library.load(subject.model, progress=abi.ProgressCallback(on_progress)).free()
    assert seen == sorted(seen)
    assert seen[0] >= 0.0
    assert seen[-1] == 1.0


def test_progress_stops_the_load(subject: Subject) -> None:
    calls: list[float] = []

    def on_progress(fraction: float, payload: int | None) -> int:
        calls.append(fraction)
        return 1

    with pytest.raises(StatusError) as failure:
        subject.library.load(subject.model, progress=abi.ProgressCallback(on_progress))
    assert failure.value.status == abi.ERROR_CANCELLED
    assert len(calls) == 1


def test_directory_and_empty_file_do_not_load(library: Library, tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    for path in (tmp_path, tmp_path / "empty.gguf", tmp_path / "no\N{GRINNING FACE}such.gguf"):
        with pytest.raises(StatusError) as failure:
            library.load(path)
        assert failure.value.status == abi.ERROR_MODEL_LOAD
        assert failure.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_ctx", -1),
        ("n_ctx", 7),
        ("n_batch", 0),
        ("n_threads", 0),
        ("n_threads_batch", 0),
        ("n_threads", 1 << 20),
        ("n_gpu_layers", -1),
        ("flash_attention", 2),
        ("device", -2),
        ("device", 99),
        ("kv_type", b"f17"),
        ("prefix_cache_bytes", -1),
        ("n_tensor_split", -1),
        ("n_tensor_split", 1),
    ],
)
def test_bad_load_option_is_named(subject: Subject, name: str, value: Any) -> None:
    with pytest.raises(StatusError) as failure:
        subject.library.load(subject.model, **{name: value})
    assert failure.value.status == abi.ERROR_INVALID_ARGUMENT
    assert name.removeprefix("n_tensor").lstrip("_") in failure.value.message


@pytest.mark.parametrize("kv_type", [b"f32", b"f16", b"bf16"])
def test_kv_types(subject: Subject, kv_type: bytes) -> None:
    subject.library.load(subject.model, kv_type=kv_type).free()


def test_loading_and_freeing_repeatedly(subject: Subject) -> None:
    for _ in range(20):
        subject.library.load(subject.model).free()


def test_log_callback_hears_a_load_until_it_is_taken_away(subject: Subject) -> None:
    lines: list[tuple[int, bytes]] = []

    def on_log(level: int, address: int, length: int, payload: int | None) -> None:
        lines.append((level, ctypes.string_at(address, length)))

    callback = abi.LogCallback(on_log)
    c = subject.library.c
    subject.library.check(c.gpt4all_set_log_callback(callback, None))
    subject.library.load(subject.model).free()
    subject.library.check(c.gpt4all_set_log_callback(abi.LogCallback(), None))
    heard = len(lines)
    assert heard > 0
    assert all(abi.LOG_DEBUG <= level <= abi.LOG_ERROR for level, _ in lines)
    assert not any(line.endswith(b"\n") for _, line in lines)
    subject.library.load(subject.model).free()
    assert len(lines) == heard


def test_messages_belong_to_threads(library: Library, tmp_path: Path) -> None:
    with pytest.raises(StatusError):
        library.load(tmp_path / "first.gguf")
    others: list[str] = []

    def fail_elsewhere() -> None:
        others.append(library.last_error())
        with pytest.raises(StatusError) as failure:
            library.load(tmp_path / "second.gguf")
        others.append(failure.value.message)

    thread = threading.Thread(target=fail_elsewhere)
    thread.start()
    thread.join()
    assert others[0] == ""
    assert "second.gguf" in others[1]
    assert "first.gguf" in library.last_error()


# Text


@pytest.mark.parametrize("text", ["Hello world", "a\0b", "héllo 中国 😀", "line\n\nline", "x" * 500])
def test_tokens_give_their_text_again(subject: Subject, model: Model, text: str) -> None:
    if not subject.all_text:
        text = "".join(character for character in text if character.isprintable())
    tokens = model.tokenize(text, 0)
    assert model.detokenize(tokens).decode().removeprefix(" ") == text


def test_no_text_is_no_token(model: Model) -> None:
    assert model.tokenize("", 0) == []
    assert model.detokenize([]) == b""


def test_begin_and_end_tokens_are_added_on_request(subject: Subject, model: Model) -> None:
    info = model.info()
    begin = [info.token_bos] if info.add_bos else []
    end = [info.token_eos] if subject.architecture == "t5" else []
    assert model.tokenize("Hello") == [*begin, *model.tokenize("Hello", 0), *end]


def test_control_tokens_are_read_on_request(subject: Subject, model: Model) -> None:
    control = model.tokenize(subject.control, abi.TOKENIZE_PARSE_SPECIAL)
    assert len(control) == 1
    plain = model.tokenize(subject.control, 0)
    assert control[0] not in plain
    assert model.detokenize(control).decode() == subject.control
    assert model.detokenize(plain).decode().removeprefix(" ") == subject.control


def test_tokens_that_do_not_fit_are_counted(model: Model, library: Library) -> None:
    tokens = model.tokenize("Once upon a time", 0)
    buffer, count = (c_int32 * len(tokens))(*[-7] * len(tokens)), c_int32()
    arguments = (model.handle, b"Once upon a time", 16, 0, None, buffer)
    status = library.c.gpt4all_tokenize(*arguments, len(tokens) - 1, byref(count))
    assert (status, count.value, buffer[-1]) == (abi.ERROR_BUFFER_TOO_SMALL, len(tokens), -7)
    status = library.c.gpt4all_tokenize(*arguments, len(tokens), byref(count))
    assert (status, list(buffer)) == (abi.OK, tokens)


def test_text_that_does_not_fit_is_counted(model: Model, library: Library) -> None:
    tokens = model.tokenize("Once upon a time", 0)
    expected = model.detokenize(tokens)
    ids, length = (c_int32 * len(tokens))(*tokens), c_int64()
    buffer = ctypes.create_string_buffer(b"#" * len(expected), len(expected))
    arguments = (model.handle, ids, len(tokens), buffer)
    status = library.c.gpt4all_detokenize(*arguments, len(expected) - 1, byref(length))
    assert (status, length.value) == (abi.ERROR_BUFFER_TOO_SMALL, len(expected))
    assert buffer.raw[-1:] == b"#"
    status = library.c.gpt4all_detokenize(*arguments, len(expected), byref(length))
    assert (status, buffer.raw) == (abi.OK, expected)


@pytest.mark.parametrize("offset", [-1, 0])
def test_token_outside_the_vocabulary(model: Model, offset: int) -> None:
    token = -1 if offset else model.info().n_vocab
    with pytest.raises(StatusError) as failure:
        model.detokenize([token])
    assert failure.value.status == abi.ERROR_INVALID_ARGUMENT
    assert str(token) in failure.value.message
    run = model.generate([token])
    assert run.status == abi.ERROR_INVALID_ARGUMENT
    assert str(token) in run.message


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_flag_stops_tokenising(model: Model, in_parts: bool) -> None:
    text, flag = "Once upon a time " * 1000, c_int32(0)

    def tokenize() -> list[int]:
        return model.tokenize_parts([(text, False)], cancel=flag) if in_parts else model.tokenize(text, cancel=flag)

    tokens = tokenize()
    flag.value = 1
    with pytest.raises(StatusError) as failure:
        tokenize()
    assert failure.value.status == abi.ERROR_CANCELLED
    # The flag is not looked at any more.
    assert model.tokenize(text) == tokens


# Generating


def test_generation_is_reported(model: Model, prompt: list[int]) -> None:
    run = model.generate(prompt, max_tokens=20)
    assert run.status == abi.OK
    assert run.result.finish_reason == abi.FINISH_LENGTH
    assert run.result.prompt_tokens == len(prompt)
    assert run.result.completion_tokens == len(run.calls) == 20
    assert run.result.context_shifts == 0
    assert run.result.prompt_us >= 0
    assert run.result.completion_us >= 0
    assert run.text


def test_no_tokens_wanted(model: Model, prompt: list[int]) -> None:
    run = model.generate(prompt, max_tokens=0)
    assert (run.status, run.result.finish_reason, run.calls) == (abi.OK, abi.FINISH_LENGTH, [])


def test_text_is_that_of_the_tokens(model: Model, prompt: list[int]) -> None:
    run = model.generate(prompt, max_tokens=20)
    assert run.text.removeprefix(b" ") == model.detokenize(run.tokens).removeprefix(b" ")


def test_same_call_gives_the_same_tokens(model: Model, prompt: list[int]) -> None:
    first = model.generate(prompt, max_tokens=20, reuse_prefix=0)
    again = model.generate(prompt, max_tokens=20, reuse_prefix=0)
    assert first.calls == again.calls


def test_a_callback_is_not_needed(model: Model, prompt: list[int], library: Library) -> None:
    options, result = library.generate_options(max_tokens=5), abi.GenerateResult()
    library.c.gpt4all_generate_result_init(byref(result), sizeof(result))
    ids = (c_int32 * len(prompt))(*prompt)
    none = abi.TokenCallback()
    library.check(library.c.gpt4all_generate(model.handle, ids, len(prompt), byref(options), none, None, byref(result)))
    assert result.completion_tokens == 5


def test_callback_stops_and_what_was_delivered_stays(model: Model, prompt: list[int]) -> None:
    full = model.generate(prompt, max_tokens=20)
    seen: list[int] = []

    def until_third(token: int, piece: bytes) -> bool:
        seen.append(token)
        return len(seen) < 3

    run = model.generate(prompt, max_tokens=20, on_token=until_third)
    assert (run.status, run.result.finish_reason) == (abi.OK, abi.FINISH_CANCELLED)
    assert run.result.completion_tokens == 3
    assert run.calls == full.calls[:3]


def test_set_flag_stops_before_anything(model: Model, prompt: list[int]) -> None:
    run = model.generate(prompt, cancel=c_int32(1))
    assert (run.status, run.result.finish_reason, run.calls) == (abi.OK, abi.FINISH_CANCELLED, [])
    assert run.result.completion_tokens == 0


def test_flag_stops_between_tokens_and_the_model_lives_on(model: Model, prompt: list[int]) -> None:
    full = model.generate(prompt, max_tokens=20)
    flag = c_int32(0)

    def set_flag(token: int, piece: bytes) -> bool:
        flag.value = 1
        return True

    run = model.generate(prompt, max_tokens=20, cancel=flag, on_token=set_flag)
    assert (run.status, run.result.finish_reason) == (abi.OK, abi.FINISH_CANCELLED)
    assert len(run.calls) == 1
    assert model.generate(prompt, max_tokens=20).tokens == full.tokens


def test_held_back_text_is_delivered_when_the_flag_stops(model: Model, prompt: list[int]) -> None:
    full = model.generate(prompt, max_tokens=20)
    n, flag = 5, c_int32(0)
    # As far as is known, the last token's end may begin it.
    stop = full.text[len(b"".join(full.pieces[:n])) - 1 :][:1] + b"\x01"
    seen: list[int] = []

    def set_flag(token: int, piece: bytes) -> bool:
        seen.append(token)
        flag.value = len(seen) >= n
        return True

    run = model.generate(prompt, max_tokens=20, stop=[stop], cancel=flag, on_token=set_flag)
    assert (run.status, run.result.finish_reason) == (abi.OK, abi.FINISH_CANCELLED)
    assert run.result.completion_tokens == n
    assert run.text == b"".join(full.pieces[:n])
    assert run.tokens == [*full.tokens[:n], -1]
    # Of a callback that wants no more nothing is asked.
    seen.clear()

    def until_last(token: int, piece: bytes) -> bool:
        seen.append(token)
        return len(seen) < n

    run = model.generate(prompt, max_tokens=20, stop=[stop], on_token=until_last)
    assert (run.result.completion_tokens, len(run.calls)) == (n, n)
    assert run.text == b"".join(full.pieces[:n])[:-1]


def test_busy_model_refuses_and_goes_on(model: Model, prompt: list[int], library: Library) -> None:
    statuses: dict[str, int] = {}

    def ask(token: int, piece: bytes) -> bool:
        c = library.c
        statuses["generate"] = model.generate(prompt).status
        statuses["free"] = c.gpt4all_model_free(model.handle)
        statuses["threads"] = c.gpt4all_model_set_threads(model.handle, 1, 1)
        room = 1 << 20
        statuses["logits"] = c.gpt4all_last_logits(model.handle, (c_float * room)(), room)
        assert model.info().n_ctx == N_CTX
        assert model.detokenize(model.tokenize("Hello", 0)).endswith(b"Hello")
        return True

    full = model.generate(prompt, max_tokens=3)
    here = model.generate(prompt, max_tokens=3, on_token=ask)
    assert set(statuses.values()) == {abi.ERROR_BUSY}
    assert here.calls == full.calls

    def ask_from_elsewhere(token: int, piece: bytes) -> bool:
        thread = threading.Thread(target=ask, args=(token, piece))
        thread.start()
        thread.join()
        return True

    statuses.clear()
    model.generate(prompt, max_tokens=2, on_token=ask_from_elsewhere)
    assert set(statuses.values()) == {abi.ERROR_BUSY}


def test_two_models_at_once(subject: Subject) -> None:
    with subject.library.load(subject.model) as one, subject.library.load(subject.model) as other:
        alone = one.generate(one.tokenize("Once"), max_tokens=30, reuse_prefix=0)
        barrier = threading.Barrier(2)
        runs: dict[int, Any] = {}

        def work(number: int, model: Model) -> None:
            barrier.wait(60)
            runs[number] = model.generate(model.tokenize("Once"), max_tokens=30, reuse_prefix=0)

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate((one, other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert runs[0].calls == runs[1].calls == alone.calls


def test_prompt_may_fill_all_but_four_places(model: Model, prompt: list[int]) -> None:
    longest = (prompt * N_CTX)[: N_CTX - 4]
    assert model.generate(longest, max_tokens=1).status == abi.OK
    run = model.generate([*longest, prompt[0]], max_tokens=1)
    assert run.status == abi.ERROR_CONTEXT_OVERFLOW
    assert str(N_CTX - 3) in run.message
    assert str(N_CTX - 4) in run.message
    assert run.calls == []


def test_stop_text_across_tokens_is_never_shown(model: Model, prompt: list[int]) -> None:
    full = model.generate(prompt, max_tokens=20)
    place = len(b"".join(full.pieces[:6]))
    stop = full.text[place - 1 : place + 2]
    run = model.generate(prompt, max_tokens=20, stop=[stop])
    assert (run.status, run.result.finish_reason) == (abi.OK, abi.FINISH_STOP)
    assert run.text == full.text[: full.text.find(stop)]
    assert run.result.completion_tokens == len(run.calls) < 20


def test_unfinished_stop_text_is_delivered_at_the_end(model: Model, prompt: list[int]) -> None:
    full = model.generate(prompt, max_tokens=8)
    start = full.text[-len(full.pieces[-1]) - 1 :]
    run = model.generate(prompt, max_tokens=8, stop=[start + b"\x01"])
    assert (run.text, run.result.finish_reason) == (full.text, abi.FINISH_LENGTH)
    assert run.pieces != full.pieces


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", -1),
        ("n_batch", 0),
        ("temperature", -0.5),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", math.nan),
        ("min_p", math.nan),
        ("min_p", 1.5),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", math.nan),
        ("repeat_last_n", -2),
        ("presence_penalty", math.nan),
        ("frequency_penalty", -math.inf),
        ("n_keep", -1),
        ("n_stop", -1),
        ("n_stop", 1),
    ],
)
def test_bad_generate_option_is_named(model: Model, prompt: list[int], name: str, value: Any) -> None:
    run = model.generate(prompt, **{name: value})
    assert run.status == abi.ERROR_INVALID_ARGUMENT
    assert name.removeprefix("n_") in run.message
    assert run.calls == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 1e-44),
        ("temperature", 3e38),
        ("repeat_penalty", 1e-44),
        ("repeat_penalty", 3e38),
        ("presence_penalty", 3e38),
        ("frequency_penalty", -3e38),
    ],
)
def test_extreme_numbers_still_give_tokens(model: Model, prompt: list[int], name: str, value: float) -> None:
    options: dict[str, Any] = {"temperature": 0.7, "top_k": 0, "top_p": 1.0, name: value}
    run = model.generate(prompt, max_tokens=5, **options)
    assert (run.status, run.message) == (abi.OK, "")
    assert run.result.completion_tokens == 5


def test_empty_stop_text_is_refused(model: Model, prompt: list[int]) -> None:
    run = model.generate(prompt, stop=["fine", ""])
    assert run.status == abi.ERROR_INVALID_ARGUMENT
    assert "stop" in run.message


def test_larger_batch_than_loaded_is_cut(subject: Subject) -> None:
    with subject.library.load(subject.model, n_ctx=N_CTX, n_batch=4) as model:
        tokens = (model.tokenize("Once upon a time") * 8)[: N_CTX - 4]
        run = model.generate(tokens, max_tokens=2, n_batch=512)
        if model.info().traits & abi.TRAIT_ENCODER:
            # An encoder must see the prompt at once.
            assert run.status == abi.ERROR_CONTEXT_OVERFLOW
            assert "at most 4" in run.message
            run = model.generate(tokens[:4], max_tokens=2, n_batch=512)
        assert run.status == abi.OK


@pytest.mark.parametrize("extra", [0, 1])
def test_newer_and_older_generate_options(model: Model, prompt: list[int], extra: int, library: Library) -> None:
    class Longer(ctypes.Structure):
        _fields_ = [("known", abi.GenerateOptions), ("unknown", c_int64)]

    longer = Longer(known=library.generate_options(max_tokens=2), unknown=extra)
    longer.known.struct_size = sizeof(Longer)
    run = model.generate_with(prompt, longer)
    assert run.status == (abi.ERROR_INVALID_ARGUMENT if extra else abi.OK)

    shorter = library.generate_options(max_tokens=2, n_stop=-5)
    shorter.struct_size = abi.GenerateOptions.stop.offset
    assert model.generate_with(prompt, shorter).status == abi.OK


def test_older_result_struct_is_not_overrun(model: Model, prompt: list[int], library: Library) -> None:
    result = abi.GenerateResult(struct_size=abi.GenerateResult.completion_tokens.offset, completion_tokens=-7)
    options = library.generate_options(max_tokens=2)
    ids = (c_int32 * len(prompt))(*prompt)
    library.check(
        library.c.gpt4all_generate(
            model.handle, ids, len(prompt), byref(options), abi.TokenCallback(), None, byref(result)
        )
    )
    assert (result.prompt_tokens, result.completion_tokens) == (len(prompt), -7)


# Logits


def test_logits_name_the_greedy_token(model: Model, prompt: list[int]) -> None:
    with pytest.raises(StatusError) as failure:
        model.logits()
    assert failure.value.status == abi.ERROR_INVALID_ARGUMENT
    model.generate(prompt, max_tokens=0)
    logits = model.logits()
    assert all(map(math.isfinite, logits))
    assert model.logits() == logits
    assert max(range(len(logits)), key=logits.__getitem__) == model.generate(prompt, max_tokens=1).tokens[0]


def test_logits_need_room(model: Model, prompt: list[int], library: Library) -> None:
    model.generate(prompt, max_tokens=0)
    room = model.info().n_vocab - 1
    status = library.c.gpt4all_last_logits(model.handle, (c_float * room)(), room)
    assert status == abi.ERROR_BUFFER_TOO_SMALL


def test_nothing_is_no_model(library: Library) -> None:
    nothing = c_void_p()
    assert library.c.gpt4all_model_free(nothing) == abi.OK
    with pytest.raises(StatusError) as failure:
        Model(library, nothing).info()
    assert failure.value.status == abi.ERROR_INVALID_ARGUMENT
    assert "model" in failure.value.message
