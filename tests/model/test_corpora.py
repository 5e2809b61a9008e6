"""Jobs over corpora as the engines use them: pickled, in processes of pools, batch by batch."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt4all import Embed4All, UnsupportedModelError, corpora
from gpt4all.corpora import EmbedTexts, GenerateTexts

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.model

TEXTS = ["The sky is blue.", "Grass is green.", "", "The cat has had young. " * 200]
ModelFile = Callable[[str], Path]


@pytest.fixture
def embed(model_file: ModelFile) -> Iterator[EmbedTexts]:
    job = EmbedTexts(model_file("minilm"), n_threads=1)
    yield job
    job.close()


@pytest.fixture
def answer(model_file: ModelFile) -> Iterator[Callable[..., GenerateTexts]]:
    jobs: list[GenerateTexts] = []

    def make(**options: Any) -> GenerateTexts:
        options = {"temp": 0, "max_tokens": 12, "n_threads": 1, "load": {"n_ctx": 256, "n_parallel": 2}, **options}
        jobs.append(GenerateTexts(model_file("smollm2"), **options))
        return jobs[-1]

    yield make
    for job in jobs:
        job.close()


def in_a_pool(job: EmbedTexts, batch: dict[str, Any]) -> Any:
    """What another process makes of the batch, and with how many threads."""
    result = job(batch)
    return result, job._model().gpt4all.model.thread_count()


def test_vectors_are_those_of_embed4all(embed: EmbedTexts, model_file: ModelFile) -> None:
    batch = {"id": np.arange(4), "text": np.array(TEXTS)}
    result = embed(batch)
    with Embed4All(model_file("minilm"), n_threads=1) as embedder:
        expected = embedder.embed(TEXTS, output="numpy")
    assert result["embedding"].dtype == np.float32
    np.testing.assert_allclose(result["embedding"], expected, atol=1e-5)
    assert list(result) == ["id", "text", "embedding"]
    assert result["id"] is batch["id"]
    assert list(batch) == ["id", "text"]


def test_columns_have_any_names_and_may_be_lists(model_file: ModelFile) -> None:
    job = EmbedTexts(model_file("minilm"), column="body", output="vector", n_threads=1, prefix="")
    try:
        assert job({"body": TEXTS})["vector"].shape == (4, 384)
        assert job({"body": []})["vector"].shape == (0, 384)
    finally:
        job.close()


def test_a_pickled_job_is_small_and_does_the_same(embed: EmbedTexts) -> None:
    before = embed({"text": TEXTS[:2]})["embedding"]
    pickled = pickle.dumps(embed)
    assert len(pickled) < 1000
    other = pickle.loads(pickled)
    # In this process they share the model.
    assert other._model() is embed._model()
    np.testing.assert_array_equal(other({"text": TEXTS[:2]})["embedding"], before)


def test_a_closed_job_loads_its_model_again(embed: EmbedTexts) -> None:
    first = embed._model()
    embed.close()
    embed.close()
    assert first.gpt4all._loaded.closed
    assert embed({"text": TEXTS[:1]})["embedding"].shape == (1, 384)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()])
def test_a_process_of_a_pool_takes_one_thread(model_file: ModelFile, method: str) -> None:
    job = EmbedTexts(model_file("minilm"))
    here = job({"text": TEXTS[:2]})["embedding"]
    try:
        with multiprocessing.get_context(method).Pool(1) as pool:
            result, n_threads = pool.apply(in_a_pool, (job, {"text": TEXTS[:2]}))
    finally:
        job.close()
    assert n_threads == 1
    np.testing.assert_allclose(result["embedding"], here, atol=1e-5)


@pytest.mark.parametrize(
    ("assigned", "expected"), [("3", 3), ("2,1", 2), ("", None), ("0", None), ("-1", None), ("many", None)]
)
def test_threads_are_what_the_engine_assigns(
    monkeypatch: pytest.MonkeyPatch, assigned: str, expected: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", assigned)
    assert corpora.assigned_threads() == expected


def test_answers_come_with_why_they_ended(answer: Callable[..., GenerateTexts]) -> None:
    job = answer(system_prompt="You are brief.", max_tokens=3)
    result = job({"prompt": ["What is the capital of France?", "word " * 2000, "Say hello."]})
    assert result["answer_finish_reason"].tolist()[::2] == ["length", "length"]
    assert result["answer_finish_reason"][1] is None
    assert [error is None for error in result["answer_error"]] == [True, False, True]
    assert result["answer_error"][1].startswith("ContextWindowExceededError: ")
    assert all(text.strip() for text in result["answer"].tolist()[::2])


def test_answers_keep_to_a_schema(answer: Callable[..., GenerateTexts]) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    result = answer(json_schema=schema, max_tokens=40, output="json")({"prompt": np.array(["The sky?", "Blood?"])})
    assert result["json_error"].tolist() == [None, None]
    assert all(json.loads(text)["colour"] in ("red", "blue") for text in result["json"])


def test_a_text_is_continued_without_chat(answer: Callable[..., GenerateTexts]) -> None:
    assert answer(chat=False, max_tokens=2)({"prompt": ["The opposite of hot is"]})["answer"].tolist() == [" cold."]


def test_what_is_wrong_is_named(embed: EmbedTexts, model_file: ModelFile) -> None:
    with pytest.raises(KeyError, match="no column 'text', but id, body"):
        embed({"id": [1], "body": ["x"]})
    with pytest.raises(TypeError, match="row 1 of column 'text' must be a str, not NoneType"):
        embed({"text": ["x", None]})
    for text in ("a row and no batch", np.array("the same"), 5):
        with pytest.raises(
            TypeError, match="column 'text' must have a text for each row, not be one (str|int): .*batched"
        ):
            embed({"text": text})
    with pytest.raises(TypeError, match="batch must have columns by name.*not list"):
        embed(["x"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="EmbedTexts decides return_dict itself"):
        EmbedTexts(return_dict=True)
    with pytest.raises(TypeError, match="GenerateTexts decides as_completed itself"):
        GenerateTexts("model.gguf", as_completed=True)
    with pytest.raises(ValueError, match="system_prompt needs chat=True"):
        GenerateTexts("model.gguf", chat=False, system_prompt="x")
    with pytest.raises(TypeError, match="column must be a str"):
        EmbedTexts(column=1)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModelError):
        EmbedTexts(model_file("smollm2"), n_threads=1)({"text": ["x"]})
