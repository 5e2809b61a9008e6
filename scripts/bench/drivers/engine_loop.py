"""Our own library's generation without any callback: what streaming is compared with."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int32, sizeof

from gpt4all import GPT4All
from gpt4all._native import abi
from gpt4all.options import LEGACY_STOPS


def engine_loop(model: GPT4All, prompt: str, n_tokens: int) -> float:
    """Greedy generation with the package's default options; the engine's own seconds for the new tokens."""
    # Behind the public interface on purpose: it has no way to generate without looking at the tokens.
    native = model._loaded._native
    cdll = native._cdll
    ids = model._loaded.prompt_tokens(prompt)
    options = abi.GenerateOptions()
    cdll.gpt4all_generate_options_init(byref(options), sizeof(options))
    options.max_tokens = n_tokens
    options.temperature = 0.0
    encoded = [text.encode() for text in LEGACY_STOPS]
    stops = (abi.String * len(encoded))(*[abi.String(text, len(text)) for text in encoded])
    options.stop = ctypes.cast(stops, ctypes.POINTER(abi.String))
    options.n_stop = len(encoded)
    result = abi.GenerateResult()
    cdll.gpt4all_generate_result_init(byref(result), sizeof(result))
    cdll.gpt4all_generate(
        native._handle,
        (c_int32 * len(ids))(*ids),
        len(ids),
        byref(options),
        abi.TokenCallback(),
        None,
        byref(result),
    )
    if result.completion_tokens != n_tokens:
        raise ValueError(f"the answer to {prompt!r} is too short to measure")
    return float(result.completion_us) / 1e6
