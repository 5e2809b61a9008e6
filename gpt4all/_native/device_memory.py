"""A library's devices, and what a model would take of their memory."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int32
from dataclasses import dataclass

from gpt4all._native import abi
from gpt4all._native.c_strings import to_str

_TYPES = {
    abi.DEVICE_CPU: "cpu",
    abi.DEVICE_GPU: "gpu",
    abi.DEVICE_INTEGRATED_GPU: "integrated",
    abi.DEVICE_SOFTWARE_GPU: "software",
}
#: Enough for any machine that is likely; more are asked for again.
_FEW_DEVICES = 8


@dataclass(frozen=True)
class Device:
    """A device as the engine names it; memory in bytes, 0 where unknown."""

    index: int
    #: ``"cpu"``, ``"gpu"``, ``"integrated"``, ``"software"`` (a GPU's interface
    #: computed by the processor) or ``"other"``.
    type: str
    name: str
    description: str
    memory_total: int
    memory_free: int
    #: PCI address such as ``"0000:01:00.0"``, empty where unknown.
    id: str = ""
    #: What drives it: ``"CPU"``, ``"Vulkan"``, ``"CUDA"`` or ``"MTL"``.
    api: str = ""


@dataclass(frozen=True)
class MemoryNeed:
    """What a model would take of one memory, in bytes, and what that memory has; 0 where unknown."""

    #: Index of the device, ``None`` for main memory.
    device: int | None
    #: Of ``n_layer + 1``: the output counts as one.
    n_layers: int
    #: In main memory, without what stays mapped from the file.
    weights: int
    context: int
    #: Work buffers.
    compute: int
    memory_total: int
    memory_free: int

    @property
    def total(self) -> int:
        return self.weights + self.context + self.compute


def list_devices(cdll: ctypes.CDLL) -> list[Device]:
    return [read_device(cdll, index) for index in range(count_devices(cdll))]


def count_devices(cdll: ctypes.CDLL) -> int:
    count = c_int32()
    cdll.gpt4all_device_count(byref(count))
    return count.value


def read_device(cdll: ctypes.CDLL, index: int) -> Device:
    info = abi.DeviceInfo(struct_size=ctypes.sizeof(abi.DeviceInfo))
    cdll.gpt4all_device_get_info(index, byref(info))
    return Device(
        index=index,
        type=_TYPES.get(info.type, "other"),
        name=to_str(info.name),
        description=to_str(info.description),
        memory_total=info.memory_total,
        memory_free=info.memory_free,
        id=to_str(info.id),
        api=to_str(info.api),
    )


def measure_model(cdll: ctypes.CDLL, path: bytes, options: abi.LoadOptions) -> list[MemoryNeed]:
    capacity = _FEW_DEVICES
    count = c_int32()
    while True:
        needs = (abi.MemoryNeed * capacity)()
        status = cdll.gpt4all_model_memory(path, byref(options), needs, capacity, byref(count))
        if status == abi.OK:
            return [_memory_need(raw) for raw in needs[: count.value]]
        capacity = count.value


def _memory_need(raw: abi.MemoryNeed) -> MemoryNeed:
    return MemoryNeed(
        device=raw.device if raw.device >= 0 else None,
        n_layers=raw.n_layers,
        weights=raw.weights,
        context=raw.context,
        compute=raw.compute,
        memory_total=raw.memory_total,
        memory_free=raw.memory_free,
    )
