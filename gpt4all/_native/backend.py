"""A loaded backend library as plain Python, and all that a program above needs of it: no ctypes type leaves it."""

from __future__ import annotations

import logging
import os
from ctypes import byref, c_void_p, string_at
from typing import Any

from gpt4all._native import abi, loader
from gpt4all._native.arguments import LoadOptions, load_struct
from gpt4all._native.c_strings import to_str
from gpt4all._native.callbacks import CancelFlag, OnBatch, OnProgress, OnToken, Stored
from gpt4all._native.device_memory import Device, MemoryNeed, count_devices, list_devices, measure_model, read_device
from gpt4all._native.model import NativeModel
from gpt4all._native.model_info import ModelInfo, WordPiece
from gpt4all._native.outcome import Outcome

__all__ = [
    "Backend",
    "CancelFlag",
    "ModelInfo",
    "NativeModel",
    "OnBatch",
    "OnProgress",
    "OnToken",
    "Outcome",
    "WordPiece",
    "load_backend",
]

# Apart from the package's own lines, of which there are few: the engine writes thousands for each load.
logger = logging.getLogger("gpt4all.engine")

_LOG_LEVELS = {
    # Two thousand lines a load, one for each tensor and more: below what verbose=True and level DEBUG show.
    abi.LOG_DEBUG: 5,
    # A hundred lines a load, of interest to those who look for a fault: a program that logs at INFO is spared them.
    abi.LOG_INFO: logging.DEBUG,
    abi.LOG_WARNING: logging.WARNING,
    abi.LOG_ERROR: logging.ERROR,
}


class Backend:
    """One loaded library."""

    def __init__(self, library: loader.Library) -> None:
        cdll = library.cdll
        self.name = library.backend
        self.path = library.path
        self.build_info = to_str(cdll.gpt4all_build_info())
        self.cpu_info = to_str(cdll.gpt4all_cpu_info())
        self._cdll = cdll
        # The library may log as long as it is loaded, so this is never dropped.
        self._log_callback = abi.LogCallback(_forward_log)
        cdll.gpt4all_set_log_callback(self._log_callback, None)

    def silence(self) -> None:
        """Sends no further log line to Python: none may come while the interpreter ends."""
        self._cdll.gpt4all_set_log_callback(abi.LogCallback(), None)

    def devices(self) -> list[Device]:
        return list_devices(self._cdll)

    def device(self, index: int) -> Device | None:
        """One of ``devices``, without asking the others for their memory."""
        return read_device(self._cdll, index) if 0 <= index < count_devices(self._cdll) else None

    def model_memory(self, path: str | os.PathLike[str], options: LoadOptions, *, device: int = -1) -> list[MemoryNeed]:
        """What ``load_model`` would take with these arguments, without allocating it: main memory first."""
        return measure_model(self._cdll, os.fsencode(path), load_struct(self._cdll, options, device))

    def load_model(
        self,
        path: str | os.PathLike[str],
        options: LoadOptions,
        *,
        device: int = -1,
        progress: OnProgress | None = None,
    ) -> NativeModel:
        """Loads a model file; what ``progress`` raises is raised here.

        Args:
            device: index among ``devices``; -1 is the CPU.
        """
        cdll = self._cdll
        struct = load_struct(cdll, options, device)
        stored = Stored()

        def on_progress(fraction: float, payload: int | None) -> int:
            try:
                return 0 if progress is None or progress(fraction) is not False else 1
            except BaseException as error:
                stored.error = error
                return 1

        # Always given: it is how a load is cancelled.
        callback = abi.ProgressCallback(on_progress)
        struct.progress = callback
        handle = c_void_p()
        try:
            cdll.gpt4all_model_load(os.fsencode(path), byref(struct), byref(handle))
        except Exception:
            if stored.error is None:
                raise
        model = NativeModel(cdll, handle.value) if handle.value is not None else None
        if stored.error is not None and model is not None:
            model.close()
        stored.raise_if_any()
        if model is None:
            raise AssertionError("a successful load gave no model")
        return model


_backends: dict[loader.Library, Backend] = {}


def load_backend(name: str) -> Backend:
    """The backend called ``name``, loaded once per process.

    Raises:
        BackendLoadError: lists every candidate and why each failed.
    """
    with loader.lock():
        library = loader.load(name)
        if library not in _backends:
            _backends[library] = Backend(library)
        return _backends[library]


def _forward_log(level: int, address: int, length: int, payload: Any) -> None:
    try:
        python_level = _LOG_LEVELS.get(level, logging.DEBUG)
        if logger.isEnabledFor(python_level):
            logger.log(python_level, "%s", string_at(address, length).decode("utf-8", "replace"))
    except BaseException:  # a log handler's failure must not be printed by ctypes from inside the engine
        pass
