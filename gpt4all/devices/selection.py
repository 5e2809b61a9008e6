"""From a request and what is known about the GPUs to the backends and devices to try, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpt4all.devices.gpu import Gpu, Probe, byte_text
from gpt4all.devices.request import DeviceRequest
from gpt4all.errors import BackendLoadError, DeviceError

#: Backends whose devices are asked about before their library is loaded. Metal
#: has one device, and its driver is the system's own.
PROBED = ("cuda", "kompute")

_TYPE_RANKS = ("discrete", "integrated", "virtual", "other", "software")


@dataclass(frozen=True)
class Candidate:
    """A backend to try, or why not to.

    Attributes:
        backend: its name.
        gpus: those that match the request, best first; none for backends that are not probed.
        others: those that could be used but do not match, best first.
        error: what rules the backend out.
    """

    backend: str
    gpus: tuple[Gpu, ...] = ()
    others: tuple[Gpu, ...] = ()
    error: BackendLoadError | DeviceError | None = None


def select(request: DeviceRequest, probe: Callable[[str], Probe]) -> Iterator[Candidate]:
    """The backends to try for ``request``, in order; ``probe`` is called for each when its turn comes."""
    for backend in request.backends:
        if backend not in PROBED:
            yield Candidate(backend)
            continue
        answer = probe(backend)
        if answer.load_error is not None:
            yield Candidate(backend, error=_load_error(request, answer.load_error))
            continue
        usable = best_first(answer.usable)
        matching = tuple(gpu for gpu in usable if _matches(request, gpu, usable))
        others = tuple(gpu for gpu in usable if gpu not in matching)
        error = None if matching else DeviceError(_no_device_message(request, answer))
        yield Candidate(backend, matching, others, error)


def best_first(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Discrete ones before integrated ones, then those with more free memory."""
    return sorted(gpus, key=lambda gpu: (_TYPE_RANKS.index(gpu.type), -gpu.memory_free))


def describe(gpu: Gpu) -> str:
    """One GPU in a line, for messages."""
    facts = [gpu.type, gpu.vendor]
    if gpu.memory_total:
        facts.append(f"{byte_text(gpu.memory_free)} of {byte_text(gpu.memory_total)} free")
    facts.append(gpu.driver)
    line = f"{gpu.full_name} ({', '.join(filter(None, facts))})"
    return f"{line}: {gpu.unusable}" if gpu.unusable else line


def _matches(request: DeviceRequest, gpu: Gpu, usable: Sequence[Gpu]) -> bool:
    if request.vendor is not None:
        return gpu.vendor == request.vendor
    if request.name is None:
        return True
    if any(other.name == request.name for other in usable):
        return gpu.name == request.name
    return request.index is not None and gpu.index == request.index


def _load_error(request: DeviceRequest, load_error: str) -> BackendLoadError | DeviceError:
    if request.is_bare_name:
        # Who wrote it need not have heard of the backend, and may have meant something else.
        return DeviceError(
            f"no device for device={request.device!r}: it would have to be a name from list_gpus(), but {load_error}"
        )
    return BackendLoadError(load_error)


def _no_device_message(request: DeviceRequest, answer: Probe) -> str:
    lines = [f"no device for device={request.device!r}: {_why_none(request, answer)}"]
    lines += [f"  - {describe(gpu)}" for gpu in [*best_first(answer.usable), *_unusable(answer)]]
    if answer.problem is not None:
        lines.append(answer.problem)
    return "\n".join(lines)


def _unusable(answer: Probe) -> list[Gpu]:
    return [gpu for gpu in answer.gpus if gpu.unusable is not None]


def _why_none(request: DeviceRequest, answer: Probe) -> str:
    backend = answer.backend
    if not answer.gpus:
        return f"the {backend} backend found none"
    if not answer.usable:
        return f"the {backend} backend has none that it can use, among"
    if request.vendor is not None:
        return f"the {backend} backend has none of this vendor, among"
    if request.index is not None:
        return f"the {backend} backend has {len(answer.usable)}, counted from 0"
    return f"the {backend} backend has none of this name, among"
