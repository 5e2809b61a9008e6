"""The arguments of a generation, and the C struct they become."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref
from typing import TYPE_CHECKING, Any, TypedDict

from gpt4all._native import abi
from gpt4all._native.callbacks import CancelFlag

if TYPE_CHECKING:
    from typing_extensions import Required


class GenerateArguments(TypedDict, total=False):
    """How to choose tokens, and when to stop. What is left out has the default named here."""

    max_tokens: Required[int]
    n_batch: Required[int]
    top_k: Required[int]
    temperature: Required[float]
    top_p: Required[float]
    min_p: Required[float]
    repeat_penalty: Required[float]
    repeat_last_n: Required[int]
    seed: Required[int]
    #: ``()``
    stop: Sequence[str]
    #: 0
    n_keep: int
    #: ``True``
    reuse_prefix: bool
    #: ``False``
    keep_context: bool
    #: ``False``
    render_special: bool
    #: ``()``
    logit_bias: Sequence[tuple[int, float]]
    #: ``None``
    grammar: str | None
    #: Marks around what the grammar does not apply to, the first ``""`` where the prompt has it; ``None`` for none.
    thinking: tuple[str, str] | None
    #: How many likeliest tokens are told beside each; ``None`` tells nothing.
    logprobs: int | None


def generate_options(cdll: ctypes.CDLL, arguments: GenerateArguments, cancel: CancelFlag) -> abi.GenerateOptions:
    """The C struct, which keeps what it points to alive."""
    options = abi.GenerateOptions()
    cdll.gpt4all_generate_options_init(byref(options), ctypes.sizeof(options))
    options.max_tokens = arguments["max_tokens"]
    options.n_batch = arguments["n_batch"]
    options.top_k = arguments["top_k"]
    options.temperature = arguments["temperature"]
    options.top_p = arguments["top_p"]
    options.min_p = arguments["min_p"]
    options.repeat_penalty = arguments["repeat_penalty"]
    options.repeat_last_n = arguments["repeat_last_n"]
    options.seed = arguments["seed"]
    options.reuse_prefix = int(arguments.get("reuse_prefix", True))
    options.n_keep = arguments.get("n_keep", 0)
    options.keep_context = int(arguments.get("keep_context", False))
    options.render_special = int(arguments.get("render_special", False))
    options.cancel = cancel.pointer()
    stop = [text.encode("utf-8") for text in arguments.get("stop", ())]
    strings = (abi.String * len(stop))(*(abi.String(data, len(data)) for data in stop))
    options.stop = ctypes.cast(strings, ctypes.POINTER(abi.String))
    options.n_stop = len(stop)
    bias = arguments.get("logit_bias", ())
    biases = (abi.TokenBias * len(bias))(*(abi.TokenBias(token, value) for token, value in bias))
    options.logit_bias = ctypes.cast(biases, ctypes.POINTER(abi.TokenBias))
    options.n_logit_bias = len(biases)
    if (grammar := arguments.get("grammar")) is not None:
        options.grammar = _string(grammar)
        if (thinking := arguments.get("thinking")) is not None:
            options.thinking_open, options.thinking_close = map(_string, thinking)
    options.n_top_logprobs = arguments.get("logprobs") or 0
    return options


def _string(text: str) -> Any:
    data = text.encode("utf-8")
    # The pointer keeps the struct alive, and that the bytes.
    return ctypes.pointer(abi.String(data, len(data)))
