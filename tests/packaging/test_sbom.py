"""The bill of materials names what is linked in, and is the same for the same libraries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nativebuild import contents, zig
from nativebuild.options import BACKENDS
from nativebuild.targets import TARGETS, target_named
from wheels.sbom import bill_of_materials, check_bill

ROOT = Path(__file__).resolve().parents[2]
CPU = {"backend": "cpu", "llama_cpp": {"commit": "abc"}, "linked_in": {"ggml": "1.2.3", "libcxx": "22.1.8"}}
KOMPUTE = {**CPU, "backend": "kompute", "linked_in": {"ggml": "1.2.3", "vulkan-headers": "1.4.309"}}


def test_each_component_has_a_licence_a_version_and_its_backends() -> None:
    bill = json.loads(bill_of_materials("2.9.0", "win_amd64", [CPU, KOMPUTE]))
    assert bill["bomFormat"] == "CycloneDX"
    named = {component["name"]: component for component in bill["components"]}
    assert set(named) == {"llama.cpp", "ggml", "libcxx", "vulkan-headers"}
    assert named["llama.cpp"]["purl"] == "pkg:github/ggml-org/llama.cpp@abc"
    assert named["libcxx"]["licenses"] == [{"expression": "Apache-2.0 WITH LLVM-exception"}]
    assert [entry["value"] for entry in named["ggml"]["properties"]] == ["cpu", "kompute"]
    (tree,) = bill["dependencies"]
    assert tree["dependsOn"] == [component["bom-ref"] for component in bill["components"]]


def test_the_same_libraries_have_the_same_bill() -> None:
    text = bill_of_materials("2.9.0", "win_amd64", [CPU])
    assert text == bill_of_materials("2.9.0", "win_amd64", [CPU])
    assert (
        json.loads(text)["serialNumber"] != json.loads(bill_of_materials("2.9.1", "win_amd64", [CPU]))["serialNumber"]
    )
    assert check_bill(text, [CPU]) == []
    assert check_bill(text, [KOMPUTE]) == ["the bill of materials is not that of the libraries in the wheel"]
    assert "cannot be read" in check_bill("{}", [CPU])[0]
    nameless: dict[str, Any] = {**CPU, "linked_in": {"ggml": ""}}
    assert check_bill(bill_of_materials("1", "x", [nameless]), [nameless]) == [
        "the bill of materials has no version of ggml"
    ]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    (tmp_path / "ggml").mkdir()
    (tmp_path / "vendor" / "nlohmann").mkdir(parents=True)
    (tmp_path / "ggml" / "CMakeLists.txt").write_text(
        "set(GGML_VERSION_MAJOR 0)\nset(GGML_VERSION_MINOR 25)\nset(GGML_VERSION_PATCH 3)\n"
    )
    defines = (
        f"#define NLOHMANN_JSON_VERSION_{part}   {n}  // NOLINT\n"
        for part, n in (("MAJOR", 3), ("MINOR", 12), ("PATCH", 0))
    )
    (tmp_path / "vendor" / "nlohmann" / "json.hpp").write_text("".join(defines))
    return tmp_path


def test_versions_are_read_from_the_sources(engine: Path) -> None:
    gcc = contents.linked_in(engine, "c++ (Debian 12.2.0-14) 12.2.0; cc (Debian 12.2.0-14) 12.2.0", "", "linux")
    assert gcc == {"ggml": "0.25.3", "nlohmann-json": "3.12.0", "gcc-runtime": "12.2.0"}
    description = zig.ZigTools(engine, TARGETS["win_amd64"]).compilers().description
    windows = contents.linked_in(engine, description, "Vulkan headers 1.4.309, glslc", "win32")
    assert windows["vulkan-headers"] == "1.4.309"
    assert windows["libcxx"] == zig.LLVM_VERSION
    assert "mingw-w64" in windows
    assert "gcc-runtime" not in contents.linked_in(engine, "Apple clang version 17.0.0", "", "darwin")


def test_all_that_can_be_linked_in_is_known_to_the_bill(engine: Path) -> None:
    for target in TARGETS.values():
        description = zig.ZigTools(engine, target).compilers().description
        linked = contents.linked_in(engine, description, "Vulkan headers 1.4.309", target.platform)
        bill_of_materials("1", target.tag, [{"backend": "cpu", "llama_cpp": {"commit": "x"}, "linked_in": linked}])


def test_arithmetic_of_our_own_is_compiled_for_every_target() -> None:
    shim = (ROOT / "backends" / "cmake" / "Shim.cmake").read_text(encoding="utf-8")
    known = re.findall(r'CMAKE_SYSTEM_PROCESSOR MATCHES "(.+)"', shim)
    for target in TARGETS.values():
        assert any(re.search(pattern, target.machine) for pattern in known), target.name


def test_targets_name_backends_that_their_platform_has() -> None:
    for target in TARGETS.values():
        for name in target.backends:
            platforms = BACKENDS[name].platforms
            assert not platforms or target.platform in platforms
    with pytest.raises(Exception, match=r"unknown target 'amiga'; known: manylinux-x86_64"):
        target_named("amiga")


@pytest.mark.skipif(shutil.which("sh") is None, reason="runs a shell script")
@pytest.mark.parametrize(
    ("given", "called"),
    [
        (["-march=armv8-a"], ["-mcpu=generic+v8a"]),
        (["-march=armv8.2-a+dotprod+fp16+sve"], ["-mcpu=generic+v8_2a+dotprod+fullfp16+sve"]),
        (["-march=armv8.6-a+i8mm+nosve+sme"], ["-mcpu=generic+v8_6a+i8mm-sve+sme"]),
        (["-mavx2", "-DA=a b", "-o", "x y.o"], ["-mavx2", "-DA=a b", "-o", "x y.o"]),
    ],
)
def test_the_compilers_script_says_it_as_zig_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], called: list[str]
) -> None:
    program = tmp_path / "zig"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GPT4ALL_BUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(zig, "_installed", lambda: program)
    compiler = zig.zig_tools(TARGETS["manylinux-aarch64"]).compilers().cxx
    words = subprocess.run([compiler, *given], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[:3] == ["c++", "-target", "aarch64-linux-gnu.2.17"]
    assert words[-len(called) :] == called
