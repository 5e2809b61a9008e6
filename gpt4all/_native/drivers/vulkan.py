"""The GPUs that Vulkan's drivers know, asked through the system's Vulkan loader.

Only the few structures of ``vulkan_core.h`` that are needed, with its names.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

from gpt4all._native import install_hints
from gpt4all._native.c_strings import to_str
from gpt4all._native.drivers.base import DriverError, DriverGpu, open_library

_LIBRARIES = {
    "win32": ("vulkan-1.dll",),
    "darwin": ("libvulkan.1.dylib", "libMoltenVK.dylib"),
}
# The engine's Vulkan backend wants 1.2, which is enough for all that is asked here.
_API_1_2 = 1 << 22 | 2 << 12

_INSTANCE_CREATE_INFO = 1
_PROPERTIES_2 = 1000059001
_MEMORY_PROPERTIES_2 = 1000059006
_DRIVER_PROPERTIES = 1000196000
_PCI_BUS_INFO = 1000212000
_MEMORY_BUDGET = 1000237000
_PCI_EXTENSION = b"VK_EXT_pci_bus_info"
_BUDGET_EXTENSION = b"VK_EXT_memory_budget"
_HEAP_DEVICE_LOCAL = 1

_TYPES = {0: "other", 1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}
_RESULTS = {
    -1: "out of host memory",
    -2: "out of device memory",
    -3: "initialisation failed",
}
_ERROR_INCOMPATIBLE_DRIVER = -9


class _ApplicationInfo(ctypes.Structure):
    _fields_ = [
        ("sType", c_uint32),
        ("pNext", c_void_p),
        ("pApplicationName", c_char_p),
        ("applicationVersion", c_uint32),
        ("pEngineName", c_char_p),
        ("engineVersion", c_uint32),
        ("apiVersion", c_uint32),
    ]


class _InstanceCreateInfo(ctypes.Structure):
    _fields_ = [
        ("sType", c_uint32),
        ("pNext", c_void_p),
        ("flags", c_uint32),
        ("pApplicationInfo", POINTER(_ApplicationInfo)),
        ("enabledLayerCount", c_uint32),
        ("ppEnabledLayerNames", c_void_p),
        ("enabledExtensionCount", c_uint32),
        ("ppEnabledExtensionNames", c_void_p),
    ]


class _Properties(ctypes.Structure):
    _fields_ = [
        ("apiVersion", c_uint32),
        ("driverVersion", c_uint32),
        ("vendorID", c_uint32),
        ("deviceID", c_uint32),
        ("deviceType", c_uint32),
        ("deviceName", c_char * 256),
        ("pipelineCacheUUID", c_uint8 * 16),
        # VkPhysicalDeviceLimits by its size and alignment alone.
        ("limits", c_uint64 * 63),
        ("sparseProperties", c_uint32 * 5),
    ]


class _Properties2(ctypes.Structure):
    _fields_ = [("sType", c_uint32), ("pNext", c_void_p), ("properties", _Properties)]


class _DriverProperties(ctypes.Structure):
    _fields_ = [
        ("sType", c_uint32),
        ("pNext", c_void_p),
        ("driverID", c_uint32),
        ("driverName", c_char * 256),
        ("driverInfo", c_char * 256),
        ("conformanceVersion", c_uint8 * 4),
    ]


class _PciBusInfo(ctypes.Structure):
    _fields_ = [
        ("sType", c_uint32),
        ("pNext", c_void_p),
        ("pciDomain", c_uint32),
        ("pciBus", c_uint32),
        ("pciDevice", c_uint32),
        ("pciFunction", c_uint32),
    ]


class _MemoryHeap(ctypes.Structure):
    _fields_ = [("size", c_uint64), ("flags", c_uint32)]


class _MemoryProperties2(ctypes.Structure):
    _fields_ = [
        ("sType", c_uint32),
        ("pNext", c_void_p),
        ("memoryTypeCount", c_uint32),
        ("memoryTypes", c_uint32 * 2 * 32),
        ("memoryHeapCount", c_uint32),
        ("memoryHeaps", _MemoryHeap * 16),
    ]


class _MemoryBudget(ctypes.Structure):
    _fields_ = [
        ("sType", c_uint32),
        ("pNext", c_void_p),
        ("heapBudget", c_uint64 * 16),
        ("heapUsage", c_uint64 * 16),
    ]


class _ExtensionProperties(ctypes.Structure):
    _fields_ = [("extensionName", c_char * 256), ("specVersion", c_uint32)]


_PROTOTYPES: dict[str, tuple[list[Any], Any]] = {
    "vkCreateInstance": ([POINTER(_InstanceCreateInfo), c_void_p, POINTER(c_void_p)], c_int32),
    "vkDestroyInstance": ([c_void_p, c_void_p], None),
    "vkEnumeratePhysicalDevices": ([c_void_p, POINTER(c_uint32), POINTER(c_void_p)], c_int32),
    "vkEnumerateDeviceExtensionProperties": (
        [c_void_p, c_char_p, POINTER(c_uint32), POINTER(_ExtensionProperties)],
        c_int32,
    ),
    "vkGetPhysicalDeviceProperties2": ([c_void_p, POINTER(_Properties2)], None),
    "vkGetPhysicalDeviceMemoryProperties2": ([c_void_p, POINTER(_MemoryProperties2)], None),
}


def gpus() -> list[DriverGpu]:
    """Every physical device of every driver.

    Raises:
        DriverError: there is no loader or no driver, or it failed.
    """
    vulkan = open_library(_LIBRARIES.get(sys.platform, ("libvulkan.so.1", "libvulkan.so")), "the Vulkan loader")
    try:
        for name, (argtypes, restype) in _PROTOTYPES.items():
            function = getattr(vulkan, name)
            function.argtypes, function.restype = argtypes, restype
    except AttributeError as error:
        raise DriverError(f"the Vulkan loader is older than Vulkan 1.1: {error}") from None
    application = _ApplicationInfo(sType=0, pApplicationName=b"gpt4all", apiVersion=_API_1_2)
    wanted = _InstanceCreateInfo(sType=_INSTANCE_CREATE_INFO, pApplicationInfo=ctypes.pointer(application))
    instance = c_void_p()
    _check("vkCreateInstance", vulkan.vkCreateInstance(byref(wanted), None, byref(instance)))
    try:
        devices = _enumerate(
            "vkEnumeratePhysicalDevices",
            c_void_p,
            lambda count, array: vulkan.vkEnumeratePhysicalDevices(instance, count, array),
        )
        return [_describe(vulkan, device) for device in devices]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _describe(vulkan: Any, device: c_void_p) -> DriverGpu:
    extensions = {
        extension.extensionName
        for extension in _enumerate(
            "vkEnumerateDeviceExtensionProperties",
            _ExtensionProperties,
            lambda count, array: vulkan.vkEnumerateDeviceExtensionProperties(device, None, count, array),
        )
    }
    bus = _PciBusInfo(sType=_PCI_BUS_INFO)
    driver = _DriverProperties(sType=_DRIVER_PROPERTIES)
    if _PCI_EXTENSION in extensions:
        driver.pNext = ctypes.addressof(bus)
    all_properties = _Properties2(sType=_PROPERTIES_2, pNext=ctypes.addressof(driver))
    vulkan.vkGetPhysicalDeviceProperties2(device, byref(all_properties))
    properties = all_properties.properties
    total, free = _memory(vulkan, device, _BUDGET_EXTENSION in extensions)
    version = properties.apiVersion
    return DriverGpu(
        name=to_str(properties.deviceName),
        type=_TYPES.get(properties.deviceType, "other"),
        vendor_id=properties.vendorID,
        id=f"{bus.pciDomain:04x}:{bus.pciBus:02x}:{bus.pciDevice:02x}.{bus.pciFunction:x}"
        if _PCI_EXTENSION in extensions
        else "",
        memory_total=total,
        memory_free=free,
        driver=" ".join(filter(None, (to_str(driver.driverName), to_str(driver.driverInfo)))),
        api_version=f"Vulkan {version >> 22 & 0x7F}.{version >> 12 & 0x3FF}.{version & 0xFFF}",
    )


def _memory(vulkan: Any, device: c_void_p, has_budget: bool) -> tuple[int, int]:
    """Bytes of the device's own memory, and how many of them are free as far as the driver tells."""
    budget = _MemoryBudget(sType=_MEMORY_BUDGET)
    memory = _MemoryProperties2(sType=_MEMORY_PROPERTIES_2, pNext=ctypes.addressof(budget) if has_budget else None)
    vulkan.vkGetPhysicalDeviceMemoryProperties2(device, byref(memory))
    total = free = 0
    for index in range(memory.memoryHeapCount):
        heap = memory.memoryHeaps[index]
        if heap.flags & _HEAP_DEVICE_LOCAL:
            total += heap.size
            free += max(0, budget.heapBudget[index] - budget.heapUsage[index]) if has_budget else heap.size
    return total, free


def _enumerate(name: str, kind: Any, call: Callable[[Any, Any], int]) -> list[Any]:
    """What a function lists that is called once for the number and once for the items."""
    count = c_uint32()
    _check(name, call(byref(count), None))
    items = (kind * count.value)()
    # Fewer may have become of them meanwhile; a positive result says that there are more.
    _check(name, call(byref(count), items))
    return [c_void_p(item) if kind is c_void_p else item for item in items[: count.value]]


def _check(name: str, result: int) -> None:
    if result == _ERROR_INCOMPATIBLE_DRIVER:
        raise DriverError(f"Vulkan finds no driver ({name}); {install_hints.for_vulkan_driver()}")
    if result < 0:
        raise DriverError(f"{name} failed with {result} ({_RESULTS.get(result, 'see VkResult')})")
