"""``backends/include/gpt4all_backend.h`` as ctypes, in the header's order.

``scripts/dev abi`` compares every size, offset and constant with what a C
compiler makes of the header.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_float, c_int32, c_int64, c_uint32, c_void_p

ABI_VERSION = 5

OK = 0
ERROR_INTERNAL = -1
ERROR_INVALID_ARGUMENT = -2
ERROR_OUT_OF_MEMORY = -3
ERROR_MODEL_LOAD = -4
ERROR_UNSUPPORTED_MODEL = -5
ERROR_CONTEXT_OVERFLOW = -6
ERROR_DECODE = -7
ERROR_CANCELLED = -8
ERROR_BUSY = -9
ERROR_UNSUPPORTED_CPU = -10
ERROR_BUFFER_TOO_SMALL = -11
ERROR_TEMPLATE = -12
ERROR_INVALID_MODEL = -13

LOG_DEBUG = 0
LOG_INFO = 1
LOG_WARNING = 2
LOG_ERROR = 3

DEVICE_CPU = 0
DEVICE_GPU = 1
DEVICE_INTEGRATED_GPU = 2
DEVICE_OTHER = 3
DEVICE_SOFTWARE_GPU = 4

TRAIT_ENCODER = 1
TRAIT_DECODER = 2
TRAIT_RECURRENT = 4
TRAIT_EMBEDDING = 8
TRAIT_DIFFUSION = 16
TRAIT_CAN_SHIFT = 32

POOLING_NONE = 0
POOLING_MEAN = 1
POOLING_FIRST = 2
POOLING_LAST = 3
POOLING_RANK = 4

WORDPIECE = 1
WORDPIECE_LOWERCASE = 2
WORDPIECE_STRIP_ACCENTS = 4

TOKENIZE_ADD_SPECIAL = 1
TOKENIZE_PARSE_SPECIAL = 2

FINISH_STOP = 0
FINISH_LENGTH = 1
FINISH_CANCELLED = 2
FINISH_NOT_YET = 3

# Text arrives as an address and a length: c_char_p would end it at the first NUL.
LogCallback = ctypes.CFUNCTYPE(None, c_int32, c_void_p, c_int64, c_void_p)
ProgressCallback = ctypes.CFUNCTYPE(c_int32, c_float, c_void_p)
TokenCallback = ctypes.CFUNCTYPE(c_int32, c_int32, c_void_p, c_int64, c_void_p)
PartCallback = ctypes.CFUNCTYPE(c_int32, c_void_p, c_int64, c_int32, c_void_p)
EmbedCallback = ctypes.CFUNCTYPE(c_int32, POINTER(c_int32), c_int64, c_void_p)


class TokenLogprob(ctypes.Structure):
    _fields_ = [
        ("token", c_int32),
        ("logprob", c_float),
        ("text", c_void_p),
        ("text_len", c_int64),
    ]


LogprobsCallback = ctypes.CFUNCTYPE(c_int32, POINTER(TokenLogprob), POINTER(TokenLogprob), c_int32, c_void_p)


class String(ctypes.Structure):
    _fields_ = [
        ("data", c_char_p),
        ("length", c_int64),
    ]


class TextPart(ctypes.Structure):
    _fields_ = [
        ("data", c_char_p),
        ("length", c_int64),
        ("parse_special", c_int32),
        ("reserved", c_int32),
    ]


class DeviceInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("type", c_int32),
        ("memory_total", c_int64),
        ("memory_free", c_int64),
        ("name", c_char_p),
        ("description", c_char_p),
        ("id", c_char_p),
        ("api", c_char_p),
    ]


class LoadOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_ctx", c_int32),
        ("n_batch", c_int32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("n_gpu_layers", c_int32),
        ("device", c_int32),
        ("main_gpu", c_int32),
        ("flash_attention", c_int32),
        ("use_mmap", c_int32),
        ("kv_type", c_char_p),
        ("tensor_split", POINTER(c_float)),
        ("n_tensor_split", c_int64),
        ("prefix_cache_bytes", c_int64),
        ("progress", ProgressCallback),
        ("progress_payload", c_void_p),
        ("n_sequences", c_int32),
        ("reserved", c_int32),
    ]


class ModelInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("traits", c_int32),
        ("n_ctx", c_int32),
        ("n_ctx_train", c_int32),
        ("n_vocab", c_int32),
        ("n_embd", c_int32),
        ("n_layer", c_int32),
        ("token_bos", c_int32),
        ("token_eos", c_int32),
        ("add_bos", c_int32),
        ("n_params", c_int64),
        ("weights_bytes", c_int64),
        ("architecture", c_char_p),
        ("description", c_char_p),
        ("quantization", c_char_p),
        ("name", c_char_p),
        ("chat_template", c_char_p),
        ("n_layers_offloaded", c_int32),
        ("device", c_int32),
        ("device_bytes", c_int64),
        ("n_embd_out", c_int32),
        ("pooling", c_int32),
        ("wordpiece", c_int32),
        ("reserved", c_int32),
        ("basename", c_char_p),
    ]


class MemoryNeed(ctypes.Structure):
    _fields_ = [
        ("device", c_int32),
        ("n_layers", c_int32),
        ("weights", c_int64),
        ("context", c_int64),
        ("compute", c_int64),
        ("memory_total", c_int64),
        ("memory_free", c_int64),
    ]


class TokenBias(ctypes.Structure):
    _fields_ = [
        ("token", c_int32),
        ("bias", c_float),
    ]


class GenerateOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("max_tokens", c_int32),
        ("n_batch", c_int32),
        ("top_k", c_int32),
        ("temperature", c_float),
        ("top_p", c_float),
        ("min_p", c_float),
        ("repeat_penalty", c_float),
        ("repeat_last_n", c_int32),
        ("presence_penalty", c_float),
        ("frequency_penalty", c_float),
        ("seed", c_uint32),
        ("reuse_prefix", c_int32),
        ("n_keep", c_int32),
        ("keep_context", c_int32),
        ("render_special", c_int32),
        ("stop", POINTER(String)),
        ("n_stop", c_int64),
        ("cancel", POINTER(c_int32)),
        ("logit_bias", POINTER(TokenBias)),
        ("n_logit_bias", c_int64),
        ("grammar", POINTER(String)),
        ("thinking_open", POINTER(String)),
        ("thinking_close", POINTER(String)),
        ("logprobs", LogprobsCallback),
        ("logprobs_payload", c_void_p),
        ("n_top_logprobs", c_int32),
        ("reserved", c_int32),
        ("chat", c_void_p),
    ]


class GenerateResult(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("finish_reason", c_int32),
        ("prompt_tokens", c_int32),
        ("cached_tokens", c_int32),
        ("completion_tokens", c_int32),
        ("context_shifts", c_int32),
        ("prompt_us", c_int64),
        ("completion_us", c_int64),
    ]


class EmbedOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("normalize", c_int32),
        ("cancel", POINTER(c_int32)),
    ]
