"""``Embed4All`` on the fake backend: results, arguments, cancelling, closing, threads."""

from __future__ import annotations

import math
import signal
import sys
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import gpt4all
from gpt4all import (
    CancellationError,
    Embed4All,
    EmbeddingError,
    EmbeddingInputError,
    GenerationError,
    UnsupportedModelError,
    embed4all,
)
from tests.support.fake.backend import FakeModel
from tests.support.fake.helpers import AT_GATE, EngineLog, Task, is_idle, wait_until, worker_threads

WIDTH = 64
LoadEmbedder = Callable[..., Embed4All]


@pytest.fixture
def embedder(fake_backend: Path, fake_model: FakeModel) -> Iterator[LoadEmbedder]:
    """``embedder(**directives)`` loads a scripted embedding model; ``options=`` go to ``Embed4All``."""
    made: list[Embed4All] = []

    def load(options: dict[str, Any] | None = None, **directives: Any) -> Embed4All:
        directives = {"architecture": "bert", "traits": "encoder embedding", "name": "all-MiniLM-L6-v2", **directives}
        made.append(Embed4All(fake_model(**directives), **{"n_threads": 1, **(options or {})}))
        return made[-1]

    yield load
    for each in made:
        each.close()
    assert not worker_threads(), "threads that outlive the models"


def length(vector: list[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in vector))


# Results


def test_one_text_gives_one_vector(embedder: LoadEmbedder) -> None:
    vector = embedder().embed("Hello")
    assert isinstance(vector, list)
    assert len(vector) == WIDTH
    assert all(isinstance(value, float) for value in vector)
    assert length(vector) == pytest.approx(1.0, abs=1e-6)


def test_several_texts_give_vectors_in_their_order(embedder: LoadEmbedder) -> None:
    model = embedder()
    texts = [("ab" * number)[: 3 * number % 17 + 1] for number in range(1, 21)]
    assert model.embed(texts) == [model.embed(text) for text in texts]
    assert model.embed(tuple(texts)) == model.embed(texts) == model.embed(iter(texts))


def test_nothing_gives_nothing(embedder: LoadEmbedder) -> None:
    model = embedder()
    assert model.embed([]) == []
    assert model.embed([], return_dict=True) == {"embeddings": [], "n_prompt_tokens": 0}


def test_a_model_is_known_by_its_header(embedder: LoadEmbedder) -> None:
    metadata = {"general.base_model.0.repo_url": "https://hub.invalid/intfloat/e5-small-v2"}
    model = embedder(name="snapshot", metadata=metadata)
    assert model.embed("Hello") == model.embed("Hello", prefix="passage")
    with pytest.raises(EmbeddingInputError, match="prefix must be given"):
        embedder(name="snapshot").embed("Hello")


