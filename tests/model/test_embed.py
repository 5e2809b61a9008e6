"""``Embed4All`` with real weights, and with tiny random ones of every kind of embedding model.

Each vector is compared with BERT as NumPy computes it from the same file; ``scripts/dev bench-vectors`` compares with
sentence-transformers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.drivers.embedding_texts import WORDS

from gpt4all import CancellationError, Embed4All
from tests.support.fake.helpers import is_idle, worker_threads

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

from tests.support.bert_reference import BertReference, same_direction  # noqa: E402

pytestmark = pytest.mark.model

#: With some that take several tokens, and accents that are stripped.
MIXED_WORDS = [*WORDS, "café", "naïve", "Zürich", "internationalization"]
TEXTS = [
    "The capital of France is Paris.",
    "a",
    " ",
    "\n\t ",
    "\u200b",
    "...",
    "\x00",
    "\x07\x1b control",
    "a\x0bb\x0cc\x1cd\x85e\u2028f",
    "😀",
    "👩‍👩‍👧 🥰",
    "中文字符测试",
    "你好,世界! hello",
    "안녕하세요 세계",
    "नमस्ते दुनिया",
    "Привет, мир",
    "مرحبا بالعالم",
    "Ω ΣΑΣ ß ﬁ ½ İ",
    "e\u0301 combining",
    "\u2581 mark",
    "a" * 100,
    "a" * 101,
    "x " + "b" * 150 + "! ok",
    "https://example.com/a/b?c=d&e=f#g",
    "<html><body>Hi</body></html>",
]


def mixed_texts(count: int, longest: int = 60) -> list[str]:
    draw = random.Random(count)
    return [" ".join(draw.choices(MIXED_WORDS, k=draw.randint(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def minilm(model_file: Callable[[str], Path]) -> Iterator[Embed4All]:
    with Embed4All(model_file("minilm"), n_threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def reference(model_file: Callable[[str], Path]) -> BertReference:
    return BertReference(model_file("minilm"))


# Exactness


def test_tokens_are_those_of_berts_own_tokenizer(minilm: Embed4All, reference: BertReference) -> None:
    draw = random.Random(1)
    pool = "abcxyzABC012 .,;:!?-_/\\'\"()[]{}éüñçßøπΩж中日한🙂🚀\t\n\x01\u200d"
    noise = ["".join(draw.choices(pool, k=draw.randint(1, 80))) for _ in range(200)]
    for text in [*TEXTS, *noise, *mixed_texts(20)]:
        # Another script's newest characters have no say here: both give one unknown word.
        assert minilm.gpt4all.tokenize(text) == reference.tokens(text), ascii(text)


def test_vectors(minilm: Embed4All, reference: BertReference) -> None:
    texts = [*TEXTS, *mixed_texts(12)]
    got = minilm.embed(texts, output="numpy")
    assert np.linalg.norm(got, axis=1) == pytest.approx(1.0, abs=1e-6)
    for text, vector in zip(texts, got, strict=True):
        assert same_direction(vector, reference.vector(text)) >= 0.9999, ascii(text)


def kernels_of_this_processor(monkeypatch: pytest.MonkeyPatch, file: Path) -> list[str]:
    """Every way that BERT can be computed here, as the engine lists them when it is asked for one it lacks."""
    monkeypatch.setenv("GPT4ALL_BERT_KERNELS", "none of them")
    with pytest.raises(ValueError, match="none of them") as error:
        Embed4All(file)
    return str(error.value).split("this processor has ")[1].split("\n")[0].split(", ")


def test_every_kind_of_arithmetic_gives_the_same_vectors(
    model_file: Callable[[str], Path], reference: BertReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*TEXTS, *mixed_texts(12), "word " * 500]
    wanted = [reference.vector(text) for text in texts]
    kinds = kernels_of_this_processor(monkeypatch, model_file("minilm"))
    assert kinds[-1] == "engine"
    for kind in kinds:
        monkeypatch.setenv("GPT4ALL_BERT_KERNELS", kind)
        with Embed4All(model_file("minilm"), n_threads=2) as model:
            together = model.embed(texts, output="numpy")
            for text, vector, right in zip(texts, together, wanted, strict=True):
                assert same_direction(vector, right) >= 0.9999, (kind, ascii(text[:40]))
                assert np.abs(vector - model.embed(text, output="numpy")).max() <= 1e-4, (kind, ascii(text[:40]))


@pytest.mark.parametrize("text", ["word " * 10_000, "word" * 10_000, "0" * 600 + " " + "中" * 1000])
def test_a_very_long_text(minilm: Embed4All, reference: BertReference, text: str) -> None:
    tokens = reference.tokens(text)
    starts = range(0, max(1, len(tokens) - 8), 502)
    chunks = [reference.vector_of([101, *tokens[start : start + 510], 102]) for start in (starts[0], starts[-1])]
    if len(starts) > 2:
        # All chunks between are full; where one word is repeated, they are the same.
        middle = reference.vector_of([101, *tokens[502 : 502 + 510], 102])
        chunks[1:1] = [middle] * (len(starts) - 2) if len(set(tokens)) == 1 else []
    got = minilm.embed(text, return_dict=True)
    assert got["n_prompt_tokens"] == len(tokens) + 8 * (len(starts) - 1)
    if len(chunks) == len(starts):
        assert same_direction(got["embeddings"], np.mean(chunks, axis=0)) >= 0.9999
    cut = minilm.embed(text, long_text_mode="truncate", return_dict=True)
    assert cut["n_prompt_tokens"] == min(510, len(tokens))
    assert same_direction(cut["embeddings"], chunks[0]) >= 0.9999


def test_prompt_tokens_are_counted_exactly(minilm: Embed4All, reference: BertReference) -> None:
    texts = [*TEXTS, *mixed_texts(20)]
    got = minilm.embed(texts, return_dict=True)
    assert got["n_prompt_tokens"] == sum(len(reference.tokens(text)) for text in texts)


def test_a_text_has_one_vector_whatever_its_neighbours(minilm: Embed4All) -> None:
    texts = [*TEXTS, *mixed_texts(24)]
    together = minilm.embed(texts, output="numpy")
    alone = np.array([minilm.embed(text) for text in texts])
    assert np.abs(together - alone).max() <= 1e-4
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)
    shuffled = minilm.embed([texts[place] for place in order], output="numpy")
    assert np.abs(shuffled - together[order]).max() <= 1e-4
    minilm.gpt4all.model.set_thread_count(1)
    try:
        one_thread = minilm.embed(texts, output="numpy")
    finally:
        minilm.gpt4all.model.set_thread_count(2)
    assert np.abs(one_thread - together).max() <= 1e-4


# Cancelling


def test_cancelling(minilm: Embed4All) -> None:
    texts = mixed_texts(40)
    calls: list[list[int]] = []

    def cancel(sizes: list[int], backend: str) -> bool:
        calls.append(sizes)
        return len(calls) == 3

    with pytest.raises(CancellationError):
        minilm.embed(texts, cancel_cb=cancel)
    assert len(calls) == 3
    assert [sum(sizes) for sizes in calls] == sorted((sum(sizes) for sizes in calls), reverse=True)
    assert sum(calls[0]) == sum(len(minilm.gpt4all.tokenize(text)) + 2 for text in texts)
    assert is_idle(minilm.gpt4all)
    assert len(minilm.embed("still there")) == 384


def test_closing_while_it_computes(model_file: Callable[[str], Path]) -> None:
    model = Embed4All(model_file("minilm"), n_threads=2)
    with pytest.raises(CancellationError, match="closed"):
        model.embed(mixed_texts(30), cancel_cb=lambda sizes, backend: model.close())
    assert not worker_threads()
