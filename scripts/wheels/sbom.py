"""The bill of materials of a wheel: what is linked into its libraries (CycloneDX, in ``.dist-info/sboms``, PEP 770)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SBOM_NAME", "bill_of_materials", "check_bill"]

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
    "libcxx": _Known("Apache-2.0 WITH LLVM-exception", "pkg:generic/libcxx", "The C++ library"),
    "libcxxabi": _Known("Apache-2.0 WITH LLVM-exception", "pkg:generic/libcxxabi", "C++ exceptions and types"),
    "libunwind": _Known("Apache-2.0 WITH LLVM-exception", "pkg:generic/libunwind", "C++ exceptions"),
    "zig": _Known("MIT", "pkg:pypi/ziglang", "The compiler, and its runtime library"),
    "mingw-w64": _Known("ZPL-2.1", "pkg:generic/mingw-w64", "What starts a library on Windows"),
    "gcc-runtime": _Known("GPL-3.0-or-later WITH GCC-exception-3.1", "pkg:generic/gcc", "libstdc++ and libgcc"),
}


def bill_of_materials(version: str, platform: str, records: Iterable[Mapping[str, Any]]) -> str:
    """The bill as JSON, the same for the same wheel; ``records`` are the backends' ``build.json``."""
    found: dict[str, str] = {}
    backends: dict[str, set[str]] = {}
    for record in records:
        engine = record.get("llama_cpp", {})
        linked = {"llama.cpp": engine.get("commit") or engine.get("version", ""), **record.get("linked_in", {})}
        for name, number in linked.items():
            found[name] = number
            backends.setdefault(name, set()).add(str(record.get("backend", "")))
    components = [_component(name, found[name], sorted(backends[name])) for name in sorted(found)]
    root = f"pkg:pypi/gpt4all@{version}"
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": "gpt4all",
                "version": version,
                "purl": root,
                "licenses": [{"expression": "MIT"}],
                "properties": [{"name": "gpt4all:platform", "value": platform}],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    name = json.dumps(bill, sort_keys=True)
    # Not drawn by chance, so that two builds give the same bytes.
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, name)}"
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
        named = {component["name"]: component["version"] for component in bill["components"]}
        platform = bill["metadata"]["component"]["properties"][0]["value"]
        version = bill["metadata"]["component"]["version"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return [f"the bill of materials cannot be read: {error!r}"]
    problems = [f"the bill of materials has no version of {name}" for name, number in named.items() if not number]
    if bill_of_materials(version, platform, records) != text:
        problems.append("the bill of materials is not that of the libraries in the wheel")
    return problems