class Table:
    columns = ("text",)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (Table(), r"not Table; give one column of it, as table\['text'\]"),
        ({"a": "b"}, r"not dict; give list\(text.values\(\)\)"),
        ({"a", "b"}, r"give sorted\(text\)"),
        (b"a", r"not bytes; give text.decode\(\)"),
        (Path("notes.txt"), r"give text.read_text\(\)"),
        (5, "not int"),
        (["a", 5], r"text\[1\] must be a str, not int"),
        ([["a"]], r"text\[0\] must be a str, not list"),
    ],
)
def test_what_is_no_text_is_refused_with_a_hint(embedder: LoadEmbedder, text: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        embedder().embed(text)


def test_arrays_of_text(embedder: LoadEmbedder) -> None:
    np = pytest.importorskip("numpy")
    model = embedder()
    assert model.embed(np.array(["a", "b"])) == model.embed(["a", "b"])
    with pytest.raises(TypeError, match="not ndarray; give one column"):
        model.embed(np.array([["a", "b"]]))


def test_an_empty_text_has_a_vector_in_a_list(embedder: LoadEmbedder) -> None:
    model = embedder()
    with pytest.raises(ValueError, match=r"text is empty; .* embed\(\[''\]\)"):
        model.embed("")
    assert length(model.embed(["", "a"])[0]) == pytest.approx(1.0, abs=1e-6)
    assert length(embedder(add_bos=0).embed([""])[0]) == pytest.approx(1.0, abs=1e-6)


def test_return_dict_counts_text_tokens_only(embedder: LoadEmbedder) -> None:
    # The fake's tokens are bytes; it adds a begin token, which does not count.
    model = embedder(name="e5-small")
    assert model.embed("Hello", return_dict=True)["n_prompt_tokens"] == 5 + 1  # the space behind the prefix
    one = embedder().embed("Hello", return_dict=True)
    assert one["n_prompt_tokens"] == 5
    assert len(one["embeddings"]) == WIDTH
    assert embedder().embed(["Hello", "abc"], return_dict=True)["n_prompt_tokens"] == 8


def test_numpy(embedder: LoadEmbedder) -> None:
    np = pytest.importorskip("numpy")
    model = embedder()
    texts = ["one", "two", "three"]
    rows = model.embed(texts, output="numpy")
    assert rows.dtype == np.float32
    assert rows.shape == (3, WIDTH)
    assert rows.tolist() == model.embed(texts)
    assert model.embed("one", output="numpy").tolist() == model.embed("one")
    assert model.embed([], output="numpy").shape == (0, WIDTH)
    assert model.embed(texts, output="numpy", return_dict=True)["embeddings"].shape == (3, WIDTH)


def test_numpy_is_optional(embedder: LoadEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    model = embedder()
    with pytest.raises(ImportError, match="pip install numpy"):
        model.embed("a", output="numpy")
    assert len(model.embed("a")) == WIDTH


def test_long_texts_are_averaged_or_cut(embedder: LoadEmbedder) -> None:
    model = embedder(n_ctx_train=41)  # 40 of a text
    long = "".join(chr(65 + number % 26) for number in range(100))
    parts = [long[:40], long[32:72], long[64:100]]
    chunks = [model.embed(part) for part in parts]
    mean = [math.fsum(column) for column in zip(*chunks, strict=True)]
    got = model.embed(long, return_dict=True)
    assert got["embeddings"] == pytest.approx([value / length(mean) for value in mean], abs=1e-6)
    assert got["n_prompt_tokens"] == 40 + 40 + 36
    cut = model.embed(long, long_text_mode="truncate", return_dict=True)
    assert cut == {"embeddings": chunks[0], "n_prompt_tokens": 40}


def test_n_ctx_bounds_a_chunk_too(embedder: LoadEmbedder) -> None:
    model = embedder({"n_ctx": 21})
    assert model.embed("a" * 50, return_dict=True)["n_prompt_tokens"] == 20 + 20 + 20 + 14


def test_prefixes_go_in_front_with_a_colon(embedder: LoadEmbedder) -> None:
    known, plain = embedder(name="e5-small"), embedder()
    assert known.embed("text", prefix="query") == plain.embed("query: text")
    assert known.embed("text") == plain.embed("passage: text")
    with pytest.raises(EmbeddingInputError, match="'passage' or 'query'"):
        known.embed("text", prefix="none such")
    unknown = embedder(name="my own")
    assert unknown.embed("text", prefix="any") == plain.embed("any: text")
    assert unknown.embed("text", prefix="") == plain.embed("text")
    with pytest.raises(EmbeddingInputError, match="prefix must be given"):
        unknown.embed("text")
    assert embedder(name="x", basename="all-MiniLM-L6-v2").embed("text") == plain.embed("text")


def test_every_chunk_has_the_prefix(embedder: LoadEmbedder) -> None:
    known = embedder(name="e5-small", n_ctx_train=50)
    text = "abcdefghij" * 8
    room = 50 - 1 - len("passage:")
    got = known.embed(text, return_dict=True)
    # The space behind the prefix is the text's.
    assert got["n_prompt_tokens"] == room + room + (len(text) + 1 - 2 * (room - 8))


def test_shortened_vectors(embedder: LoadEmbedder) -> None:
    model = embedder(name="nomic-embed-text-v1.5", n_embd=96)
    vector = model.embed("Hello", dimensionality=80)
    assert len(vector) == 80
    assert length(vector) == pytest.approx(1.0, abs=1e-6)
    assert model.embed("Hello", dimensionality=96) == model.embed("Hello")
    with pytest.warns(UserWarning, match="dimensionality 63 is less than 64"):
        assert len(model.embed("Hello", dimensionality=63)) == 63
    for wrong in (0, -1, 97):
        with pytest.raises(ValueError, match="dimensionality"):
            model.embed("Hello", dimensionality=wrong)
    with pytest.raises(EmbeddingInputError, match="dimensionality must be 64 or None"):
        embedder().embed("Hello", dimensionality=32)


def test_atlas(embedder: LoadEmbedder) -> None:
    model = embedder()
    with pytest.raises(EmbeddingInputError, match=r"text\[1\] has 8193 tokens"):
        model.embed(["a", "a" * 8193], atlas=True)
    assert model.embed("a" * 8192, atlas=True, long_text_mode="mean") == model.embed("a" * 8192)
    cut = model.embed("a" * 9000, atlas=True, long_text_mode="truncate", return_dict=True)
    assert cut["n_prompt_tokens"] == 2047


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"text": None}, ValueError, "text"),
        ({"text": 5}, TypeError, "text"),
        ({"text": b"abc"}, TypeError, "text"),
        ({"text": {"a": 1}}, TypeError, "text"),
        ({"text": ["a", None]}, TypeError, r"text\[1\]"),
        ({"text": ["a", "b", "\ud800"]}, ValueError, r"text\[2\]"),
        ({"prefix": 3}, TypeError, "prefix"),
        ({"prefix": "\ud800"}, ValueError, "prefix"),
        ({"dimensionality": 0}, ValueError, "dimensionality"),
        ({"dimensionality": 64.0}, TypeError, "dimensionality"),
        ({"dimensionality": True}, TypeError, "dimensionality"),
        ({"long_text_mode": "median"}, ValueError, "long_text_mode"),
        ({"long_text_mode": None}, TypeError, "long_text_mode"),
        ({"return_dict": "yes"}, TypeError, "return_dict"),
        ({"atlas": None}, TypeError, "atlas"),
        ({"cancel_cb": 5}, TypeError, "cancel_cb"),
        ({"output": "torch"}, ValueError, "output"),
        ({"progress": "yes"}, TypeError, "progress"),
    ],
)
def test_bad_arguments(embedder: LoadEmbedder, arguments: dict[str, Any], error: type[Exception], name: str) -> None:
    model = embedder(fail_embed=(0, "DECODE", "the engine was reached"))
    with pytest.raises(error, match=name):
        model.embed(**{"text": ["a"], **arguments})


