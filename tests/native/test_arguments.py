"""Wrong arguments: a ``TypeError`` or ``ValueError`` that names the argument, before any native call."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gpt4all import GPT4All
from gpt4all._native import backend
from tests.support.fake.backend import END, FakeModel
from tests.support.fake.helpers import LoadFake

NAN, INF = math.nan, math.inf
HUGE = 10**400


class NoNumber:
    """Like an array, which has the method but is no number."""

    def __float__(self) -> float:
        raise TypeError("only length-1 arrays can be converted")

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")


# What is wrong for an argument of each kind, besides values out of range.
NOT_INTEGERS = ["1", 1.0, 1.5, True, None, [], b"1", 1j, NAN, NoNumber()]
NOT_NUMBERS = ["1", True, None, [], b"1", 1j, NoNumber()]
NOT_FLAGS: list[Any] = ["True", "False", None, 1.0, [], b"1"]

BAD_GENERATE: dict[str, tuple[list[Any], list[Any]]] = {
    # name: (TypeError, ValueError)
    "max_tokens": (NOT_INTEGERS, [-1, 2**31, HUGE]),
    "temp": (NOT_NUMBERS, [-0.1, NAN, INF, -INF, 1e39, HUGE]),
    "top_k": (NOT_INTEGERS, [2**31, -(2**31), HUGE]),
    "top_p": (NOT_NUMBERS, [NAN, HUGE]),
    "min_p": (NOT_NUMBERS, [-0.1, 1.1, NAN, INF, HUGE]),
    "repeat_penalty": (NOT_NUMBERS, [0, 0.0, -1, 1e-50, NAN, INF, 1e39, HUGE]),
    "presence_penalty": (NOT_NUMBERS, [NAN, INF, -INF, 1e39, HUGE]),
    "frequency_penalty": (NOT_NUMBERS, [NAN, INF, -INF, 1e39, HUGE]),
    "repeat_last_n": (NOT_INTEGERS, [-2, 2**31, HUGE]),
    "n_batch": (NOT_INTEGERS, [0, -1, 2**31, HUGE]),
    "n_predict": ([value for value in NOT_INTEGERS if value is not None], [-1, 2**31, HUGE]),
    "streaming": (NOT_FLAGS, []),
    "callback": ([None, 1, "print", True], []),
    "reasoning_callback": ([1, "print", True], []),
    "seed": ([value for value in NOT_INTEGERS if value is not None], [-1, 2**32, HUGE]),
    "stop": (
        [1, True, 1.5, b"stop", [1], [b"stop"], ["a", None], {"a": 1}],
        ["", [""], ["a", ""], "\ud800", ["\udfff"]],
    ),
    "parse_special": (NOT_FLAGS, []),
    "logit_bias": (
        [1, "1", [1, 2], True, {"1": 1.0}, {True: 1.0}, {1: "1"}, {1: None}, {1.5: 1}],
        [{-1: 1.0}, {2**31: 1.0}, {1: NAN}, {1: INF}, {1: 1e39}, {1: -1e39}, {1: HUGE}, {10**6: 1.0}],
    ),
    "grammar": ([1, True, b"root ::= []", ["root"]], ["", "\ud800", "answer ::= [a]"]),
    "json_schema": (
        [1, "{}", True, [], dict, NoNumber, NoNumber()],
        [{"not": {}}, {"type": 1}, {"const": NAN}, {"const": {1}}, {"$ref": "#/$defs/a"}],
    ),
    "logprobs_callback": ([1, "print", True], [print]),
    "logprobs": ([value for value in NOT_INTEGERS if value is not None], [-1, 21, HUGE]),
}

BAD_LOAD: dict[str, tuple[list[Any], list[Any]]] = {
    "n_ctx": ([value for value in NOT_INTEGERS if value is not None], [-1, 1, 7, 2**31, HUGE]),
    "n_threads": ([value for value in NOT_INTEGERS if value is not None], [0, -1, 513, HUGE]),
    "ngl": (NOT_INTEGERS, [-1, 2**31]),
    "device": ([1, True, b"cpu", []], ["", "CPU", "tpu"]),
    "kv_type": ([], ["f64", "", "F16", None, 1, True, b"f16"]),
    "flash_attention": ([], ["on", "", 1, 0, None, 1.0]),
    "main_gpu": (NOT_INTEGERS, [-1, 2**31]),
    "tensor_split": ([1, 0.5, "0.5", b"1", [True], ["1"], [None]], [[-1], [NAN], [INF], [1e39], [0.5, -0.5], [HUGE]]),
    "progress": ([1, "print", True], []),
    "use_mmap": (NOT_FLAGS, []),
    "verbose": (NOT_FLAGS, []),
    "allow_download": ([None, 1.0, "yes"], []),
    "model_name": ([None, 1, True], [""]),
}


def flat(table: dict[str, tuple[list[Any], list[Any]]]) -> list[Any]:
    return [
        pytest.param(
            name, value, kind, id=f"{name}={type(value).__name__ if isinstance(value, NoNumber) else repr(value)[:20]}"
        )
        for name, values in table.items()
        for kind, bad in zip((TypeError, ValueError), values, strict=True)
        for value in bad
    ]


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One for all rows: no argument gets as far as to change it."""
    from tests.support.fake.backend import write_fake_model

    with pytest.MonkeyPatch.context() as patch:
        from gpt4all._native import loader

        library = request.getfixturevalue("fake_library")
        patch.setenv(loader.SEARCH_PATH_VARIABLE, str(library.parent.parent))
        patch.setattr(loader, "_loaded", request.getfixturevalue("_fake_backends"))
        model = GPT4All(write_fake_model(tmp_path_factory.mktemp("model") / "fake.gguf", "a", END), n_ctx=64)
    yield model
    model.close()


