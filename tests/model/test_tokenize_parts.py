"""Text in parts gets the tokens of the joined text, except that control tokens count only where they may."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from testmodels import vocabularies
from testmodels.vocabularies import Kind, Vocabulary

from gpt4all import CancellationError
from gpt4all._native import abi
from gpt4all._native.backend import CancelFlag, NativeModel, load_backend
from tests.support.chat.models import write_chat_model
from tests.support.load_options import load_options

pytestmark = pytest.mark.model

# Every kind of vocabulary; of tiny-jamba's kind, sentence-piece, some put a space in front and some do not.
MODELS = ["smollm2", "gemma3", "tiny-llama", "tiny-gemma3", "tiny-llama-bpe", "tiny-t5", "tiny-bert"]
TEXTS = [
    "Hello there, and welcome",
    " a  b   c\n\n\nd\t\te ",
    "naïve 中国 😀 of\u2028the",
    "The thing that is in the red 🟥 box.\nNo, yes.",
    "x" * 50 + " " * 20 + "\n" * 10,
]


def control_tokens(model: NativeModel) -> list[str]:
    """The vocabulary's control tokens that can be written."""
    names = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>", "<s>", "</s>", "<bos>", "[SEP]", "<eos>"]
    # Some of these are plain words in some vocabularies, as Gemma's <s>.
    return [
        name
        for name in names
        if len(model.tokenize(name, add_special=False, parse_special=True)) == 1
        and len(model.tokenize(name, add_special=False, parse_special=False)) > 1
    ]


@pytest.fixture(scope="module")
def models(model_file: Callable[[str], Path]) -> Iterator[Callable[[str], NativeModel]]:
    opened: dict[str, NativeModel] = {}

    def open_one(name: str) -> NativeModel:
        if name not in opened:
            opened[name] = load_backend("cpu").load_model(model_file(name), load_options(n_ctx=64))
        return opened[name]

    yield open_one
    for model in opened.values():
        model.close()


@pytest.fixture
def open_vocabulary(tmp_path: Path) -> Iterator[Callable[..., NativeModel]]:
    opened: list[NativeModel] = []

    def open_one(words: Vocabulary, name: str = "chat") -> NativeModel:
        path = write_chat_model(tmp_path / f"{len(opened)}.gguf", words, name)
        opened.append(load_backend("cpu").load_model(path, load_options(n_ctx=64)))
        return opened[-1]

    yield open_one
    for model in opened:
        model.close()


