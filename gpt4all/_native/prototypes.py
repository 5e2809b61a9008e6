"""Prototypes of the exported functions, and the one place where a status becomes an exception."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_float, c_int32, c_int64, c_uint64, c_void_p
from typing import Any

from gpt4all._native import abi
from gpt4all.errors import (
    BackendLoadError,
    CancellationError,
    ChatTemplateError,
    EmbeddingError,
    GenerationError,
    GPT4AllError,
    InsufficientMemoryError,
    InvalidModelError,
    ModelLoadError,
    UnsupportedModelError,
)

#: An opaque ``gpt4all_model *``.
Model = c_void_p

#: An opaque ``gpt4all_chat *``.
Chat = c_void_p

_STATUS: Any = c_int32

#: Name -> (argument types, result type, exception for failures without a type
#: of their own; ``None`` where the result is no status).
PROTOTYPES: dict[str, tuple[list[Any], Any, type[Exception] | None]] = {
    "gpt4all_abi_version": ([], c_int32, None),
    "gpt4all_build_info": ([], c_char_p, None),
    "gpt4all_cpu_info": ([], c_char_p, None),
    "gpt4all_last_error": ([], c_char_p, None),
    "gpt4all_set_log_callback": ([abi.LogCallback, c_void_p], _STATUS, GPT4AllError),
    "gpt4all_init": ([], _STATUS, BackendLoadError),
    "gpt4all_device_count": ([POINTER(c_int32)], _STATUS, GPT4AllError),
    "gpt4all_device_get_info": ([c_int32, POINTER(abi.DeviceInfo)], _STATUS, GPT4AllError),
    "gpt4all_load_options_init": ([POINTER(abi.LoadOptions), c_uint64], _STATUS, GPT4AllError),
    "gpt4all_model_load": ([c_char_p, POINTER(abi.LoadOptions), POINTER(Model)], _STATUS, ModelLoadError),
    "gpt4all_model_memory": (
        [c_char_p, POINTER(abi.LoadOptions), POINTER(abi.MemoryNeed), c_int32, POINTER(c_int32)],
        _STATUS,
        ModelLoadError,
    ),
    "gpt4all_model_free": ([Model], _STATUS, GPT4AllError),
    "gpt4all_model_get_info": ([Model, POINTER(abi.ModelInfo)], _STATUS, GPT4AllError),
    "gpt4all_model_set_threads": ([Model, c_int32, c_int32], _STATUS, GPT4AllError),
    "gpt4all_tokenize": (
        [Model, c_char_p, c_int64, c_int32, POINTER(c_int32), POINTER(c_int32), c_int32, POINTER(c_int32)],
        _STATUS,
        GPT4AllError,
    ),
    "gpt4all_detokenize": (
        [Model, POINTER(c_int32), c_int32, c_void_p, c_int64, POINTER(c_int64)],
        _STATUS,
        GPT4AllError,
    ),
    "gpt4all_tokenize_parts": (
        [
            Model,
            POINTER(abi.TextPart),
            c_int64,
            c_int32,
            POINTER(c_int32),
            POINTER(c_int32),
            c_int32,
            POINTER(c_int32),
        ],
        _STATUS,
        GPT4AllError,
    ),
    "gpt4all_chat_render": (
        [Model, c_char_p, c_char_p, c_char_p, c_int32, POINTER(c_int32), abi.PartCallback, c_void_p],
        _STATUS,
        GPT4AllError,
    ),
    "gpt4all_chat_prepare": (
        [
            Model,
            c_char_p,
            c_char_p,
            c_char_p,
            c_char_p,
            POINTER(c_int32),
            abi.PartCallback,
            c_void_p,
            POINTER(Chat),
        ],
        _STATUS,
        GPT4AllError,
    ),
    "gpt4all_chat_parse": (
        [Chat, c_char_p, c_int64, c_int32, POINTER(c_int32), abi.PartCallback, c_void_p],
        _STATUS,
        GPT4AllError,
    ),
    "gpt4all_chat_describe": ([Chat, abi.PartCallback, c_void_p], _STATUS, GPT4AllError),
    "gpt4all_chat_free": ([Chat], _STATUS, GPT4AllError),
    "gpt4all_generate_options_init": ([POINTER(abi.GenerateOptions), c_uint64], _STATUS, GPT4AllError),
    "gpt4all_generate_result_init": ([POINTER(abi.GenerateResult), c_uint64], _STATUS, GPT4AllError),
    "gpt4all_generate": (
        [
            Model,
            POINTER(c_int32),
            c_int32,
            POINTER(abi.GenerateOptions),
            abi.TokenCallback,
            c_void_p,
            POINTER(abi.GenerateResult),
        ],
        _STATUS,
        GenerationError,
    ),
    "gpt4all_request_start": (
        [Model, POINTER(c_int32), c_int32, POINTER(abi.GenerateOptions), POINTER(c_void_p)],
        _STATUS,
        GenerationError,
    ),
    "gpt4all_request_read": (
        [c_void_p, c_int64, abi.TokenCallback, c_void_p, POINTER(abi.GenerateResult)],
        _STATUS,
        GenerationError,
    ),
    "gpt4all_request_cancel": ([c_void_p], _STATUS, GenerationError),
    "gpt4all_request_free": ([c_void_p], _STATUS, GenerationError),
    "gpt4all_last_logits": ([Model, POINTER(c_float), c_int64], _STATUS, GPT4AllError),
    "gpt4all_grammar_check": ([Model, c_char_p, c_int64], _STATUS, GPT4AllError),
    "gpt4all_embed_options_init": ([POINTER(abi.EmbedOptions), c_uint64], _STATUS, GPT4AllError),
    "gpt4all_embed": (
        [
            Model,
            POINTER(c_int32),
            POINTER(c_int32),
            c_int64,
            POINTER(abi.EmbedOptions),
            POINTER(c_float),
            c_int64,
            abi.EmbedCallback,
            c_void_p,
        ],
        _STATUS,
        EmbeddingError,
    ),
}

_EXCEPTIONS: dict[int, type[Exception]] = {
    abi.ERROR_INVALID_ARGUMENT: ValueError,
    abi.ERROR_OUT_OF_MEMORY: InsufficientMemoryError,
    abi.ERROR_MODEL_LOAD: ModelLoadError,
    abi.ERROR_UNSUPPORTED_MODEL: UnsupportedModelError,
    abi.ERROR_DECODE: GenerationError,
    abi.ERROR_CANCELLED: CancellationError,
    abi.ERROR_UNSUPPORTED_CPU: BackendLoadError,
    abi.ERROR_TEMPLATE: ChatTemplateError,
    abi.ERROR_INVALID_MODEL: InvalidModelError,
}


def _status_check(cdll: ctypes.CDLL, fallback: type[Exception]) -> Callable[[int, Any, Any], int]:
    exceptions = _EXCEPTIONS
    if fallback is EmbeddingError:
        # What the engine fails to compute has a type for each purpose.
        exceptions = {**_EXCEPTIONS, abi.ERROR_DECODE: EmbeddingError}

    def check(status: int, function: Any, arguments: Any) -> int:
        # A buffer that is too small is an answer, not a failure: the caller tries again.
        if status in (abi.OK, abi.ERROR_BUFFER_TOO_SMALL):
            return status
        message = (cdll.gpt4all_last_error() or b"").decode("utf-8", "replace")
        raise exceptions.get(status, fallback)(message or f"native status {status}")

    return check


def bind(cdll: ctypes.CDLL) -> ctypes.CDLL:
    """Declare every function of ``cdll``; ``AttributeError`` names one that is missing."""
    for name, (argtypes, restype, error) in PROTOTYPES.items():
        function = getattr(cdll, name)
        function.argtypes = argtypes
        function.restype = restype
        if error is not None:
            function.errcheck = _status_check(cdll, error)
    return cdll
