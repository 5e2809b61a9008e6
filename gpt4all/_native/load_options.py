"""The arguments of a load, and the C struct they become."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref
from typing import TYPE_CHECKING, TypedDict

from gpt4all._native import abi

if TYPE_CHECKING:
    from typing_extensions import Required


class LoadArguments(TypedDict, total=False):
    """Where a model goes, and how it is used. What is left out has the default named here."""

    #: Tokens; 0 is the trained length.
    n_ctx: Required[int]
    #: 1: what only measures needs no more.
    n_threads: int
    #: 512
    n_batch: int
    #: 0
    n_gpu_layers: int
    #: Index among ``Backend.devices()``; -1, the default, is the CPU.
    device: int
    #: 0; counts the GPUs only.
    main_gpu: int
    #: ``()``: all on ``device``.
    tensor_split: Sequence[float]
    #: ``None``: where it helps.
    flash_attention: bool | None
    #: ``"f16"``
    kv_type: str
    #: ``True``
    use_mmap: bool


def load_options(cdll: ctypes.CDLL, arguments: LoadArguments) -> abi.LoadOptions:
    """The C struct, which keeps what it points to alive."""
    options = abi.LoadOptions()
    cdll.gpt4all_load_options_init(byref(options), ctypes.sizeof(options))
    options.n_ctx = arguments["n_ctx"]
    options.n_batch = arguments.get("n_batch", 512)
    options.n_threads = options.n_threads_batch = arguments.get("n_threads", 1)
    options.n_gpu_layers = arguments.get("n_gpu_layers", 0)
    options.device = arguments.get("device", -1)
    options.main_gpu = arguments.get("main_gpu", 0)
    flash_attention = arguments.get("flash_attention")
    options.flash_attention = -1 if flash_attention is None else int(flash_attention)
    options.use_mmap = int(arguments.get("use_mmap", True))
    options.kv_type = arguments.get("kv_type", "f16").encode()
    split = arguments.get("tensor_split", ())
    if split:
        options.tensor_split = (ctypes.c_float * len(split))(*split)
        options.n_tensor_split = len(split)
    return options
