"""The fake backend: its scripts, and the parts of the contract that need a certain text or a failure on demand."""

from __future__ import annotations

import ctypes
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ctypes import c_int32
from pathlib import Path
from typing import Any

import pytest

from gpt4all._native import abi
from gpt4all.gguf.preflight import preflight
from tests.support.abi.client import Library, Run, StatusError
from tests.support.fake.backend import (
    ECHO,
    END,
    EOS,
    FIRST_BYTE_TOKEN,
    FIRST_SCRIPTED_TOKEN,
    TURN,
    FakeModel,
    Piece,
    build_c_test,
    build_fake,
    text,
)
from tests.support.load_options import load_options


def generate(library: Library, path: Path, *, prompt: str = "Hi", n_ctx: int = 128, **options: Any) -> Run:
    """One call on a freshly loaded model."""
    with library.load(path, n_ctx=n_ctx) as model:
        return model.generate(model.tokenize(prompt), **options)


@contextmanager
def logging_to(library: Library, hear: Callable[[int, str], None]) -> Iterator[None]:
    def on_log(level: int, address: int, length: int, payload: int | None) -> None:
        hear(level, ctypes.string_at(address, length).decode())

    callback = abi.LogCallback(on_log)
    library.check(library.c.gpt4all_set_log_callback(callback, None))
    try:
        yield
    finally:
        library.check(library.c.gpt4all_set_log_callback(abi.LogCallback(), None))


def heard(library: Library, path: Path, **options: Any) -> list[tuple[int, str]]:
    """What a load and one generation log."""
    lines: list[tuple[int, str]] = []
    with logging_to(library, lambda level, line: lines.append((level, line))):
        generate(library, path, **options)
    return lines


# The library


def test_it_says_that_it_is_the_fake(fake: Library) -> None:
    assert fake.c.gpt4all_build_info() == b"cpu fake-backend no-engine"
    assert fake.c.gpt4all_cpu_info() == b"fake: SSE3 AVX"


def test_what_is_fixed_when_compiling(tmp_path: Path) -> None:
    device = '{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_GPU, 800, 300, "Vulkan0", "Fake GPU", "", "Vulkan"},'
    library = Library(build_fake(tmp_path, "kompute", FAKE_ABI_VERSION=99, FAKE_DEVICES=device))
    assert library.c.gpt4all_abi_version() == 99
    assert library.c.gpt4all_build_info().startswith(b"kompute fake-backend")
    gpu = library.devices()[1]
    assert (gpu.type, gpu.memory_total, gpu.memory_free, gpu.name, gpu.description) == (
        abi.DEVICE_GPU,
        800,
        300,
        b"Vulkan0",
        b"Fake GPU",
    )