def test_what_makes_no_embeddings(embedder: LoadEmbedder) -> None:
    with pytest.raises(UnsupportedModelError, match="text-generation model"):
        embedder(traits="decoder can_shift")
    with pytest.raises(UnsupportedModelError, match="reranker"):
        embedder(pooling=4)


def test_the_model_underneath(embedder: LoadEmbedder) -> None:
    model = embedder()
    assert isinstance(model.gpt4all, gpt4all.GPT4All)
    assert model.gpt4all.backend == "cpu"
    assert Embed4All.MIN_DIMENSIONALITY == 64
    with pytest.raises(UnsupportedModelError, match="embedding model"):
        model.gpt4all.generate("x")
    assert gpt4all.gpt4all.Embed4All is Embed4All


def test_the_default_model(fake_backend: Path, fake_model: FakeModel, tmp_path: Path) -> None:
    fake_model(traits="encoder embedding", architecture="bert").rename(tmp_path / embed4all.DEFAULT_EMBEDDING_MODEL)
    with Embed4All(model_path=tmp_path, allow_download=False) as model:
        assert model.gpt4all.config["filename"] == "all-MiniLM-L6-v2.gguf2.f16.gguf"


def test_engine_failures(embedder: LoadEmbedder) -> None:
    model = embedder(fail_embed=(1, "DECODE", "out of ideas"))
    with pytest.raises(EmbeddingError, match="out of ideas"):
        model.embed(["a", "b", "c"])
    assert len(model.embed(["a", "b"])) == 2


# Long inputs


