"""Facts about this installation and this machine, for bug reports."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from gpt4all._version import __version__

if TYPE_CHECKING:
    from gpt4all.devices.gpu import Probe

__all__ = ["SystemInfo", "system_info"]


class _Part(TypedDict, total=False):
    """Where a part could not be told, this is all it has."""

    error: str


class PackageInfo(_Part, total=False):
    """This package: ``installer`` is ``None`` where no installer put it there."""

    version: str
    path: str
    installer: str | None
    editable: bool
    frozen: bool
    dependencies: dict[str, str]


class PythonInfo(_Part, total=False):
    version: str
    implementation: str
    executable: str
    free_threaded: bool


class PlatformInfo(_Part, total=False):
    system: str
    release: str
    machine: str
    #: The C library and its version, ``"glibc 2.36"``; "" where unknown.
    libc: str
    distribution: str


class CpuInfo(_Part, total=False):
    """``variant`` is the module chosen for this processor, ``"built-in"`` where the library has but one.

    ``instruction_sets`` are those that it uses, ``features`` those of the processor as Linux names them.
    """

    name: str
    variant: str
    instruction_sets: list[str]
    features: list[str]


class ThreadInfo(_Part, total=False):
    """Processors of the machine; cores and hardware threads this process may use; what ``n_threads=None`` means."""

    logical: int
    physical: int
    usable: int
    default: int


class LimitInfo(TypedDict):
    where: str
    free: int


class MemoryInfo(_Part, total=False):
    """Bytes, ``None`` where unknown. ``available`` is the least that ``limits`` leave this process."""

    total: int | None
    available: int | None
    limits: list[LimitInfo]


class BackendInfo(_Part, total=False):
    """A backend's library: ``error`` says why it cannot be used."""

    usable: bool
    path: str | None
    build: str
    #: What went wrong while the GPUs' drivers were asked.
    problem: str | None


class GpuInfo(TypedDict):
    """As ``GPT4All.list_gpus`` names it; ``unusable`` says why it cannot be used, ``None`` where it can."""

    name: str
    type: str
    vendor: str
    memory_total: int
    memory_free: int
    driver: str
    api_version: str
    id: str
    unusable: str | None


class CudaInfo(_Part, total=False):
    """NVIDIA's files on this machine, whether or not the cuda backend is there."""

    driver: str | None
    libraries: list[str]


class ModelFolderInfo(_Part, total=False):
    path: str
    exists: bool
    writable: bool
    #: Files that end in ``.gguf``.
    models: int
    free_bytes: int


class SystemInfo(TypedDict):
    """What ``system_info`` returns. A part that could not be told has only ``error``."""

    gpt4all: PackageInfo
    python: PythonInfo
    platform: PlatformInfo
    cpu: CpuInfo
    threads: ThreadInfo
    memory: MemoryInfo
    backends: dict[str, BackendInfo]
    gpus: list[GpuInfo]
    cuda: CudaInfo
    models: ModelFolderInfo
    environment: dict[str, str]


def system_info() -> SystemInfo:
    """Facts about this installation and this machine, for bug reports.

    Each backend's library is loaded in a child process, not in this one: a
    driver may crash, or hang, for which the child has 30 seconds. Where all is
    well it takes about a second. A packaged program that can start no such
    child loads the library for the CPU, and no other.

    Returns:
        A dict that ``json.dumps`` takes. Whatever is broken says so as text in
        its place. It holds paths, with your user's name in them perhaps, and
        the settings listed under ``environment``; no model's name, no prompt
        and no token.

    Example:
        >>> import json
        >>> import gpt4all
        >>> facts = gpt4all.system_info()
        >>> print(json.dumps(facts, indent=2))  # doctest: +SKIP
        >>> facts["backends"]["cpu"]["usable"]
        True
    """
    reports = _reports()
    cpu = _cpu_device(reports)
    backends = {name: _backend(name, reports) for name in _backend_names()}
    return _as_json(
        {
            "gpt4all": _package(),
            "python": _python(),
            "platform": _platform(),
            "cpu": _cpu(reports, cpu),
            "threads": _threads(),
            "memory": _memory(cpu),
            "backends": backends,
            "gpus": _gpus(reports),
            "cuda": _cuda(),
            "models": _models(),
            "environment": _environment(),
        }
    )


def _part(function: Callable[..., Any]) -> Callable[..., Any]:
    """One broken part must not cost the others."""

    @functools.wraps(function)
    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    return guarded


def _as_json(facts: Any) -> SystemInfo:
    """File names need not be Unicode, and JSON has to be."""
    text = json.dumps(facts, default=str, ensure_ascii=False)
    return cast(SystemInfo, json.loads(text.encode("utf-8", "replace")))


# Backends


def _backend_names() -> tuple[str, ...]:
    return ("cpu", "metal") if sys.platform == "darwin" else ("cpu", "kompute", "cuda")


def _reports() -> dict[str, Mapping[str, Any]]:
    """What each backend's child process tells, or ``{"error": …}``."""
    try:
        from gpt4all.devices.probe import reports

        return reports(_backend_names())
    except Exception as error:
        return {name: {"error": f"{type(error).__name__}: {error}"} for name in _backend_names()}