def test_sanitizers_have_nothing_to_say(tmp_path: Path, fake_model: FakeModel) -> None:
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    try:
        library, program = build_fake(tmp_path, "cpu", *flags), build_c_test(tmp_path / "test_abi", *flags)
    except RuntimeError as error:
        pytest.skip(f"this compiler has no sanitizers: {error}")
    model = fake_model(" a", b"\xe2\x82", b"\xac", ECHO, END, control="<|x|>", log=("info", "x"), log_calls=1)
    done = subprocess.run([program, library, model], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


def test_init_that_fails(tmp_path: Path) -> None:
    path = build_fake(tmp_path, FAKE_INIT_STATUS="GPT4ALL_ERROR_UNSUPPORTED_CPU")
    with pytest.raises(StatusError) as failure:
        Library(path)
    assert failure.value.status == abi.ERROR_UNSUPPORTED_CPU
    with pytest.raises(StatusError, match="gpt4all_init") as failure:
        Library(path, init=False).devices()
    assert failure.value.status == abi.ERROR_INVALID_ARGUMENT


# The model file


def test_model_facts(fake: Library, fake_model: FakeModel) -> None:
    path = fake_model(
        END,
        architecture="qwen3",
        name="Tést model",
        description="tiny",
        quantization="Q4_0",
        chat_template="{% for m in messages %}\n  {{ m }}\\n{% endfor %} ",
        n_ctx_train=77,
        n_vocab=500,
        n_embd=12,
        n_layer=3,
        n_params=1 << 40,
        weights_bytes=1 << 41,
        add_bos=0,
        traits="decoder recurrent",
    )
    with fake.load(path, n_ctx=0) as model:
        info = model.info()
        assert (info.architecture, info.description, info.quantization) == (b"qwen3", b"tiny", b"Q4_0")
        assert info.name.decode() == "Tést model"
        assert info.chat_template == b"{% for m in messages %}\n  {{ m }}\\n{% endfor %} "
        assert (info.n_ctx, info.n_ctx_train, info.n_vocab) == (77, 77, 500)
        assert (info.n_embd, info.n_layer, info.n_params, info.weights_bytes) == (12, 3, 1 << 40, 1 << 41)
        assert (info.add_bos, info.traits) == (0, abi.TRAIT_DECODER | abi.TRAIT_RECURRENT)
        assert model.tokenize("") == []


def test_the_preflight_accepts_it(fake_model: FakeModel) -> None:
    header = preflight(fake_model("Hi", END, name="Fake", n_ctx_train=99, chat_template="{{ x }}"))
    assert (header.architecture, header.name, header.context_length) == ("llama", "Fake", 99)
    assert header.metadata["tokenizer.chat_template"] == "{{ x }}"


def test_the_last_script_counts(fake: Library, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\0\n#!gpt4all-fake\nnonsense\n\n#!gpt4all-fake\n# a comment\n\npiece  two \nend")
    assert generate(fake, path).text == b" two "


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "piece \\q",
        "piece \\x4",
        "piece \\",
        "n_vocab 4",
        "n_vocab many",
        "n_vocab",
        "delay_us -1",
        "traits decoder winged",
        "control ",
        "log loudly hello",
        "fail_load NOTHING text",
        "fail_at soon DECODE text",
    ],
)
def test_a_wrong_directive_is_named(fake: Library, tmp_path: Path, line: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_text(f"#!gpt4all-fake\n{line}\n")
    with pytest.raises(StatusError) as failure:
        fake.load(path)
    assert failure.value.status == abi.ERROR_MODEL_LOAD
    assert f"'{line.split()[0]}'" in failure.value.message


def test_a_file_without_script_does_not_load(fake: Library, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more\n #!gpt4all-fake\n")
    with pytest.raises(StatusError, match="#!gpt4all-fake"):
        fake.load(path)


def test_load_that_fails(fake: Library, fake_model: FakeModel) -> None:
    path = fake_model(fail_load=("OUT_OF_MEMORY", "no room for the weights"))
    with pytest.raises(StatusError) as failure:
        fake.load(path)
    assert (failure.value.status, failure.value.message) == (abi.ERROR_OUT_OF_MEMORY, "no room for the weights")


@pytest.mark.parametrize(("steps", "expected"), [(0, []), (1, [0.0, 1.0]), (2, [0.0, 0.5, 1.0])])
def test_progress_steps(fake: Library, fake_model: FakeModel, steps: int, expected: list[float]) -> None:
    seen: list[float] = []

    def on_progress(fraction: float, payload: int | None) -> int:
        seen.append(fraction)
        return 0

    fake.load(fake_model(progress_steps=steps), progress=abi.ProgressCallback(on_progress)).free()
    assert seen == expected


def test_log_lines(fake: Library, fake_model: FakeModel) -> None:
    path = fake_model(END, log=[("info", "first"), ("error", "sécond\n")])
    assert heard(fake, path) == [(abi.LOG_INFO, "first"), (abi.LOG_ERROR, "sécond\n")]


def test_calls_can_be_logged(fake: Library, fake_model: FakeModel) -> None:
    lines = heard(fake, fake_model(END, log_calls=1), n_ctx=64, max_tokens=9, top_k=3, stop=["a b"], seed=5)
    assert {level for level, _ in lines} == {abi.LOG_DEBUG}
    load, call, stop = (line for _, line in lines)
    assert load.startswith("load n_ctx=64 n_batch=512 n_threads=1 n_threads_batch=1 ")
    assert call.startswith("generate n_tokens=3 max_tokens=9 n_batch=512 top_k=3 ")
    assert " seed=5 reuse_prefix=1 n_keep=0 keep_context=0 n_stop=1 cancel=0" in call
    assert stop == "generate stop=a b"


# What is generated


def test_pieces_are_tokens_in_order(fake: Library, fake_model: FakeModel) -> None:
    run = generate(fake, fake_model("One", " two", "", END))
    assert run.calls == [
        (FIRST_SCRIPTED_TOKEN, b"One"),
        (FIRST_SCRIPTED_TOKEN + 1, b" two"),
        (FIRST_SCRIPTED_TOKEN + 2, b""),
        (EOS, b""),
    ]
    assert (run.result.finish_reason, run.result.completion_tokens) == (abi.FINISH_STOP, 3)


def test_pieces_are_detokenised(fake: Library, fake_model: FakeModel) -> None:
    with fake.load(fake_model("One", b"\xff\0", control="<|x|>")) as model:
        first = FIRST_SCRIPTED_TOKEN
        # Directives come before steps in the file, so the control token has the first id.
        assert model.detokenize([first + 1, first + 2, first, 0, 1, 2]) == b"One\xff\0<|x|><|begin|><|end|><|unk|>"
        assert model.tokenize("a<|x|><|end|>", abi.TOKENIZE_PARSE_SPECIAL) == [FIRST_BYTE_TOKEN + ord("a"), first, EOS]


def test_a_turn_without_end_is_repeated(fake: Library, fake_model: FakeModel) -> None:
    run = generate(fake, fake_model("a", "b"), max_tokens=5)
    assert (run.text, run.result.finish_reason) == (b"ababa", abi.FINISH_LENGTH)


def test_an_empty_script_ends_at_once(fake: Library, fake_model: FakeModel) -> None:
    run = generate(fake, fake_model())
    assert (run.calls, run.result.finish_reason) == ([(EOS, b"")], abi.FINISH_STOP)


def test_turns(fake: Library, fake_model: FakeModel) -> None:
    path = fake_model("one", END, TURN, END, TURN, "three", END)
    with fake.load(path) as model:
        texts = [model.generate(model.tokenize("Hi")).text for _ in range(4)]
    assert texts == [b"one", b"", b"three", b"three"]


def test_text_gives_the_ids_of_the_tokeniser(fake: Library, fake_model: FakeModel) -> None:
    with fake.load(fake_model(text("né"), END)) as model:
        run = model.generate(model.tokenize("Hi"))
        assert run.tokens == [*model.tokenize("né", 0), EOS]
        assert run.pieces == [b"n", b"", "é".encode(), b""]


def test_echo(fake: Library, fake_model: FakeModel) -> None:
    run = generate(fake, fake_model("You said: ", ECHO, ".", END), prompt="what?")
    assert run.text == b"You said: what?."
    assert run.result.completion_tokens == 7


# What is held back


@pytest.mark.parametrize(
    ("pieces", "delivered"),
    [
        # One character over four tokens.
        ([b"\xf0", b"\x9f", b"\x98", b"\x80!"], [b"", b"", b"", b"\xf0\x9f\x98\x80!", b""]),
        # A character that never comes to its end, with the end of the turn and with another character.
        ([b"a\xe4\xb8"], [b"a", b"\xe4\xb8"]),
        ([b"a\xe4\xb8", b"b"], [b"a", b"\xe4\xb8b", b""]),
        # What begins no character is let go, and what begins one when the next begins.
        (
            [b"a\x80", b"\xff", b"\xc0", b"\xed\xa0", b"\xf4\x90"],
            [b"a\x80", b"\xff", b"\xc0", b"", b"\xed\xa0", b"\xf4\x90"],
        ),
    ],
)
def test_characters_are_never_cut(
    fake: Library, fake_model: FakeModel, pieces: list[Piece], delivered: list[bytes]
) -> None:
    assert generate(fake, fake_model(*pieces, END)).pieces == delivered


def test_the_last_token_brings_all_that_is_held(fake: Library, fake_model: FakeModel) -> None:
    run = generate(fake, fake_model("a", b"\xe4", "b"), max_tokens=2)
    assert (run.pieces, run.result.finish_reason) == ([b"a", b"\xe4"], abi.FINISH_LENGTH)


@pytest.mark.parametrize(
    ("pieces", "stop", "delivered"),
    [
        # Over three tokens; the token that completes it is a token of the answer.
        (["a", "b#", "#", "#c", "d"], ["###"], [b"a", b"b", b"", b""]),
        # A beginning that is not continued is text after all.
        (["a#", "#", "b", END], ["###"], [b"a", b"", b"##b", b""]),
        (["a#", "#", END], ["###"], [b"a", b"", b"##"]),
        # A later beginning inside an earlier one.
        (["aab", "aab", "aac", "x"], ["aabaac"], [b"", b"aab", b""]),
        # The first to be complete ends it, whatever comes later.
        (["one two three"], ["three", "two", "four"], [b"one "]),
        (["x", "abc", "d"], ["abcd", "bc"], [b"x", b"a"]),
        (["xabcd"], ["abcd", "bc"], [b"xa"]),
        (["xabc"], ["bc", "abc"], [b"x"]),
        # Together with half a character.
        (["a#\u00e9"[:2], b"\xc3", b"\xa9b"], ["#\u00e9"], [b"a", b"", b""]),
        (["a", b"\xe4\xb8", b"\xad#", "x", END], ["##"], [b"a", b"", "\u4e2d".encode(), b"#x", b""]),
    ],
)
def test_stop_texts(
    fake: Library, fake_model: FakeModel, pieces: list[Piece], stop: list[str], delivered: list[bytes]
) -> None:
    run = generate(fake, fake_model(*pieces), stop=stop, max_tokens=20)
    assert run.pieces == delivered
    assert run.result.finish_reason == abi.FINISH_STOP


def test_stop_text_may_be_split_everywhere(fake: Library, fake_model: FakeModel) -> None:
    run = generate(fake, fake_model(text("Hello ### Human: me")), stop=["### Human", "### Assistant"], max_tokens=50)
    assert run.text == b"Hello "
    assert run.result.completion_tokens == len("Hello ### Human")


# Failures, gates, delays


@pytest.mark.parametrize("position", [0, 2])
def test_generation_that_fails(fake: Library, fake_model: FakeModel, position: int) -> None:
    with fake.load(fake_model("a", "b", "c", END, fail_at=(position, "DECODE", "the engine broke"))) as model:
        run = model.generate(model.tokenize("Hi"))
        assert (run.status, run.message) == (abi.ERROR_DECODE, "the engine broke")
        assert run.pieces == [b"a", b"b", b"c"][:position]
        assert (run.result.prompt_tokens, run.result.completion_tokens) == (3, position)
        assert model.generate(model.tokenize("Hi")).status == abi.ERROR_DECODE


@pytest.mark.parametrize("kind", ["encoder", "decoder embedding", "decoder diffusion", ""])
def test_models_that_do_not_generate(fake: Library, fake_model: FakeModel, kind: str) -> None:
    run = generate(fake, fake_model("a", END, traits=kind))
    assert run.status == abi.ERROR_UNSUPPORTED_MODEL
    assert run.message


def cancel_at_gate(library: Library, flag: c_int32) -> AbstractContextManager[None]:
    def hear(level: int, line: str) -> None:
        assert line == "waiting for the cancel flag"
        flag.value = 1

    return logging_to(library, hear)


def test_gate_between_tokens(fake: Library, fake_model: FakeModel) -> None:
    flag = c_int32(0)
    with cancel_at_gate(fake, flag):
        run = generate(fake, fake_model("a", "b", "c", END, wait_cancel_after=2), cancel=flag)
    assert (run.status, run.result.finish_reason, run.pieces) == (abi.OK, abi.FINISH_CANCELLED, [b"a", b"b"])


def test_gate_in_the_prompt(fake: Library, fake_model: FakeModel) -> None:
    flag = c_int32(0)
    with fake.load(fake_model("a", END, wait_cancel_in_prompt=2)) as model, cancel_at_gate(fake, flag):
        tokens = model.tokenize("0123456789")
        run = model.generate(tokens, cancel=flag, n_batch=4)
        assert (run.status, run.result.finish_reason, run.calls) == (abi.OK, abi.FINISH_CANCELLED, [])
        with pytest.raises(StatusError):
            model.logits()
        # Two batches have been stored; the rest is a single one.
        again = model.generate(tokens)
        assert (again.result.cached_tokens, again.text) == (8, b"a")


@pytest.mark.parametrize("delay", ["delay_us", "prompt_delay_us"])
def test_delay_sees_the_flag(fake: Library, fake_model: FakeModel, delay: str) -> None:
    flag = c_int32(0)
    thread = threading.Thread(target=setattr, args=(flag, "value", 1))
    half_an_hour: dict[str, Any] = {delay: 30 * 60 * 1_000_000}
    with fake.load(fake_model("a", END, **half_an_hour)) as model:
        thread.start()
        run = model.generate(model.tokenize("Hi"), cancel=flag)
        thread.join()
    assert (run.status, run.result.finish_reason, run.calls) == (abi.OK, abi.FINISH_CANCELLED, [])


# The context


def test_logits_follow_script_and_context(fake: Library, fake_model: FakeModel) -> None:
    with fake.load(fake_model("a", "b", END)) as model:
        model.generate(model.tokenize("Hi"), max_tokens=0)
        short = model.logits()
        model.generate(model.tokenize("Ho"), max_tokens=0)
        other = model.logits()
        model.generate(model.tokenize("Hi"), max_tokens=0, reuse_prefix=0, n_batch=1)
        assert model.logits() == short != other
        assert short.index(max(short)) == FIRST_SCRIPTED_TOKEN


def test_the_package_loads_it(fake_backend: Path, fake_model: FakeModel) -> None:
    from gpt4all._native import loader
    from gpt4all._native.backend import load_backend

    backend = load_backend("cpu")
    assert backend.path == fake_backend / "cpu" / loader.library_file_name("cpu")
    native = backend.load_model(fake_model("Hi", END), load_options(n_ctx=64))
    assert native.tokenize("ab", add_special=True, parse_special=False) == [0, 3 + 97, 3 + 98]
    native.close()
