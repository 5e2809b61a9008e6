"""Loads a model where it goes, on the thread that it keeps, so that Ctrl-C and the progress callback can stop it."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpt4all._native.backend import Backend, ModelInfo, NativeModel, OnProgress, load_backend
from gpt4all.engine.at_exit import backends_in_use, end_thread_if_exiting
from gpt4all.engine.loaded_model import LoadedModel
from gpt4all.engine.mapped_file import MappedFile
from gpt4all.engine.workers import LEAVE_PATIENCE, Job, Worker
from gpt4all.errors import CancellationError, ModelLoadError
from gpt4all.options import LoadOptions, ProgressCallback


class Load(Job):
    """One load. ``progress`` runs on the calling thread.

    Args:
        load: makes the native call with the progress callback it is given.
        progress: the caller's own, or ``None``.
    """

    def __init__(self, load: Callable[[OnProgress], NativeModel], progress: ProgressCallback | None) -> None:
        super().__init__()
        self._load = load
        self._progress = progress
        self._cancelled = False
        self._model: NativeModel | None = None

    def result(self) -> NativeModel:
        """Waits for the model."""
        while (fraction := self._next()) is not None:
            self._answers.put(self._progress is None or self._progress(fraction) is not False)
        if self._cancelled:
            end_thread_if_exiting()
        self._raise_error()
        model, self._model = self._model, None
        assert model is not None
        return model

    def cancel(self) -> None:
        self._cancelled = True
        super().cancel()

    def leave(self) -> None:
        """As of any job; a model that nobody has taken is freed."""
        super().leave()
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def _work(self) -> None:
        assert self._worker is not None
        model = None if self._cancelled else self._load(self._on_progress)
        if self._cancelled:
            if model is not None:
                model.close()
            raise CancellationError("the load was cancelled")
        # Whatever becomes of the model, its thread ends with it.
        weakref.finalize(model, self._worker.end).atexit = False
        self._model = model

    def _on_progress(self, fraction: float) -> bool:
        if self._cancelled:
            return False
        return self._progress is None or self._ask(fraction)


def _run(load: Callable[[OnProgress], NativeModel], progress: ProgressCallback | None) -> tuple[NativeModel, Worker]:
    """Calls ``load`` on a new worker; returns its model and the worker. Nothing is left if this is interrupted."""
    worker, job = Worker(), Load(load, progress)
    try:
        worker.start()
        worker.submit(job)
        return job.result(), worker
    except BaseException:
        # First, for a second Ctrl-C may end the wait; what stands in the line is done before.
        worker.end()
        job.leave()
        if job.has_ended():
            worker.join(LEAVE_PATIENCE)
        raise


@dataclass(frozen=True)
class Location:
    """Where a model goes: the index of a device, -1 for the CPU, and what the devices are called."""

    device: int = -1
    names: Mapping[int, str] = field(default_factory=dict)

    def name(self, info: ModelInfo) -> str | None:
        """The device that a loaded model is on, by name; ``None`` where none has one."""
        return self.names.get(self.device if info.device is None else info.device)


def open_model(
    backend_name: str, path: Path, options: LoadOptions, locate: Callable[[Backend], Location]
) -> LoadedModel:
    """Loads the backend's library, then the model where ``locate`` says."""
    opened: list[tuple[Backend, Location]] = []
    mapped = MappedFile.of(path) if options.use_mmap else None

    def load(on_progress: OnProgress) -> NativeModel:
        backend = load_backend(backend_name)
        backends_in_use[backend] = os.getpid()
        location = locate(backend)
        opened.append((backend, location))
        progress = on_progress if mapped is None else functools.partial(_watch, mapped, on_progress)
        return backend.load_model(path, options, device=location.device, progress=progress)

    native, worker = _run(load, options.progress)
    ((backend, location),) = opened
    device = location.name(native.info)
    # A thread more than generations the engine computes would wait inside it, where no stream learns of that.
    n_parallel = options.n_parallel if native.info.can_generate and not native.info.is_single else 1
    try:
        worker.start(n_parallel)
    except ModelLoadError:
        if not options.is_parallel_auto:
            raise
        # The one that loaded is there, and others may be.
        n_parallel = worker.n_threads()
    return LoadedModel(backend, native, worker, path, options.n_threads, device, mapped, n_parallel)


def _watch(mapped: MappedFile, on_progress: OnProgress, fraction: float) -> bool:
    goes_on = on_progress(fraction)
    mapped.check()
    return goes_on