@pytest.fixture
def _no_native_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a native call was made")

    for name in ("generate", "tokenize"):
        monkeypatch.setattr(backend.NativeModel, name, forbidden)
    monkeypatch.setattr(backend.Backend, "load_model", forbidden)


@pytest.mark.usefixtures("_no_native_call")
@pytest.mark.parametrize(("name", "value", "kind"), flat(BAD_GENERATE))
def test_generate(model: GPT4All, name: str, value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=rf"\b{name}\b"):
        model.generate("x", **{name: value})
    if name != "streaming":
        # Both at the call: nobody has asked for a piece yet.
        with pytest.raises(kind, match=rf"\b{name}\b"):
            model.generate("x", streaming=True, **{name: value})
        with pytest.raises(kind, match=rf"\b{name}\b"):
            model.agenerate("x", **{name: value})


@pytest.mark.usefixtures("_no_native_call")
@pytest.mark.parametrize("prompt", [None, 1, b"x", {"role": "user", "content": "x"}, True])
def test_a_prompt_that_is_no_text(model: GPT4All, prompt: Any) -> None:
    with pytest.raises(TypeError, match="prompt must be a str"):
        model.generate(prompt)


@pytest.mark.usefixtures("_no_native_call")
@pytest.mark.parametrize("prompt", ["\ud800", "ab\udcffc", "👋\udfff"])
def test_lone_surrogates(model: GPT4All, prompt: str) -> None:
    at = next(index for index, character in enumerate(prompt) if 0xD800 <= ord(character) < 0xE000)
    with pytest.raises(ValueError, match=f"prompt holds a lone surrogate at index {at}"):
        model.generate(prompt)
    for call in (model.tokenize, model.model.count_prompt_tokens):
        with pytest.raises(ValueError, match="lone surrogate"):
            call(prompt)


def test_unknown_and_positional_arguments(model: GPT4All) -> None:
    calls: list[Any] = [
        lambda: model.generate("x", 10),  # type: ignore[call-overload]
        lambda: model.generate("x", temperature=1),  # type: ignore[call-overload]
        lambda: model.agenerate("x", streaming=True),  # type: ignore[call-arg]
        lambda: GPT4All("x", "y"),  # type: ignore[call-arg]
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()


@pytest.mark.usefixtures("_no_native_call", "fake_backend")
@pytest.mark.parametrize(("name", "value", "kind"), flat(BAD_LOAD))
def test_the_constructor(fake_model: FakeModel, name: str, value: Any, kind: type[Exception]) -> None:
    arguments = {"model_name": fake_model("a", END), name: value}
    with pytest.raises(kind, match=rf"\b{name}\b"):
        GPT4All(**arguments)


def test_quantized_values_need_flash_attention(fake_backend: object, fake_model: FakeModel) -> None:
    with pytest.raises(ValueError, match="kv_type 'q8_0' needs flash attention"):
        GPT4All(fake_model("a"), kv_type="q8_0", flash_attention=False)


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        (None, TypeError, "ids must be a sequence"),
        (3, TypeError, "ids must be a sequence"),
        ("ab", TypeError, "ids must be integers"),
        ([1.0], TypeError, "ids must be integers"),
        ([True], TypeError, "ids must be integers"),
        ([None], TypeError, "ids must be integers"),
        ([-1], ValueError, "ids holds -1"),
        ([3, 260], ValueError, "ids holds 260, which is outside the vocabulary of 260 tokens"),
        ([HUGE], ValueError, "ids holds"),
    ],
)
def test_detokenize(model: GPT4All, ids: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        model.detokenize(ids)


@pytest.mark.parametrize("n_threads", [0, -1, 513, True, 1.0, "1"])
def test_set_thread_count(model: GPT4All, n_threads: Any) -> None:
    before = model.model.thread_count()
    with pytest.raises((TypeError, ValueError), match="n_threads"):
        model.model.set_thread_count(n_threads)
    assert model.model.thread_count() == before


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_tokens": 0},
        {"max_tokens": 2**31 - 1, "stop": "a"},
        {"temp": 0},
        {"temp": 3.4e38},
        {"top_k": 0},
        {"top_k": -1},
        {"top_p": -INF},
        {"top_p": INF},
        {"top_p": 1e300},
        {"top_p": 2},
        {"min_p": 0},
        {"min_p": 1},
        {"repeat_penalty": 1e-30},
        {"repeat_last_n": -1},
        {"presence_penalty": -1e38},
        {"frequency_penalty": 1e38},
        {"repeat_last_n": 0},
        {"n_batch": 1},
        {"n_batch": 2**31 - 1},
        {"seed": 0},
        {"seed": 2**32 - 1},
        {"stop": ("a", "b")},
        {"stop": {"a"}},
        {"stop": (text for text in "ab")},
        {"streaming": 0},
        {"parse_special": 1},
    ],
)
def test_values_at_the_limits(model: GPT4All, arguments: dict[str, Any]) -> None:
    assert model.generate("x", **arguments) in ("", "a")


def test_numpy_scalars_are_numbers(loaded: LoadFake) -> None:
    numpy = pytest.importorskip("numpy")
    model = loaded("a", END, options={"n_ctx": numpy.int64(64), "tensor_split": numpy.array([0.5, 0.5])})
    answer = model.generate(
        "x",
        max_tokens=numpy.int32(4),
        temp=numpy.float32(0.5),
        top_k=numpy.int64(4),
        seed=numpy.uint32(7),
        parse_special=numpy.bool_(True),
        streaming=numpy.bool_(False),
    )
    assert answer == "a"
    assert model.detokenize(numpy.array(model.tokenize("xyz"))) == "xyz"
