"""One engine's run over a corpus, as a program of its own: JSON in, vectors and times out.

The engines stay out of each other's processes, and so does what they leave behind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpt4all.corpora import EmbedTexts

#: Texts in a batch, for every engine.
BATCH = 256


class LoggedEmbedTexts(EmbedTexts):
    """Writes down who did a batch, and when: a line each of process, rows, time and resident kilobytes."""

    def __init__(self, log: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._log = log

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        begun = time.time()
        result = super().__call__(batch)
        resident = next(
            int(line.split()[1])
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )
        line = {
            "pid": os.getpid(),
            "rows": len(batch["text"]),
            "begun": begun,
            "ended": time.time(),
            "resident_kb": resident,
        }
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return result


def one_process(embed: EmbedTexts, texts: list[str], workers: int) -> Iterator[Mapping[str, Any]]:
    """No engine: what the others are compared with."""
    for begin in range(0, len(texts), BATCH):
        part = texts[begin : begin + BATCH]
        yield embed({"id": list(range(begin, begin + len(part))), "text": part})


def ray_data(embed: EmbedTexts, texts: list[str], workers: int) -> Iterator[Mapping[str, Any]]:
    """Ray Data: a pool of actors with one CPU each."""
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        rows = ray.data.from_items([{"id": number, "text": text} for number, text in enumerate(texts)])
        done = rows.map_batches(
            _Actor,
            fn_constructor_args=[embed],
            batch_size=BATCH,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        yield from done.iter_batches(batch_size=BATCH)
    finally:
        ray.shutdown()


class _Actor:
    """Ray Data wants a class, and makes its object in the worker."""

    def __init__(self, embed: EmbedTexts) -> None:
        self._embed = embed

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._embed(batch)


def spark_map_in_pandas(embed: EmbedTexts, texts: list[str], workers: int) -> Iterator[Mapping[str, Any]]:
    """Spark: an iterator of data frames for each partition."""
    import pandas as pd

    def embed_frames(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            yield pd.DataFrame({"id": frame["id"], "embedding": list(embed(frame)["embedding"])})

    with _spark(workers) as session:
        rows = session.createDataFrame(pd.DataFrame({"id": range(len(texts)), "text": texts}))
        done = rows.repartition(4 * workers).mapInPandas(embed_frames, "id long, embedding array<float>")
        yield _columns(done)


def spark_predict_batch(embed: EmbedTexts, texts: list[str], workers: int) -> Iterator[Mapping[str, Any]]:
    """Spark: a function of columns for inference in batches."""
    import pandas as pd
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType

    def make_predict() -> Callable[[Any], Any]:
        return lambda column: embed({"text": column})["embedding"]

    vectors = predict_batch_udf(make_predict, return_type=ArrayType(FloatType()), batch_size=BATCH)
    with _spark(workers) as session:
        rows = session.createDataFrame(pd.DataFrame({"id": range(len(texts)), "text": texts}))
        done = rows.repartition(4 * workers).select("id", vectors("text").alias("embedding"))
        yield _columns(done)


def _spark(workers: int) -> Any:
    from pyspark.sql import SparkSession

    # A task may fail, or its worker be killed, four times before the job does.
    session = SparkSession.builder.master(f"local[{workers},4]").config("spark.ui.enabled", "false")
    session = session.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    return session.config("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH).getOrCreate()


def _columns(done: Any) -> dict[str, Any]:
    frame = done.toPandas()
    return {"id": frame["id"].to_numpy(), "embedding": np.stack(frame["embedding"].to_numpy())}


def datasets_map(embed: EmbedTexts, texts: list[str], workers: int) -> Iterator[Mapping[str, Any]]:
    """Hugging Face's datasets: a pool of forked processes."""
    import datasets

    datasets.disable_progress_bars()
    datasets.disable_caching()
    rows = datasets.Dataset.from_dict({"id": range(len(texts)), "text": texts})
    done = rows.map(embed, batched=True, batch_size=BATCH, num_proc=workers).with_format("numpy")
    for begin in range(0, len(done), 4096):
        yield done[begin : begin + 4096]


ENGINES: dict[str, Callable[[EmbedTexts, list[str], int], Iterator[Mapping[str, Any]]]] = {
    "one process": one_process,
    "ray": ray_data,
    "spark mapInPandas": spark_map_in_pandas,
    "spark predict_batch_udf": spark_predict_batch,
    "datasets": datasets_map,
}


def main() -> None:
    spec = json.load(sys.stdin)
    texts = Path(spec["texts"]).read_text(encoding="utf-8").splitlines()
    # What no engine assigns is one thread here, so that all runs are of one worker's.
    n_threads = 1 if spec["engine"] == "one process" else None
    embed = LoggedEmbedTexts(spec["log"], spec["model"], n_threads=n_threads)
    vectors: Any = None
    seen = 0
    for batch in ENGINES[spec["engine"]](embed, texts, spec["workers"]):
        rows = np.asarray(batch["embedding"], dtype=np.float32)
        if vectors is None:
            vectors = np.zeros((len(texts), rows.shape[1]), dtype=np.float32)
        vectors[np.asarray(batch["id"])] = rows
        seen += len(rows)
    if seen != len(texts):
        raise ValueError(f"{seen} rows came of {len(texts)}")
    np.save(spec["vectors"], vectors)
