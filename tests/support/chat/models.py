"""Model files just good enough to load: a vocabulary and a chat template, with weights that are all zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testmodels import vocabularies
from testmodels.vocabularies import Kind, Vocabulary

from tests.support.gguf.writer import I32, U32, Tensor, Typed, write_gguf

WIDTH = 32

#: Control tokens of the families, as their vocabularies have them.
CONTROL_TOKENS = (
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<|start_of_role|>",
    "<|end_of_role|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
)


def byte_vocabulary(template: str | None, control: Sequence[str] = CONTROL_TOKENS) -> Vocabulary:
    """Byte-level BPE with the control tokens of all families."""
    words = vocabularies.bpe(template)
    words.add(control, Kind.CONTROL)
    return words


def write_chat_model(path: Path, words: Vocabulary, name: str = "chat") -> Path:
    return write_gguf(path, *chat_model(words, name))


def chat_model(words: Vocabulary, name: str = "chat") -> tuple[dict[str, Any], list[Tensor]]:
    """Metadata and tensors of such a model."""
    n = len(words.tokens)
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": name,
        "llama.block_count": 1,
        "llama.context_length": 4096,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": WIDTH,
        "llama.attention.head_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "llama.rope.dimension_count": WIDTH,
        "tokenizer.ggml.model": words.model,
        "tokenizer.ggml.pre": words.pre,
        "tokenizer.ggml.tokens": words.tokens,
        "tokenizer.ggml.token_type": Typed(I32, [int(kind) for kind in words.types]),
    }
    if words.scores is not None:
        metadata["tokenizer.ggml.scores"] = [*words.scores, *[0.0] * (n - len(words.scores))]
    if words.merges:
        metadata["tokenizer.ggml.merges"] = words.merges
    for key, token in words.special.items():
        metadata[f"tokenizer.ggml.{key}_token_id"] = Typed(U32, token)
    flags = {"bos_token": words.add_bos, "eos_token": words.add_eos, "space_prefix": words.add_space_prefix}
    metadata.update({f"tokenizer.ggml.add_{key}": flag for key, flag in flags.items() if flag is not None})
    if words.chat_template is not None:
        metadata["tokenizer.chat_template"] = words.chat_template
    square = [f"blk.0.{part}.weight" for part in ("attn_q", "attn_k", "attn_v", "attn_output", *_FEED_FORWARD)]
    norms = ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"]
    tensors = [Tensor(key, (WIDTH, n)) for key in ("token_embd.weight", "output.weight")]
    tensors += [Tensor(key, (WIDTH, WIDTH)) for key in square]
    tensors += [Tensor(key, (WIDTH,)) for key in norms]
    return metadata, tensors


_FEED_FORWARD = ("ffn_gate", "ffn_up", "ffn_down")
