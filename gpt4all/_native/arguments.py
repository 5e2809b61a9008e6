"""The options of a load and of a generation, as the C structs they become."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref
from typing import Any, Protocol, TypedDict

from gpt4all._native import abi
from gpt4all._native.callbacks import CancelFlag, OnLogprobs
from gpt4all._native.chat import PreparedChat


class LoadOptions(Protocol):
    """How to load a model, wherever it goes; checked."""

    @property
    def n_ctx(self) -> int:
        """Tokens; 0 is the trained length."""

    @property
    def n_batch(self) -> int: ...
    @property
    def n_threads(self) -> int: ...
    @property
    def n_gpu_layers(self) -> int: ...
    @property
    def main_gpu(self) -> int:
        """Counts the GPUs only."""

    @property
    def tensor_split(self) -> Sequence[float]:
        """Empty where all of the model is on one device."""

    @property
    def flash_attention(self) -> bool | None:
        """``None``: where it helps."""

    @property
    def kv_type(self) -> str: ...
    @property
    def use_mmap(self) -> bool: ...
    @property
    def n_parallel(self) -> int:
        """Generations computed together, each with ``n_ctx`` tokens."""


class GenerateOptions(Protocol):
    """How to choose tokens, and when to stop; checked."""

    @property
    def max_tokens(self) -> int: ...
    @property
    def n_batch(self) -> int: ...
    @property
    def top_k(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def min_p(self) -> float: ...
    @property
    def repeat_penalty(self) -> float: ...
    @property
    def repeat_last_n(self) -> int: ...
    @property
    def presence_penalty(self) -> float: ...
    @property
    def frequency_penalty(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def stop(self) -> Sequence[str]: ...
    @property
    def logit_bias(self) -> Sequence[tuple[int, float]]: ...
    @property
    def grammar(self) -> str | None: ...
    @property
    def logprobs(self) -> int | None:
        """How many likeliest tokens are told beside each; ``None`` tells nothing."""

    @property
    def logprobs_callback(self) -> OnLogprobs | None: ...


class PromptTraits(TypedDict, total=False):
    """What a prompt brings with it, beside the options. What is left out has the default named here."""

    #: How many of its first tokens survive a full context; 0.
    n_keep: int
    #: Whether a beginning that is in the context is not computed again; ``True``.
    reuse_prefix: bool
    #: Whether its context is kept when another prompt displaces it; ``False``.
    keep_context: bool
    #: Whether control tokens of the answer have a text; ``False``.
    render_special: bool
    #: Marks around what the grammar does not apply to, the first ``""`` where the prompt has it; ``None`` for none.
    thinking: tuple[str, str] | None
    #: What the answer keeps to where tools may be called, instead of a grammar and marks; ``None`` for none.
    chat: PreparedChat | None


def load_struct(cdll: ctypes.CDLL, options: LoadOptions, device: int) -> abi.LoadOptions:
    """The C struct, which keeps what it points to alive."""
    struct = abi.LoadOptions()
    cdll.gpt4all_load_options_init(byref(struct), ctypes.sizeof(struct))
    struct.n_ctx = options.n_ctx
    struct.n_batch = options.n_batch
    struct.n_threads = struct.n_threads_batch = options.n_threads
    struct.n_gpu_layers = options.n_gpu_layers
    struct.device = device
    struct.main_gpu = options.main_gpu
    struct.flash_attention = -1 if options.flash_attention is None else int(options.flash_attention)
    struct.use_mmap = int(options.use_mmap)
    struct.n_sequences = options.n_parallel
    struct.kv_type = options.kv_type.encode()
    if split := options.tensor_split:
        struct.tensor_split = (ctypes.c_float * len(split))(*split)
        struct.n_tensor_split = len(split)
    return struct


def generate_struct(
    cdll: ctypes.CDLL, options: GenerateOptions, prompt: PromptTraits, cancel: CancelFlag
) -> abi.GenerateOptions:
    """The C struct, which keeps what it points to alive."""
    struct = abi.GenerateOptions()
    cdll.gpt4all_generate_options_init(byref(struct), ctypes.sizeof(struct))
    struct.max_tokens = options.max_tokens
    struct.n_batch = options.n_batch
    struct.top_k = options.top_k
    struct.temperature = options.temperature
    struct.top_p = options.top_p
    struct.min_p = options.min_p
    struct.repeat_penalty = options.repeat_penalty
    struct.repeat_last_n = options.repeat_last_n
    struct.presence_penalty = options.presence_penalty
    struct.frequency_penalty = options.frequency_penalty
    struct.seed = options.seed
    struct.n_keep = prompt.get("n_keep", 0)
    struct.reuse_prefix = int(prompt.get("reuse_prefix", True))
    struct.keep_context = int(prompt.get("keep_context", False))
    struct.render_special = int(prompt.get("render_special", False))
    struct.cancel = cancel.pointer()
    stop = [text.encode("utf-8") for text in options.stop]
    strings = (abi.String * len(stop))(*(abi.String(data, len(data)) for data in stop))
    struct.stop = ctypes.cast(strings, ctypes.POINTER(abi.String))
    struct.n_stop = len(stop)
    bias = options.logit_bias
    biases = (abi.TokenBias * len(bias))(*(abi.TokenBias(token, value) for token, value in bias))
    struct.logit_bias = ctypes.cast(biases, ctypes.POINTER(abi.TokenBias))
    struct.n_logit_bias = len(biases)
    if (chat := prompt.get("chat")) is not None:
        struct.chat = chat.handle
    elif options.grammar is not None:
        struct.grammar = _string(options.grammar)
        if (thinking := prompt.get("thinking")) is not None:
            struct.thinking_open, struct.thinking_close = map(_string, thinking)
    struct.n_top_logprobs = options.logprobs or 0
    return struct


def _string(text: str) -> Any:
    data = text.encode("utf-8")
    # The pointer keeps the struct alive, and that the bytes.
    return ctypes.pointer(abi.String(data, len(data)))
