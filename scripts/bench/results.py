"""What was measured: samples by quantity and subject, and how they become one figure."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "COMPUTED",
    "COUNTS",
    "GPT4ALL_OLD",
    "GPT4ALL_OLD_128",
    "LLAMA_BENCH",
    "LLAMA_CPP_PYTHON",
    "LLAMA_SERVER",
    "MODELS_TOGETHER",
    "NATIVE",
    "ONNX_RUNTIME",
    "OURS",
    "OURS_CALLED",
    "OURS_ONE_THREAD",
    "QUANTITIES",
    "SCALES",
    "SENTENCE_TRANSFORMERS",
    "SERVED_COUNTS",
    "SUBJECTS",
    "XLLAMACPP",
    "Quantity",
    "Results",
    "Scale",
]

OURS = "ours"
LLAMA_BENCH = "llama.cpp"
LLAMA_CPP_PYTHON = "llama-cpp-python"
SENTENCE_TRANSFORMERS = "sentence-transformers"
ONNX_RUNTIME = "ONNX Runtime"
GPT4ALL_OLD = "gpt4all 2.8.2"
GPT4ALL_OLD_128 = "gpt4all 2.8.2, n_batch=128"
LLAMA_SERVER = "llama-server"
XLLAMACPP = "xllamacpp"
OURS_CALLED = "ours, without HTTP"
OURS_ONE_THREAD = "ours, one thread"
COMPUTED = "computed beforehand"
NATIVE = "native build"

#: In the order they are compared in.
SUBJECTS = (
    *(OURS, NATIVE, OURS_CALLED, OURS_ONE_THREAD, COMPUTED, LLAMA_BENCH, LLAMA_SERVER, LLAMA_CPP_PYTHON, XLLAMACPP),
    *(SENTENCE_TRANSFORMERS, ONNX_RUNTIME, GPT4ALL_OLD, GPT4ALL_OLD_128),
)

#: How many requests are computed together.
COUNTS = (1, 2, 4, 8, 16)
#: How many clients of a server there are.
SERVED_COUNTS = (1, 4, 8, 16)
#: The models that many callers use, by their keys in quantities.
MODELS_TOGETHER = {"smollm2": "SmolLM2", "gemma3": "Gemma 3"}


@dataclass(frozen=True)
class Scale:
    """What a speed is measured against."""

    title: str
    axis: str
    values: tuple[int, ...]


#: The last prompt leaves room for the answer in a context of 8,192 tokens.
SCALES = {
    "prompt": Scale("prompt", "tokens of the prompt", (16, 64, 256, 1024, 2048, 8128)),
    "batch": Scale("prompt of 512 tokens", "tokens computed at once", (32, 128, 512)),
    "answer": Scale("generation", "tokens of the answer", (16, 128, 512, 2048)),
    "threads": Scale("generation", "threads", (1, 2, 4, 8)),
    "model": Scale("generation", "millions of parameters", (135, 270, 1100)),
}


@dataclass(frozen=True)
class Quantity:
    """Something measured, with how its samples are summed up.

    ``best`` suits work that noise can only slow down; ``median`` suits what
    varies by itself; ``worst`` suits promises.
    """

    key: str
    title: str
    unit: str
    more_is_better: bool
    summary: Literal["best", "median", "worst"]

    def summarize(self, samples: Iterable[float]) -> float:
        values = list(samples)
        if self.summary == "median":
            return statistics.median(values)
        return max(values) if self.more_is_better == (self.summary == "best") else min(values)


def _together() -> Iterator[Quantity]:
    for key, name in MODELS_TOGETHER.items():
        for count in COUNTS:
            yield Quantity(f"many.{key}.{count}", f"{name}, generation, {count} together", "tokens/s", True, "best")
        for count in SERVED_COUNTS:
            title = f"{name}, served over HTTP, {count} client{'s' if count > 1 else ''}"
            yield Quantity(f"served.{key}.{count}", title, "tokens/s", True, "best")
        yield Quantity(f"mixed.{key}.total", f"{name}, mixed load, all of it", "s", False, "median")
        yield Quantity(f"mixed.{key}.first", f"{name}, mixed load, first token, median", "ms", False, "median")
        yield Quantity(f"mixed.{key}.first.p95", f"{name}, mixed load, first token, p95", "ms", False, "median")
        yield Quantity(f"question.{key}", f"{name}, question beside a long prompt", "steps", False, "worst")
        yield Quantity(f"idle.{key}", f"{name}, 15 more sequences, idle", "MB", False, "median")
    yield Quantity("busy.generation", "busy machine, generation", "tokens/s", True, "best")
    yield Quantity("busy.prompt", "busy machine, prompt of 512 tokens", "tokens/s", True, "best")
    yield Quantity("busy.embed", "busy machine, sentences one by one", "texts/s", True, "best")


def _scaling() -> Iterator[Quantity]:
    for name, scale in SCALES.items():
        for value in scale.values:
            yield Quantity(f"scale.{name}.{value}", f"{scale.title}, {scale.axis} {value}", "tokens/s", True, "best")


QUANTITIES = {
    quantity.key: quantity
    for quantity in (
        Quantity("generation.greedy", "generation, greedy", "tokens/s", True, "best"),
        Quantity("generation.sampled", "generation, default sampling", "tokens/s", True, "best"),
        Quantity("prompt", "prompt of 512 tokens", "tokens/s", True, "best"),
        Quantity("import", "import, above bare Python", "ms", False, "median"),
        Quantity("load", "first load of a process", "ms", False, "median"),
        Quantity("load.again", "a later load", "ms", False, "median"),
        Quantity("memory.loaded", "resident after loading", "MB", False, "median"),
        Quantity("memory.peak", "highest resident memory, prompt and tokens", "MB", False, "median"),
        Quantity("stop.stream", "close() of a stream", "tokens", False, "worst"),
        Quantity("stop.stream.median", "close() of a stream, median", "tokens", False, "median"),
        Quantity("stop.prompt", "stop inside a prompt", "batches", False, "worst"),
        Quantity("stop.prompt.median", "stop inside a prompt, median", "batches", False, "median"),
        Quantity("overhead.fake", "one streamed token, engine without work", "µs", False, "best"),
        Quantity("overhead.paced", "one streamed token, engine that sleeps", "µs", False, "median"),
        Quantity("overhead.real", "one streamed token, above the same engine without callback", "µs", False, "median"),
        Quantity("embed", "embeddings, 256 mixed texts in one call", "texts/s", True, "best"),
        Quantity("embed.single", "embeddings, one by one", "texts/s", True, "best"),
        *_together(),
        *_scaling(),
        Quantity("stress.generate", "growth over the last half of the generate calls", "%", False, "worst"),
        Quantity("stress.load", "growth over the last half of the load/close cycles", "%", False, "worst"),
    )
}


@dataclass
class Results:
    """Samples of one run; ``noise`` is the share of the processors that others used meanwhile."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    noise: dict[str, list[float]] = field(default_factory=dict)

    def add(self, subject: str, values: dict[str, list[float]], noise: float | None = None) -> None:
        for key, new in values.items():
            if key not in QUANTITIES:
                raise KeyError(f"unknown quantity {key!r}")
            self.samples.setdefault(key, {}).setdefault(subject, []).extend(new)
            if noise is not None:
                self.noise.setdefault(key, []).append(noise)

    def update(self, others: Results) -> None:
        """Adds the quantities that are not here yet."""
        for key in others.samples.keys() - self.samples.keys():
            self.samples[key] = others.samples[key]
            self.noise[key] = others.noise[key]

    def value(self, key: str, subject: str = OURS) -> float | None:
        """The one figure of a subject, ``None`` where nothing was measured."""
        samples = self.samples.get(key, {}).get(subject)
        return QUANTITIES[key].summarize(samples) if samples else None

    def ratio(self, key: str, peer: str) -> float | None:
        """Ours divided by the peer's."""
        ours, theirs = self.value(key), self.value(key, peer)
        return None if ours is None or not theirs else ours / theirs

    def spread(self, key: str, subject: str) -> float | None:
        """How far the middle half of the samples reaches, as a share of their median; ``None`` for fewer than three."""
        samples = self.samples.get(key, {}).get(subject, [])
        if len(samples) < 3:
            return None
        low, middle, high = statistics.quantiles(samples, n=4)
        return (high - low) / abs(middle) if middle else None

    def subjects(self, keys: Collection[str] = QUANTITIES) -> list[str]:
        """Those measured, ours first, in the order they are compared in."""
        measured = {subject for key, by_subject in self.samples.items() if key in keys for subject in by_subject}
        return [subject for subject in SUBJECTS if subject in measured]
