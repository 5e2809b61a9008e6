"""Facts about a loaded model."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p
from dataclasses import dataclass

from gpt4all._native import abi
from gpt4all._native.c_strings import to_str


@dataclass(frozen=True)
class WordPiece:
    """What a WordPiece vocabulary expects to be done to a text before it is tokenised."""

    lowercase: bool
    strip_accents: bool


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a loaded model."""

    architecture: str
    name: str
    basename: str
    description: str
    quantization: str
    chat_template: str | None
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_embd: int
    n_layer: int
    n_params: int
    weights_bytes: int
    token_bos: int | None
    token_eos: int | None
    add_bos: bool
    is_embedding: bool
    is_recurrent: bool
    can_generate: bool
    can_shift: bool
    #: Has an encoder, and so generates for one caller at a time.
    is_single: bool
    #: Layers on GPUs, of ``n_layer + 1``: the output counts as one.
    n_layers_offloaded: int
    #: Index of the GPU with the output, else of the first with layers.
    device: int | None
    #: What weights, context and work buffers take on GPUs.
    device_bytes: int
    #: Numbers in an embedding, which may be fewer or more than ``n_embd``.
    n_embd_out: int
    is_reranker: bool
    wordpiece: WordPiece | None


def read_model_info(cdll: ctypes.CDLL, handle: c_void_p) -> ModelInfo:
    raw = abi.ModelInfo(struct_size=ctypes.sizeof(abi.ModelInfo))
    cdll.gpt4all_model_get_info(handle, byref(raw))
    traits = raw.traits
    decoder = bool(traits & abi.TRAIT_DECODER) and not traits & abi.TRAIT_DIFFUSION
    return ModelInfo(
        architecture=to_str(raw.architecture),
        name=to_str(raw.name),
        basename=to_str(raw.basename),
        description=to_str(raw.description),
        quantization=to_str(raw.quantization),
        chat_template=to_str(raw.chat_template) or None,
        n_ctx=raw.n_ctx,
        n_ctx_train=raw.n_ctx_train,
        n_vocab=raw.n_vocab,
        n_embd=raw.n_embd,
        n_layer=raw.n_layer,
        n_params=raw.n_params,
        weights_bytes=raw.weights_bytes,
        token_bos=raw.token_bos if raw.token_bos >= 0 else None,
        token_eos=raw.token_eos if raw.token_eos >= 0 else None,
        add_bos=bool(raw.add_bos),
        is_embedding=bool(traits & abi.TRAIT_EMBEDDING),
        is_recurrent=bool(traits & abi.TRAIT_RECURRENT),
        can_generate=decoder and not traits & abi.TRAIT_EMBEDDING,
        can_shift=bool(traits & abi.TRAIT_CAN_SHIFT),
        is_single=bool(traits & abi.TRAIT_ENCODER),
        n_layers_offloaded=raw.n_layers_offloaded,
        device=raw.device if raw.device >= 0 else None,
        device_bytes=raw.device_bytes,
        n_embd_out=raw.n_embd_out,
        is_reranker=raw.pooling == abi.POOLING_RANK,
        wordpiece=_wordpiece(raw.wordpiece),
    )


def _wordpiece(flags: int) -> WordPiece | None:
    if not flags & abi.WORDPIECE:
        return None
    return WordPiece(bool(flags & abi.WORDPIECE_LOWERCASE), bool(flags & abi.WORDPIECE_STRIP_ACCENTS))