def _cpu_device(reports: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The processor as the engine sees it; ``{}`` where no library could be asked."""
    for report in reports.values():
        for device in report.get("devices", ()):
            if device["type"] == "cpu":
                return cast(Mapping[str, Any], device)
    return {}


@_part
def _backend(name: str, reports: Mapping[str, Mapping[str, Any]]) -> BackendInfo:
    report = reports[name]
    error = report.get("load_error", report.get("error"))
    if error is not None:
        return {"usable": False, "path": _library_file(name), "error": error}
    return {
        "usable": True,
        "path": report["path"],
        "build": report["build"],
        "problem": report["driver"]["error"],
    }


def _library_file(name: str) -> str | None:
    """The file that would be loaded, if only it could be."""
    from gpt4all._native import loader

    return next((str(found.path) for found in loader.candidates(name) if found.path.is_file()), None)


def _gpus(reports: Mapping[str, Mapping[str, Any]]) -> list[GpuInfo]:
    from gpt4all.devices import probe

    found: list[GpuInfo] = []
    for name, report in reports.items():
        try:
            answer: Probe = probe.combine(name, report)
        except Exception:  # nothing was told, for which the backend's own part has the reason
            continue
        found += [
            {
                "name": gpu.full_name,
                "type": gpu.type,
                "vendor": gpu.vendor,
                "memory_total": gpu.memory_total,
                "memory_free": gpu.memory_free,
                "driver": gpu.driver,
                "api_version": gpu.api_version,
                "id": gpu.id,
                "unusable": gpu.unusable,
            }
            for gpu in answer.gpus
        ]
    return found


@_part
def _cuda() -> CudaInfo:
    from gpt4all._native import cuda_runtime

    return {"driver": cuda_runtime.driver_version(), "libraries": [str(path) for path in cuda_runtime.installed()]}


# The machine


@_part
def _cpu(reports: Mapping[str, Mapping[str, Any]], device: Mapping[str, Any]) -> CpuInfo:
    from gpt4all.machine import cpu_threads

    told = next((report["cpu"] for report in reports.values() if report.get("cpu")), "")
    variant, _, instruction_sets = told.partition(":")
    return {
        "name": device.get("description", ""),
        "variant": variant,
        "instruction_sets": instruction_sets.split(),
        "features": cpu_threads.cpu_features(),
    }


@_part
def _threads() -> ThreadInfo:
    from gpt4all.machine import cpu_threads

    return {
        "logical": os.cpu_count() or 1,
        "physical": cpu_threads.physical_cores(),
        "usable": cpu_threads.usable_cpus(),
        "default": cpu_threads.default_thread_count(),
    }


_NO_LIMIT = 1 << 60


@_part
def _memory(cpu: Mapping[str, Any]) -> MemoryInfo:
    from gpt4all.machine import main_memory

    total = cpu.get("memory_total") or None
    # A control group without a limit has one beyond all machines.
    rooms = [room for room in main_memory.rooms() if room.free < _NO_LIMIT]
    free = [room.free for room in rooms] or ([cpu["memory_free"]] if cpu.get("memory_free") else [])
    return {
        "total": total,
        "available": min(free, default=None),
        "limits": [{"where": room.where, "free": room.free} for room in rooms],
    }


@_part
def _platform() -> PlatformInfo:
    import platform

    distribution = ""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # no such file, in some containers
            distribution = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "libc": " ".join(filter(None, platform.libc_ver())),
        "distribution": distribution,
    }


# Python and the package


@_part
def _python() -> PythonInfo:
    import platform
    import sysconfig

    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable or "",
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }


@_part
def _package() -> PackageInfo:
    from gpt4all._native import installation

    installed = installation.installed_as()
    return {
        "version": __version__,
        "path": str(Path(__file__).parent),
        "installer": None if installed is None else installed.installer,
        "editable": installed is not None and installed.editable,
        "frozen": bool(getattr(sys, "frozen", False)),
        "dependencies": _dependencies(),
    }


def _dependencies() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in _DEPENDENCIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_DEPENDENCIES = (
    *("filelock", "huggingface_hub", "numpy", "platformdirs", "requests", "tqdm", "typing_extensions", "urllib3"),
    *("gpt4all-cuda12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"),
    *("gpt4all-cuda13", "nvidia-cublas", "nvidia-cuda-runtime"),
)


@_part
def _models() -> ModelFolderInfo:
    import shutil

    from gpt4all import gpt4all

    folder = Path(gpt4all.DEFAULT_MODEL_DIRECTORY)
    # Made when the first model is downloaded.
    parent = next((path for path in (folder, *folder.parents) if path.is_dir()), Path())
    return {
        "path": str(folder),
        "exists": folder.is_dir(),
        "writable": os.access(parent, os.W_OK),
        "models": sum(1 for _ in folder.glob("*.gguf")),
        "free_bytes": shutil.disk_usage(parent).free,
    }


#: What else changes what the engine or a download does. No variable that may hold a password or a token.
_VARIABLES = (
    *("CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "VK_DRIVER_FILES"),
    *("VK_ICD_FILENAMES", "HF_HUB_OFFLINE", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "CONDA_PREFIX"),
    *("GPT4ALL_ALLOW_SOFTWARE_GPU", "GPT4ALL_BACKEND_PATH", "GPT4ALL_BERT_KERNELS", "GPT4ALL_MODEL_DIR"),
)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}
