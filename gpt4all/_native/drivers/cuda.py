"""The GPUs that NVIDIA's driver knows, asked through its own library; no CUDA runtime is needed."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t
from typing import Any

from gpt4all._native.drivers.base import DriverError, DriverGpu, open_library

_NVIDIA = 0x10DE
_CUDA_ERROR_NO_DEVICE = 100
_ATTRIBUTE_INTEGRATED = 18

_PROTOTYPES: dict[str, list[Any]] = {
    "cuInit": [c_int],
    "cuDriverGetVersion": [POINTER(c_int)],
    "cuDeviceGetCount": [POINTER(c_int)],
    "cuDeviceGet": [POINTER(c_int), c_int],
    "cuDeviceGetName": [c_char_p, c_int, c_int],
    "cuDeviceGetPCIBusId": [c_char_p, c_int, c_int],
    "cuDeviceTotalMem_v2": [POINTER(c_size_t), c_int],
    "cuDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cuGetErrorString": [c_int, POINTER(c_char_p)],
}


def gpus() -> list[DriverGpu]:
    """Every device that the environment lets CUDA see.

    Raises:
        DriverError: there is no driver or no device, or it failed.
    """
    names = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1",)
    cuda: Any = open_library(names, "NVIDIA's driver")
    try:
        for name, argtypes in _PROTOTYPES.items():
            function = getattr(cuda, name)
            function.argtypes, function.restype = argtypes, c_int
    except AttributeError as error:
        raise DriverError(f"NVIDIA's driver is too old: {error}") from None
    version = c_int()
    _check(cuda, "cuDriverGetVersion", cuda.cuDriverGetVersion(byref(version)))
    api_version = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    result = cuda.cuInit(0)
    if result == _CUDA_ERROR_NO_DEVICE:
        return []
    _check(cuda, f"cuInit (of a driver for {api_version})", result)
    count = c_int()
    _check(cuda, "cuDeviceGetCount", cuda.cuDeviceGetCount(byref(count)))
    driver = _driver_version()
    return [_describe(cuda, index, driver, api_version) for index in range(count.value)]


def _describe(cuda: Any, index: int, driver: str, api_version: str) -> DriverGpu:
    device, integrated, total = c_int(), c_int(), c_size_t()
    name, bus = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
    _check(cuda, "cuDeviceGet", cuda.cuDeviceGet(byref(device), index))
    _check(cuda, "cuDeviceGetName", cuda.cuDeviceGetName(name, len(name), device))
    _check(cuda, "cuDeviceGetPCIBusId", cuda.cuDeviceGetPCIBusId(bus, len(bus), device))
    _check(cuda, "cuDeviceTotalMem", cuda.cuDeviceTotalMem_v2(byref(total), device))
    attribute = cuda.cuDeviceGetAttribute(byref(integrated), _ATTRIBUTE_INTEGRATED, device)
    _check(cuda, "cuDeviceGetAttribute", attribute)
    return DriverGpu(
        name=name.value.decode("utf-8", "replace"),
        type="integrated" if integrated.value else "discrete",
        vendor_id=_NVIDIA,
        id=bus.value.decode("ascii", "replace").lower(),
        memory_total=total.value,
        # The driver tells it only inside a context, which takes some itself; the engine has one.
        memory_free=0,
        driver=driver,
        api_version=api_version,
    )


def _driver_version() -> str:
    """The driver's own version, which CUDA does not tell but NVIDIA's management library does."""
    try:
        management: Any = open_library(("nvml.dll",) if sys.platform == "win32" else ("libnvidia-ml.so.1",), "NVML")
        version = ctypes.create_string_buffer(96)
        if management.nvmlInit_v2() != 0:
            return ""
        known = management.nvmlSystemGetDriverVersion(version, len(version)) == 0
        management.nvmlShutdown()
    except (DriverError, AttributeError):
        return ""
    return f"NVIDIA {version.value.decode('ascii', 'replace')}" if known else ""


def _check(cuda: Any, name: str, result: int) -> None:
    if result != 0:
        text = c_char_p()
        cuda.cuGetErrorString(result, byref(text))
        raise DriverError(f"{name} failed with {result} ({(text.value or b'unknown').decode('utf-8', 'replace')})")
