"""The bill of materials of a wheel: what is linked into its libraries (CycloneDX, in ``.dist-info/sboms``, PEP 770)."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["SBOM_NAME", "bill_of_materials", "check_bill", "write_bill"]

SBOM_NAME = "gpt4all.cdx.json"
_NAMESPACE = uuid.UUID("5f0a6c0e-3f0c-5c53-9d0b-0d8c1a1d6b1a")


@dataclass(frozen=True)
class _Known:
    """How a component is told to others: its licence as SPDX has it, and its package URL without the version."""

    license: str
    purl: str
    description: str


_COMPONENTS = {
    "llama.cpp": _Known("MIT", "pkg:github/ggml-org/llama.cpp", "The engine"),
    "ggml": _Known("MIT", "pkg:github/ggml-org/ggml", "The engine's tensors; its copy in llama.cpp's source"),
    "nlohmann-json": _Known("MIT", "pkg:github/nlohmann/json", "JSON, in the engine's chat templates"),
    "vulkan-headers": _Known(
        "Apache-2.0 OR MIT", "pkg:github/KhronosGroup/Vulkan-Headers", "Vulkan-Hpp, in the kompute backend"
    ),
    "cccl": _Known(
        "BSD-3-Clause AND Apache-2.0 WITH LLVM-exception",
        "pkg:github/NVIDIA/cccl",
        "CUB and libcu++, NVIDIA's C++ headers, in the cuda backend",
    ),
    "libcxx": _Known("Apache-2.0 WITH LLVM-exception", "pkg:generic/libcxx", "The C++ library"),
    "libcxxabi": _Known("Apache-2.0 WITH LLVM-exception", "pkg:generic/libcxxabi", "C++ exceptions and types"),
    "libunwind": _Known("Apache-2.0 WITH LLVM-exception", "pkg:generic/libunwind", "C++ exceptions"),
    "zig": _Known("MIT", "pkg:pypi/ziglang", "The compiler, and its runtime library"),
    "mingw-w64": _Known("ZPL-2.1", "pkg:generic/mingw-w64", "What starts a library on Windows"),
    "gcc-runtime": _Known("GPL-3.0-or-later WITH GCC-exception-3.1", "pkg:generic/gcc", "libstdc++ and libgcc"),
}


def write_bill(
    owner: object, version: str, platform: str, records: Iterable[Mapping[str, Any]], name: str = "gpt4all"
) -> str:
    """Write the bill of a wheel into a file that is there as long as ``owner``, the hook that packs it; its path."""
    folder = Path(tempfile.mkdtemp(prefix="gpt4all-sbom-"))
    # Hatchling tells the hook when a wheel is made, but not when making it failed.
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    path = folder / SBOM_NAME
    path.write_text(bill_of_materials(version, platform, records, name), encoding="utf-8", newline="\n")
    return str(path)


def bill_of_materials(version: str, platform: str, records: Iterable[Mapping[str, Any]], name: str = "gpt4all") -> str:
    """The bill as JSON, the same for the same wheel; ``records`` are the backends' ``build.json``."""
    found: dict[str, str] = {}
    backends: dict[str, set[str]] = {}
    for record in records:
        engine = record.get("llama_cpp", {})
        linked = {"llama.cpp": engine.get("commit") or engine.get("version", ""), **record.get("linked_in", {})}
        for part, number in linked.items():
            found[part] = number
            backends.setdefault(part, set()).add(str(record.get("backend", "")))
    components = [_component(part, found[part], sorted(backends[part])) for part in sorted(found)]
    root = f"pkg:pypi/{name}@{version}"
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": name,
                "version": version,
                "purl": root,
                "licenses": [{"expression": "MIT"}],
                "properties": [{"name": "gpt4all:platform", "value": platform}],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    # Not drawn by chance, so that two builds give the same bytes.
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(bill, sort_keys=True))}"
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"


def _component(name: str, version: str, backends: list[str]) -> dict[str, Any]:
    known = _COMPONENTS[name]
    purl = f"{known.purl}@{version}" if version else known.purl
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "description": known.description,
        "licenses": [{"expression": known.license}],
        "purl": purl,
        "properties": [{"name": "gpt4all:backend", "value": backend} for backend in backends],
    }


def check_bill(text: str, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a wheel's bill, beside the records in the same wheel."""
    try:
        bill = json.loads(text)
        versions = {component["name"]: component["version"] for component in bill["components"]}
        platform = bill["metadata"]["component"]["properties"][0]["value"]
        version, name = (bill["metadata"]["component"][key] for key in ("version", "name"))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return [f"the bill of materials cannot be read: {error!r}"]
    problems = [f"the bill of materials has no version of {part}" for part, number in versions.items() if not number]
    if bill_of_materials(version, platform, records, name) != text:
        problems.append("the bill of materials is not that of the libraries in the wheel")
    return problems
