"""What ``scripts/dev fuzz load`` runs in a process of its own: broken model files, as far as the preflight lets them.

    python -m robustness.mutate FILE SEED

Each file is written to FILE before it is loaded, so that the parent finds the
one that ended this process.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testmodels import vocabularies

from gpt4all import GPT4All, gguf
from gpt4all.errors import GPT4AllError
from tests.support.chat.models import byte_vocabulary, chat_model
from tests.support.gguf.writer import BOOL, F32, F64, I32, I64, STRING, U8, U32, U64, Tensor, Typed, build_gguf

Model = tuple[dict[str, Any], list[Tensor]]

_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
_NUMBERS = (
    -(1 << 63),
    -(1 << 31),
    -1,
    0,
    1,
    2,
    3,
    7,
    31,
    33,
    64,
    255,
    4096,
    65537,
    (1 << 31) - 1,
    (1 << 32) - 1,
    1 << 40,
)
_FLOATS = (0.0, -1.0, 1e-45, 1e30, float("inf"), float("nan"))
_TEXTS = ("", "\0", "a", "<0x41>", "<0xGG>", "\u2581", "a b", "a b c", " ", "llama", "gpt2", "bert", "none", "x" * 5000)
_KINDS = (U8, U32, I32, U64, I64, F32, F64, BOOL, STRING)


def seeds() -> list[Model]:
    return [
        chat_model(byte_vocabulary(_TEMPLATE)),
        chat_model(vocabularies.spm(_TEMPLATE)),
        chat_model(vocabularies.wordpiece()),
        chat_model(vocabularies.unigram()),
    ]


def _number(chance: random.Random, kind: int) -> Any:
    if kind == STRING:
        return chance.choice(_TEXTS)
    if kind == BOOL:
        return chance.random() < 0.5
    if kind in (F32, F64):
        return chance.choice(_FLOATS)
    bits = {U8: 8, U32: 32, U64: 64, I32: 32, I64: 64}[kind]
    value = chance.choice(_NUMBERS) % (1 << bits)
    return value - (1 << bits) if kind in (I32, I64) and value >> (bits - 1) else value


def _other_value(chance: random.Random, value: Any) -> Any:
    inner = value.value if isinstance(value, Typed) else value
    if isinstance(inner, (list, tuple)) and inner and chance.random() < 0.9:
        items = list(inner)
        place = chance.randrange(len(items))
        action = chance.randrange(5)
        if action == 0:
            del items[place:]
        elif action == 1:
            items.insert(place, items[chance.randrange(len(items))])
        elif action == 2:
            items[place] = items[chance.randrange(len(items))]
        elif isinstance(items[place], str):
            items[place] = chance.choice(_TEXTS)
        elif isinstance(items[place], float):
            items[place] = chance.choice(_FLOATS)
        else:
            items[place] = _number(chance, I32)
        return Typed(value.kind, items) if isinstance(value, Typed) else items
    if isinstance(inner, bool) or chance.random() < 0.2:
        kind = chance.choice(_KINDS)
        return Typed(kind, _number(chance, kind))
    if isinstance(inner, str):
        return chance.choice(_TEXTS)
    if isinstance(inner, float):
        return chance.choice(_FLOATS)
    return Typed(U32, _number(chance, U32))


def _change_metadata(chance: random.Random, model: Model) -> None:
    metadata, _ = model
    key = chance.choice(list(metadata))
    action = chance.randrange(10)
    if action == 0:
        del metadata[key]
    elif action == 1:
        # What a key of this kind might bring in: a setting that other models have.
        name = chance.choice(_OTHER_KEYS)
        metadata[name] = Typed(kind := chance.choice(_KINDS), _number(chance, kind))
    else:
        metadata[key] = _other_value(chance, metadata[key])


_OTHER_KEYS = (
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.value_length",
    "llama.attention.sliding_window",
    "llama.expert_count",
    "llama.expert_used_count",
    "llama.pooling_type",
    "llama.rope.freq_base",
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
    "llama.vocab_size",
    "llama.attention.causal",
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
    "tokenizer.ggml.precompiled_charsmap",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.fim_pre_token_id",
    "tokenizer.ggml.token_type_count",
    "tokenizer.ggml.remove_extra_whitespaces",
    "tokenizer.ggml.escape_whitespaces",
    "split.count",
)


def _change_tensors(chance: random.Random, model: Model) -> None:
    _, tensors = model
    place = chance.randrange(len(tensors))
    tensor = tensors[place]
    action = chance.randrange(6)
    if action == 0:
        del tensors[place]
    elif action == 1:
        tensors.append(tensors[chance.randrange(len(tensors))])
    elif action == 2:
        other = tensors[chance.randrange(len(tensors))]
        tensors[place] = Tensor(other.name, tensor.shape, tensor.type_id)
    elif action == 3:
        shape = list(tensor.shape)
        shape[chance.randrange(len(shape))] = chance.choice((0, 1, 31, 32, 33, 64, 256))
        tensors[place] = Tensor(tensor.name, shape, tensor.type_id)
    elif action == 4:
        tensors[place] = Tensor(tensor.name, tensor.shape, chance.choice((0, 1, 2, 8, 12, 24, 26, 30, 39)))
    else:
        tensors[place] = Tensor(tensor.name, tensor.shape, tensor.type_id, offset=chance.choice((0, 32, 64, 1 << 20)))


def mutated(chance: random.Random, model: Model) -> bytes:
    """A file with one to four things wrong in it."""
    copy = (dict(model[0]), list(model[1]))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        (_change_tensors if chance.random() < 0.25 and copy[1] else _change_metadata)(chance, copy)
    raw = bytearray(build_gguf(copy[0], copy[1]))
    if chance.random() < 0.15:
        for _ in range(chance.randrange(1, 4)):
            raw[chance.randrange(min(len(raw), 4096))] = chance.randrange(256)
    return bytes(raw)


def use(path: Path) -> None:
    """Everything a program would do with a model; its errors are what it should get."""
    with GPT4All(path, n_ctx=256, n_threads=1) as model:
        model.detokenize(model.tokenize("Hello <|im_end|> wörld 1234"))
        if not model._loaded.info.can_generate:
            return
        model.generate("Hello there", max_tokens=3, seed=1)
        with model.chat_session("Be brief"):
            model.generate("Hi <|im_end|>", max_tokens=2, temp=0)


def try_out(path: Path, raw: bytes, count: Callable[[str], None]) -> None:
    path.write_bytes(raw)
    try:
        gguf.preflight(path)
    except GPT4AllError:
        count("refused by the preflight")
        return
    try:
        use(path)
    except (GPT4AllError, ValueError):
        count("refused by the engine")
    else:
        count("used")


def main() -> None:
    path, seed = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore")
    chance = random.Random(seed)
    models = seeds()
    counts: dict[str, int] = {}

    def count(what: str) -> None:
        counts[what] = counts.get(what, 0) + 1

    for number in range(10**9):
        try_out(path, mutated(chance, chance.choice(models)), count)
        if number % 20 == 0:
            path.with_suffix(".counts").write_text(" ".join(f"{n} {what}," for what, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
