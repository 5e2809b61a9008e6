"""Physical cores, asked of macOS and Windows; Linux tells them in files."""

from __future__ import annotations

import ctypes
import struct
import sys

_RELATION_PROCESSOR_CORE = 0


def physical_cores() -> int | None:
    """On Apple silicon the fast cores alone: work shared with slow ones waits for them. ``None`` where unknown."""
    try:
        if sys.platform == "darwin":
            return _sysctl(b"hw.perflevel0.physicalcpu") or _sysctl(b"hw.physicalcpu")
        if sys.platform == "win32":
            return count_cores(_core_records()) or None
    except (OSError, AttributeError):
        pass
    return None


def _sysctl(name: bytes) -> int:
    value, size = ctypes.c_int32(), ctypes.c_size_t(4)
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return 0 if failed else value.value


def _core_records() -> bytes:
    ask = ctypes.CDLL("kernel32").GetLogicalProcessorInformationEx
    size = ctypes.c_uint32(0)
    ask(_RELATION_PROCESSOR_CORE, None, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    return buffer.raw[: size.value] if ask(_RELATION_PROCESSOR_CORE, buffer, ctypes.byref(size)) else b""


def count_cores(records: bytes) -> int:
    """The cores among what Windows tells, records that each begin with kind and length in four bytes."""
    count = at = 0
    while at + 8 <= len(records):
        kind, length = struct.unpack_from("<II", records, at)
        count += kind == _RELATION_PROCESSOR_CORE
        at += max(length, 8)
    return count
