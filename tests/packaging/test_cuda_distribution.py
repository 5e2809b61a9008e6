"""``gpt4all-cuda12`` and ``gpt4all-cuda13``: what they pack and depend on, and that gpt4all finds them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpt4all._native import loader
from tests.support.elf_writer import build_elf

pytest.importorskip("hatchling", reason="the wheel hooks run inside hatchling (extra: dev)")
tomllib = pytest.importorskip("tomllib", reason="reads pyproject.toml (Python 3.11 or newer)")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="writes ELF libraries")

DISTRIBUTIONS = Path(__file__).resolve().parents[2] / "distributions"
HOOK = DISTRIBUTIONS / "cuda" / "hatch_build.py"


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hooks' module, with a built backend of CUDA 13.0."""
    module = load(HOOK, "cuda_hatch_build")
    monkeypatch.setattr(module, "_LIBRARIES", tmp_path)
    (tmp_path / "libgpt4all-cuda.so").write_bytes(build_elf(versions={"libc.so.6": ["GLIBC_2.31"]}))
    (tmp_path / "build.json").write_text(json.dumps({"cuda": "13.0"}))
    return module


def test_the_libraries_are_packed_and_tagged(hooks: Any, tmp_path: Path) -> None:
    build_data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    metadata: Any = SimpleNamespace(name="gpt4all-cuda13", version="2.9.0")
    hook = hooks.CudaLibraryHook(str(tmp_path), {}, None, metadata, str(tmp_path), "wheel")
    hook.initialize("standard", build_data)
    assert build_data["tag"] == "py3-none-manylinux_2_31_x86_64"
    assert build_data["pure_python"] is False
    assert set(build_data["force_include"].values()) == {
        "gpt4all_cuda13/__init__.py",
        "gpt4all_cuda13/lib/libgpt4all-cuda.so",
        "gpt4all_cuda13/lib/build.json",
        "gpt4all_cuda13/LICENSE",
        "gpt4all_cuda13/THIRD_PARTY_NOTICES",
    }


@pytest.mark.parametrize(
    ("cuda", "wheels"),
    [
        ("13.0", ["nvidia-cuda-runtime>=13.0,<14", "nvidia-cublas>=13.0,<14"]),
        ("12.6", ["nvidia-cuda-runtime-cu12>=12.6,<13", "nvidia-cublas-cu12>=12.6,<13"]),
    ],
)
def test_it_depends_on_the_cuda_it_was_built_with(hooks: Any, tmp_path: Path, cuda: str, wheels: list[str]) -> None:
    (tmp_path / "build.json").write_text(json.dumps({"cuda": cuda}))
    metadata: dict[str, Any] = {"name": f"gpt4all-cuda{cuda[:2]}", "version": "2.9.0"}
    hooks.CudaMetadataHook(str(tmp_path), {}).update(metadata)
    assert metadata["dependencies"] == ["gpt4all==2.9.0", *wheels]


def test_without_a_built_backend_the_command_is_named(hooks: Any, tmp_path: Path) -> None:
    (tmp_path / "build.json").unlink()
    with pytest.raises(SystemExit, match=r"is not built\n.*build_backends\.sh cuda"):
        hooks.CudaMetadataHook(str(tmp_path), {}).update({"name": "gpt4all-cuda13", "version": "2.9.0"})


def test_another_cuda_than_the_distribution_names_is_refused(hooks: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"built with CUDA 13\.0, and 12 is wanted\n.*CUDACXX="):
        hooks.CudaMetadataHook(str(tmp_path), {}).update({"name": "gpt4all-cuda12", "version": "2.9.0"})


@pytest.mark.parametrize("major", [12, 13])
def test_the_entry_point_names_the_directory(hooks: Any, tmp_path: Path, major: int) -> None:
    (tmp_path / "build.json").write_text(json.dumps({"cuda": f"{major}.1"}))
    text = (DISTRIBUTIONS / f"gpt4all-cuda{major}" / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    metadata: dict[str, Any] = {"name": project["name"], "version": "2.9.0"}
    hooks.CudaMetadataHook(str(tmp_path), {}).update(metadata)
    # hatchling takes from a hook only what is said to come from one.
    assert set(metadata) - {"name"} == set(project["dynamic"])
    module_name, _, function = metadata["entry-points"][loader.ENTRY_POINT_GROUP]["cuda"].partition(":")
    package = tmp_path / module_name
    package.mkdir()
    shutil.copy(HOOK.with_name("package.py"), package / "__init__.py")
    assert getattr(load(package / "__init__.py", module_name), function)() == package / "lib"