def test_generators_are_read_as_the_work_goes_on(embedder: LoadEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4all.embeddings.texts._WINDOW_TEXTS", 4)
    model = embedder()
    events: list[str] = []

    class Text(str):
        """A ``str`` that can be referred to weakly."""

    alive: list[weakref.ref[Text]] = []

    def texts() -> Iterator[str]:
        for number in range(10):
            text = Text(f"text {number}")
            alive.append(weakref.ref(text))
            events.append("read")
            yield text
            del text

    vectors = model.embed(texts(), cancel_cb=lambda sizes, backend: events.append(f"{len(sizes)} left"))
    assert vectors == model.embed([f"text {number}" for number in range(10)])
    one = ["read"] * 4 + ["2 left", "1 left"]
    assert events == [*one, *one, "read", "read", "1 left"]
    assert not any(reference() for reference in alive)


def test_a_window_is_bounded_by_tokens_too(embedder: LoadEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4all.embeddings.texts._WINDOW_TOKENS", 10)
    sizes: list[list[int]] = []
    embedder(batch_texts=8).embed(["aaaa", "bbb", "cc", "d"], cancel_cb=lambda left, backend: sizes.append(left))
    assert sizes == [[5 + 4 + 3], [2]]


def test_progress(embedder: LoadEmbedder, capsys: pytest.CaptureFixture[str]) -> None:
    embedder().embed(["a", "b", "c"])
    assert capsys.readouterr().err == ""
    embedder().embed(["a", "b", "c"], progress=True)
    assert "3/3" in capsys.readouterr().err


# Cancelling


def test_cancel_cb_gets_the_batches_still_to_do(embedder: LoadEmbedder) -> None:
    calls: list[tuple[list[int], str, int]] = []

    def cancel(sizes: list[int], backend: str) -> bool:
        calls.append((sizes, backend, threading.get_ident()))
        return False

    embedder().embed(["a", "bb", "ccc", "dddd", "eeeee"], cancel_cb=cancel)
    here = threading.get_ident()
    assert calls == [([11, 7, 2], "cpu", here), ([7, 2], "cpu", here), ([2], "cpu", here)]


@pytest.mark.parametrize("answer", [True, 1, "stop"])
def test_a_true_answer_cancels(embedder: LoadEmbedder, answer: object) -> None:
    model = embedder()
    calls: list[list[int]] = []

    def cancel(sizes: list[int], backend: str) -> object:
        calls.append(sizes)
        return answer if len(calls) == 2 else None

    with pytest.raises(CancellationError):
        model.embed(["a", "bb", "ccc", "dddd", "eeeee"], cancel_cb=cancel)
    assert len(calls) == 2
    assert len(model.embed("a")) == WIDTH


def test_an_exception_in_cancel_cb_is_raised(embedder: LoadEmbedder) -> None:
    model = embedder()

    def cancel(sizes: list[int], backend: str) -> bool:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        model.embed(["a", "b", "c"], cancel_cb=cancel)
    assert len(model.embed("a")) == WIDTH


def test_the_model_refuses_calls_from_its_own_callback(embedder: LoadEmbedder) -> None:
    model = embedder()
    with pytest.raises(GenerationError, match="in the middle of a call"):
        model.embed("a", cancel_cb=lambda sizes, backend: bool(model.embed("b")))


@pytest.mark.skipif(sys.platform == "win32", reason="needs pthread_kill")
def test_ctrl_c(embedder: LoadEmbedder, engine_log: EngineLog) -> None:
    model = embedder(wait_cancel_in_batch=1)
    main = threading.get_ident()

    def interrupt() -> None:
        engine_log.wait_for(AT_GATE)
        signal.pthread_kill(main, signal.SIGINT)

    helper = Task(interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.embed(["a", "b", "c"])
    helper.result()
    assert is_idle(model.gpt4all)
    assert len(model.embed(["a", "b"])) == 2


def test_close_from_another_thread(embedder: LoadEmbedder, engine_log: EngineLog) -> None:
    model = embedder(wait_cancel_in_batch=1)
    task = Task(lambda: model.embed(["a", "b", "c"]))
    engine_log.wait_for(AT_GATE)
    model.close()
    with pytest.raises(CancellationError, match="closed"):
        task.result()
    with pytest.raises(ValueError, match="closed"):
        model.embed("a")
    with pytest.raises(ValueError, match="closed"):
        model.embed([])


def test_close_between_two_windows_of_texts(embedder: LoadEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4all.embeddings.texts._WINDOW_TEXTS", 2)
    model = embedder()

    def texts() -> Iterator[str]:
        for number in range(10):
            if number == 5:
                Task(model.close).result()
            yield "text"

    with pytest.raises(CancellationError, match="closed"):
        model.embed(texts())


def test_close_while_an_embedding_waits_for_its_turn(embedder: LoadEmbedder, engine_log: EngineLog) -> None:
    model = embedder(wait_cancel_in_batch=0)
    first = Task(lambda: model.embed("a"))
    engine_log.wait_for(AT_GATE)
    second = Task(lambda: model.embed("b"))
    wait_until(lambda: len(model.gpt4all._loaded._worker._line) == 2)
    model.close()
    for task in (first, second):
        with pytest.raises(CancellationError, match="closed"):
            task.result()


def test_close_in_the_callback(embedder: LoadEmbedder) -> None:
    model = embedder()
    with pytest.raises(CancellationError, match="closed"):
        model.embed(["a", "b", "c"], cancel_cb=lambda sizes, backend: model.close())
    wait_until(lambda: model.gpt4all._loaded._native._handle.value is None)


def test_threads_take_turns(embedder: LoadEmbedder) -> None:
    model = embedder()
    texts = [f"text {number}" for number in range(8)]
    wanted = model.embed(texts)
    tasks = [Task(partial(model.embed, text)) for text in texts * 10]
    assert [task.result() for task in tasks] == wanted * 10


def test_a_closing_context(embedder: LoadEmbedder) -> None:
    with embedder() as model:
        model.embed("a")
    model.close()
    with pytest.raises(ValueError, match="closed"):
        model.embed("a")


def test_the_session_hands_arrays_on(embedder: LoadEmbedder, engine_log: EngineLog) -> None:
    model = embedder(log_calls=1)
    rows = model.gpt4all._loaded.embed(array("i", [5, 6]), array("i", [1, 1]), normalize=False)
    assert len(rows) == 2 * WIDTH
    assert "normalize=0" in engine_log.wait_for("embed n_texts=2")


def test_a_callbacks_stop_iteration_is_raised_as_it_is(embedder: LoadEmbedder) -> None:
    def stop(sizes: list[int], backend: str) -> bool:
        raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        embedder().embed(["a"], cancel_cb=stop)
