"""What is known about GPUs. Pure: asks nobody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU as one backend sees it.

    Attributes:
        backend: the backend's name.
        name: the product's name; a second one of the same name is "NAME (2)".
        index: number among the backend's usable devices, in the engine's
            order, which ``"cuda:0"`` means; ``None`` where it is not usable.
        engine_index: number among all of the engine's devices, -1 for none.
        vendor: in lower case, "" where unknown.
        type: "discrete", "integrated", "virtual", "software" or "other".
        memory_total, memory_free: bytes, 0 where unknown.
        driver: its name and version, "" where unknown.
        api_version: as "Vulkan 1.3.255" or "CUDA 12.4", "" where unknown.
        id: where it is on the PCI bus, "" where unknown.
        unusable: why it cannot be used, ``None`` where it can.
    """

    backend: str
    name: str
    index: int | None
    engine_index: int = -1
    vendor: str = ""
    type: str = "other"
    memory_total: int = 0
    memory_free: int = 0
    driver: str = ""
    api_version: str = ""
    id: str = ""
    unusable: str | None = None

    @property
    def full_name(self) -> str:
        """The name with its backend, as ``device=`` takes it."""
        return f"{self.backend}:{self.name}"


@dataclass(frozen=True)
class Probe:
    """What is known about a backend's GPUs.

    Attributes:
        backend: the backend's name.
        gpus: those found, the unusable ones too.
        load_error: why the backend's library cannot be used at all.
        problem: what went wrong while the drivers were asked.
    """

    backend: str
    gpus: tuple[Gpu, ...] = ()
    load_error: str | None = None
    problem: str | None = None

    @property
    def usable(self) -> tuple[Gpu, ...]:
        return tuple(gpu for gpu in self.gpus if gpu.unusable is None)


def byte_text(count: int) -> str:
    """A number of bytes, exactly, and roughly for people."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if count >= unit:
            return f"{count} bytes ({count / unit:.1f} {name})"
    return f"{count} bytes"