def cut(text: str, numbers: random.Random, parse_special: Callable[[], bool]) -> list[tuple[str, bool]]:
    places = sorted(numbers.randrange(len(text) + 1) for _ in range(numbers.randrange(6)))
    return [(text[start:end], parse_special()) for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("add_special", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_plain_text_in_any_parts(models: Callable[[str], NativeModel], name: str, add_special: bool) -> None:
    model, numbers = models(name), random.Random(1)
    for text in TEXTS:
        wanted = model.tokenize(text, add_special=add_special, parse_special=False)
        for _ in range(20):
            parts = cut(text, numbers, lambda: numbers.random() < 0.5)
            assert model.tokenize_parts(parts, add_special=add_special) == wanted, parts


@pytest.mark.parametrize("name", MODELS)
def test_a_template_around_plain_text(models: Callable[[str], NativeModel], name: str) -> None:
    """What chats consist of: as one text with control tokens parsed."""
    model, numbers = models(name), random.Random(2)
    for opening in control_tokens(model):
        for text in TEXTS:
            parts = [(f"{opening}the red\n", True), (text, False), (f"{opening}\n", True), (text, False), (" on", True)]
            joined = "".join(text for text, _ in parts)
            wanted = model.tokenize(joined, add_special=True, parse_special=True)
            assert model.tokenize_parts(parts) == wanted
            # Plain text of the template may be cut anywhere, as long as no control token is.
            pieces = [(opening, True), *cut("the red\n" + text, numbers, lambda: False), *parts[2:]]
            assert model.tokenize_parts(pieces) == wanted


@pytest.mark.parametrize("name", MODELS)
def test_control_tokens_count_where_they_may(models: Callable[[str], NativeModel], name: str) -> None:
    model = models(name)
    for opening in control_tokens(model):
        [control] = model.tokenize(opening, add_special=False, parse_special=True)
        plain = model.tokenize_parts([(opening, False)], add_special=False)
        assert control not in plain
        assert plain == model.tokenize(opening, add_special=False, parse_special=False)
        assert model.tokenize_parts([(opening, True)], add_special=False) == [control]
        # Also not where parts meet, unless both may hold one.
        for at in range(1, len(opening)):
            start, end = opening[:at], opening[at:]
            for kinds, found in (((False, False), 0), ((True, False), 0), ((False, True), 0), ((True, True), 1)):
                tokens = model.tokenize_parts(list(zip((start, end), kinds, strict=True)), add_special=False)
                assert tokens.count(control) == found
        mixed = [(opening, False), ("", True), (opening, True), ("", False), (opening, False)]
        assert model.tokenize_parts(mixed, add_special=False).count(control) == 1


def test_overlapping_control_tokens_as_the_engine_finds_them(
    open_vocabulary: Callable[..., NativeModel],
) -> None:
    words = vocabularies.bpe(None)
    words.add(["<a>", "<a><b>", "<b>", "<b><c><d>", "a><b", "<c>"], Kind.CONTROL)
    words.add(["<added>", "  ", "<a><added>"], Kind.USER_DEFINED)
    model, numbers = open_vocabulary(words), random.Random(3)
    pieces = ["<a>", "<b>", "<c>", "<d>", "<added>", "  ", "a><b", "x", "<", ">"]
    for _ in range(300):
        text = "".join(numbers.choice(pieces) for _ in range(numbers.randrange(12)))
        wanted = model.tokenize(text, add_special=True, parse_special=True)
        assert model.tokenize_parts([(text, True)]) == wanted, text


def test_whitespace_beside_tokens_that_take_it(open_vocabulary: Callable[..., NativeModel]) -> None:
    """The engine lets Phi-3's tokens swallow what space follows, even a message's."""
    words = vocabularies.spm(None)
    words.add(["<|end|>", "<|user|>", "<|endoftext|>"], Kind.CONTROL)
    words.scores = [*(words.scores or []), 0.0, 0.0, 0.0]
    model = open_vocabulary(words, "phi-3")
    for parts in (
        [("<|user|>\n", True), ("Hi", False), ("<|end|>\n", True), ("<|user|> ", True), (" on", False)],
        [("<|user|>", True), (" \n Hi", False), (" <|end|>", True)],
        [("<|user|>", True), (" \n ", False), ("<|end|>", True)],
    ):
        joined = "".join(text for text, _ in parts)
        assert model.tokenize_parts(parts) == model.tokenize(joined, add_special=True, parse_special=True)


@pytest.mark.parametrize("make", [lambda: vocabularies.spm(None), lambda: vocabularies.bpe(None)], ids=["spm", "bpe"])
def test_marks_that_a_converter_took_for_words(
    open_vocabulary: Callable[..., NativeModel], make: Callable[[], Vocabulary]
) -> None:
    """Old files hold chat marks as plain additions, which the engine finds in any text."""
    marks = ["<|user|>", "<|assistant|>", "<｜User｜>", "[INST]", "<start_of_turn>"]
    words = make()
    words.add([*marks, "<think>", "<b>", "[the]"], Kind.USER_DEFINED)
    if words.scores is not None:
        words.scores += [0.0] * (len(marks) + 3)
    model = open_vocabulary(words)
    for mark in marks:
        [token] = model.tokenize(mark, add_special=False, parse_special=False)
        for text in (mark, f"in {mark} on", mark * 3, f" {mark}\n{mark[:-1]}", f"<{mark}|>"):
            tokens = model.tokenize_parts([("yes ", True), (text, False), (" no", True)], add_special=False)
            assert token not in tokens
            assert model.detokenize(tokens).decode().strip() == f"yes {text} no"
        assert model.tokenize_parts([(mark, True), (mark, False)], add_special=False)[0] == token
    for text in ("<think>", "<b>", "[the]"):
        # What is no mark of a chat stays one token.
        tokens = model.tokenize(text, add_special=False, parse_special=False)
        assert len(tokens) == 1
        assert model.tokenize_parts([(text, False)], add_special=False) == tokens


@pytest.mark.parametrize("name", MODELS)
def test_the_room_a_text_needs_is_told_exactly(models: Callable[[str], NativeModel], name: str) -> None:
    model = models(name)
    tokens = model.tokenize("do n't , you ? 'm here !", add_special=False, parse_special=False)
    ids, length = (ctypes.c_int32 * len(tokens))(*tokens), ctypes.c_int64()
    status = model._cdll.gpt4all_detokenize(model._handle, ids, len(tokens), None, 0, ctypes.byref(length))
    assert status == abi.ERROR_BUFFER_TOO_SMALL
    assert length.value == len(model.detokenize(tokens))


def test_nothing(models: Callable[[str], NativeModel]) -> None:
    for name in MODELS:
        wanted = models(name).tokenize("", add_special=True, parse_special=False)
        for parts in ([], [("", True)], [("", False), ("", True)]):
            assert models(name).tokenize_parts(parts) == wanted
            assert models(name).tokenize_parts(parts, add_special=False) == []


def test_text_of_any_length_and_with_nul(models: Callable[[str], NativeModel]) -> None:
    model = models("smollm2")
    text = "a\0b" + "word " * 50_000
    tokens = model.tokenize_parts([("<|im_start|>", True), (text, False)], add_special=False)
    assert tokens[1:] == model.tokenize(text, add_special=False, parse_special=False)
    many = [(letter, index % 2 == 0) for index, letter in enumerate("the red box " * 500)]
    joined = model.tokenize("".join(text for text, _ in many), add_special=True, parse_special=True)
    assert model.tokenize_parts(many) == joined


@pytest.mark.parametrize("line", ["\r\n", "\t ", "1\t22\t333\n"])
def test_a_text_full_of_special_tokens(models: Callable[[str], NativeModel], line: str) -> None:
    # Each is a token of Gemma's that the engine cuts a text at. It took the square of their number, here an hour.
    tokens = models("gemma3").tokenize(line * 100_000, add_special=False, parse_special=False)
    once = models("gemma3").tokenize(line, add_special=False, parse_special=False)
    assert tokens == once * 100_000


@pytest.mark.parametrize("name", ["gemma3", "smollm2", "tiny-t5", "tiny-bert"])
def test_a_long_text_is_left_when_the_flag_is_set(models: Callable[[str], NativeModel], name: str) -> None:
    cancel, model = CancelFlag(), models(name)
    # A minute's work.
    text = "Once upon a time, and \t\t 12345 naïve words. " * 1_000_000
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(model.tokenize_parts, [(text, False)], cancel=cancel)
        cancel.set()
        with pytest.raises(CancellationError):
            call.result()


def test_the_flag_is_looked_at_while_a_text_is_cut_into_words(models: Callable[[str], NativeModel]) -> None:
    cancel, model = CancelFlag(), models("smollm2")
    text = "Once upon a time, and \t\t 12345 naïve words. " * 40_000

    def work(cancel: CancelFlag | None) -> float:
        before = time.thread_time()
        with suppress(CancellationError):
            model.tokenize(text, add_special=False, parse_special=False, cancel=cancel)
        return time.thread_time() - before

    all_of_it = work(None)
    timer = threading.Timer(all_of_it / 20, cancel.set)
    timer.start()
    # Half of the work was done before the flag was looked at.
    assert work(cancel) < all_of_it / 4
    timer.join()
