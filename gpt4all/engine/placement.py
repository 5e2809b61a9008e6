"""Where a model runs: tries what matches the request, and measures before it loads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all.devices import selection
from gpt4all.devices.gpu import Gpu, Probe
from gpt4all.devices.memory_fit import (
    Measure,
    MeasureMain,
    context_too_long,
    insufficient_memory,
    most_free,
    too_large,
    too_little_main_memory,
)
from gpt4all.devices.request import DeviceRequest, Platform, parse_device
from gpt4all.devices.selection import Candidate
from gpt4all.engine.loading import Location, open_model
from gpt4all.errors import (
    BackendLoadError,
    DeviceError,
    InsufficientMemoryError,
    InvalidModelError,
    ModelLoadError,
    UnsupportedModelError,
)
from gpt4all.machine import main_memory
from gpt4all.machine.main_memory import Room
from gpt4all.options import LoadOptions

if TYPE_CHECKING:
    from gpt4all._native.backend import Backend
    from gpt4all._native.device_memory import Device, MemoryNeed
    from gpt4all.engine.loaded_model import LoadedModel


def _probe(backend: str) -> Probe:
    from gpt4all.devices import probe

    return probe.probe(backend)


def usable_gpus() -> list[Gpu]:
    """The GPUs of every backend that is there, best first within each."""
    from gpt4all.devices import probe

    platform = Platform.current()
    backends = [] if platform.system == "darwin" else selection.PROBED
    return [gpu for answer in probe.probe_all(backends) for gpu in selection.best_first(answer.usable)]


class Placement:
    """The backends and devices that suit a request.

    Attributes:
        fallback_reason: after ``open``, why it is not on the first choice; ``None`` where it is.
    """

    def __init__(self, request: DeviceRequest, options: LoadOptions) -> None:
        """Where no other backend would do, finds the device at once, so that no model is downloaded in vain.

        Raises:
            BackendLoadError: the only backend that would do is missing or broken.
            DeviceError: no device matches.
            ValueError: the device and ``tensor_split`` contradict each other.
        """
        self.fallback_reason: str | None = None
        self._request = request
        self._options = options
        self._check_split()
        self._candidates: Iterator[Candidate] = selection.select(request, _probe)
        if not request.may_fall_back:
            (only,) = self._candidates
            if only.error is not None:
                raise only.error
            self._candidates = iter([only])

    def open(self, path: Path, n_ctx_train: int | None) -> LoadedModel:
        """Loads the model where it fits.

        Raises:
            DeviceError: no device matches, or none has enough memory.
            BackendLoadError: the backend is missing or broken.
            ModelLoadError: the engine refuses the file.
        """
        passed_over = [self._request.notice] if self._request.notice is not None else []
        last = self._request.backends[-1]
        for candidate in self._candidates:
            try:
                model = self._open_on(candidate, path, n_ctx_train)
            except (InvalidModelError, UnsupportedModelError):
                # The file is no better elsewhere.
                raise
            except (BackendLoadError, DeviceError, ModelLoadError) as error:
                if candidate.backend == last:
                    raise
                passed_over.append(f"{candidate.backend}: {error}")
            else:
                self.fallback_reason = "\n".join(passed_over) or None
                return model
        raise AssertionError("a request without backends")

    def _check_split(self) -> None:
        request = self._request
        if self._options.tensor_split and (request.name is not None or request.vendor is not None):
            raise ValueError(
                f"tensor_split spreads a model over all GPUs of a backend, but device={request.device!r} chooses among "
                "them; use 'cuda' or 'kompute', with a share of 0 for each GPU that is to be left out"
            )

    def _open_on(self, candidate: Candidate, path: Path, n_ctx_train: int | None) -> LoadedModel:
        if candidate.error is not None:
            raise candidate.error
        options = self._options
        while True:
            try:
                return self._open_with(options, candidate, path, n_ctx_train)
            except InsufficientMemoryError:
                if not options.is_parallel_auto or options.n_parallel == 1:
                    raise
                options = replace(options, n_parallel=options.n_parallel // 2)

    def _open_with(
        self, options: LoadOptions, candidate: Candidate, path: Path, n_ctx_train: int | None
    ) -> LoadedModel:
        if candidate.backend == "cpu":
            return open_model("cpu", path, options, _MainMemory(path, options, n_ctx_train).locate)
        locator = _Locator(self._request, candidate, path, options, n_ctx_train)
        return open_model(candidate.backend, path, options, locator.locate)


def check_load(arguments: Mapping[str, Any]) -> None:
    """Finds out what no model could be loaded with, before anything is fetched or anybody asks.

    Args:
        arguments: keyword arguments of ``GPT4All``.

    Raises:
        BackendLoadError, DeviceError, ValueError, TypeError: what ``GPT4All`` raises for them.
    """
    others = ("device", "model_path", "allow_download", "verbose")
    request = parse_device(arguments.get("device"))
    with warnings.catch_warnings():  # they come again with the load
        warnings.simplefilter("ignore")
        options = LoadOptions.create(**{name: value for name, value in arguments.items() if name not in others})
    Placement(request, options)


def memory_needed(path: Path, **options: Any) -> int:
    """Bytes that a model takes when it is loaded with these options of ``LoadOptions.create``, wherever that is."""
    from gpt4all._native.backend import load_backend

    # Weights that are mapped count too: without them in memory nothing can be computed.
    loaded = LoadOptions.create(**{**options, "use_mmap": False})
    needs = load_backend("cpu").model_memory(path, loaded)
    return sum(need.total for need in needs)


class _MainMemory:
    """Sees to it that a model fits into main memory before it is put there."""

    #: More than any model's cache takes for a token, and any model's work buffers.
    _MOST_PER_TOKEN = 1 << 20
    _MOST_BUFFERS = 1 << 30

    def __init__(self, path: Path, options: LoadOptions, n_ctx_train: int | None) -> None:
        self._path = path
        self._options = options
        self._n_ctx = options.n_ctx or n_ctx_train
        self._n_parallel = options.n_parallel

    def locate(self, backend: Backend) -> Location:
        """Runs on the thread that loads."""
        # Those that compute, those that hand answers over and the one that schedules. A thread is only begun where
        # there is room for several, and the C library takes some for each.
        n_threads = self._options.n_threads + self._n_parallel + 6
        rooms = main_memory.rooms(n_threads=n_threads)
        if self._fits_surely(rooms):
            return Location()
        need = backend.model_memory(self._path, self._options)[0]
        mapped = self._path.stat().st_size if self._options.use_mmap else 0
        # Where the load goes on with fewer contexts, nobody waits for advice.
        goes_on = self._options.is_parallel_auto and self._n_parallel > 1
        error = too_little_main_memory(
            need, rooms, mapped, self._n_ctx, self._n_parallel, None if goes_on else self._measure_with(backend)
        )
        if error is not None:
            raise error
        return Location()

    def _measure_with(self, backend: Backend) -> MeasureMain:
        def measure(n_ctx: int, n_parallel: int) -> MemoryNeed:
            return backend.model_memory(self._path, replace(self._options, n_ctx=n_ctx, n_parallel=n_parallel))[0]

        return measure

    def _fits_surely(self, rooms: Sequence[Room]) -> bool:
        """Measuring reads the vocabulary once more, so what is small enough goes without."""
        if not rooms:
            return True
        if self._n_ctx is None or "-of-" in self._path.name:  # perhaps one part of several
            return False
        n_tokens = self._n_ctx * self._n_parallel
        most = 2 * self._path.stat().st_size + n_tokens * self._MOST_PER_TOKEN + self._MOST_BUFFERS
        return most <= min(room.free for room in rooms)


class _Locator:
    """Finds the device again in the loaded library, the first that has room for the model."""

    def __init__(
        self,
        request: DeviceRequest,
        candidate: Candidate,
        path: Path,
        options: LoadOptions,
        n_ctx_train: int | None,
    ) -> None:
        self._request = request
        self._gpus = candidate.gpus
        self._others = candidate.others
        self._path = path
        self._options = options
        self._n_ctx = options.n_ctx or n_ctx_train

    def locate(self, backend: Backend) -> Location:
        """Runs on the thread that loads."""
        found = _still_there(backend, self._gpus) if self._gpus else _metal_devices(backend)
        # A split takes all of them, whichever is named.
        split = dict(found) if self._options.tensor_split else {}
        names: dict[int, str] = {}
        measured: dict[int, list[MemoryNeed]] = {}
        for index, name in list(split.items())[:1] or found:
            names[index] = name
            try:
                measured[index] = backend.model_memory(self._path, self._options, device=index)
            except ModelLoadError as error:
                raise self._unmeasurable(backend, index, name, error) from None
            if not too_large(measured[index]):
                return Location(index, (split or names) if self._gpus else {})
        if not measured:
            raise DeviceError(self._vanished(backend))
        raise self._insufficient(backend, split or names, measured)

    def _vanished(self, backend: Backend) -> str:
        problem = f"the {backend.name} backend found none"
        if self._gpus:
            problem = f"{self._gpus[0].full_name} was there when the driver was asked, but is not any more"
        return f"no device for device={self._request.device!r}: {problem}"

    def _unmeasurable(
        self, backend: Backend, index: int, name: str, error: ModelLoadError
    ) -> ModelLoadError | InsufficientMemoryError:
        """The engine gives up on a context that no memory would hold, as it does on a file that is no good."""
        if self._request.may_fall_back or self._n_ctx is None:
            return error
        return context_too_long(
            f"device={self._request.device!r}",
            f"{backend.name}:{name}",
            self._measure_on(backend, index),
            ngl=self._options.n_gpu_layers,
            n_ctx=self._n_ctx,
            n_parallel=self._options.n_parallel,
            reason=error,
        )

    def _measure_on(self, backend: Backend, index: int) -> Measure:
        def measure(ngl: int, n_ctx: int) -> list[MemoryNeed]:
            options = replace(self._options, n_gpu_layers=ngl, n_ctx=n_ctx)
            return backend.model_memory(self._path, options, device=index)

        return measure

    def _insufficient(
        self, backend: Backend, names: dict[int, str], measured: dict[int, list[MemoryNeed]]
    ) -> InsufficientMemoryError:
        best = max(measured, key=lambda index: most_free(measured[index]))

        return insufficient_memory(
            f"device={self._request.device!r}",
            {index: f"{backend.name}:{name}" for index, name in names.items()},
            list(measured.values()),
            [selection.describe(gpu) for gpu in self._others],
            # Where the load goes on elsewhere, or with fewer contexts, nobody waits for advice.
            None
            if self._request.may_fall_back or (self._options.is_parallel_auto and self._options.n_parallel > 1)
            else self._measure_on(backend, best),
            ngl=self._options.n_gpu_layers,
            n_ctx=self._n_ctx,
            n_parallel=self._options.n_parallel,
        )


def _metal_devices(backend: Backend) -> Iterator[tuple[int, str]]:
    for device in backend.devices():
        if device.type in ("gpu", "integrated"):
            yield device.index, device.description


def _still_there(backend: Backend, gpus: Sequence[Gpu]) -> Iterator[tuple[int, str]]:
    """The index in this process of each GPU that the probe found, with its name, one after the other.

    To tell a device's free memory, CUDA makes a context on it, which stays, so
    those that turn out not to be needed are left alone.
    """
    for gpu in gpus:
        device = backend.device(gpu.engine_index)
        if device is None or not _is(device, gpu):
            device = next((other for other in backend.devices() if _is(other, gpu)), None)
        if device is not None:
            yield device.index, gpu.name


def _is(device: Device, gpu: Gpu) -> bool:
    if gpu.id:
        return device.id == gpu.id
    return device.index == gpu.engine_index and gpu.name.startswith(device.description)
