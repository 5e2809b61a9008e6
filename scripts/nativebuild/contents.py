"""What is linked into the libraries besides our own code, with versions: for the build's record."""

from __future__ import annotations

import re
from pathlib import Path

from nativebuild.zig import LLVM_VERSION
from nativebuild.zig import VERSION as ZIG_VERSION

__all__ = ["linked_in"]


def linked_in(engine: Path, compiler: str, toolkit: str, system: str) -> dict[str, str]:
    """Name to version, of everything whose compiled code a backend's libraries contain.

    ``engine`` is llama.cpp's tree, ``compiler`` and ``toolkit`` are as they describe themselves, and ``system`` is as
    ``sys.platform`` has it, that of the libraries.
    """
    found = {
        "ggml": _version(engine / "ggml" / "CMakeLists.txt", r"set\(GGML_VERSION_{} (\d+)\)"),
        "nlohmann-json": _version(
            engine / "vendor" / "nlohmann" / "json.hpp", r"#define NLOHMANN_JSON_VERSION_{}\s+(\d+)"
        ),
    }
    if match := re.search(r"Vulkan headers ([\d.]+)", toolkit):
        found["vulkan-headers"] = match[1]
    if compiler.startswith("zig "):
        names = ["libcxx", "libcxxabi", "libunwind"]
        found.update(dict.fromkeys(names, LLVM_VERSION))
        # zig's own compiler-rt is written in zig, and so is what starts a library.
        found["zig"] = ZIG_VERSION
        if system == "win32":
            found["mingw-w64"] = ZIG_VERSION
    elif system == "linux" and "clang" not in compiler and (numbers := re.findall(r"\d+\.\d+\.\d+", compiler)):
        found["gcc-runtime"] = numbers[-1]
    return found


def _version(path: Path, pattern: str) -> str:
    """The three numbers that a file defines; empty where it has another form."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = [re.search(pattern.format(part), text) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(match[1] for match in found if match) if all(found) else ""
