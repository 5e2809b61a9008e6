"""The wheel hook: what it packs, how it tags, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wheels.sbom import check_bill

from tests.support.elf_writer import AARCH64, build_elf

pytest.importorskip("hatchling", reason="the wheel hook runs inside hatchling (extra: dev)")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="writes ELF libraries")

HOOK = Path(__file__).resolve().parents[2] / "scripts" / "hatch_build.py"


@pytest.fixture
def hook(tmp_path: Path) -> Any:
    """The hook, for a project in a temporary directory."""
    spec = importlib.util.spec_from_file_location("hatch_build", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    metadata = SimpleNamespace(version="2.9.0")
    return module.NativeLibraryHook(str(tmp_path), {}, None, metadata, str(tmp_path / "dist"), "wheel")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A built CPU backend."""
    folder = tmp_path / "gpt4all" / "_native" / "lib" / "cpu"
    folder.mkdir(parents=True)
    path = folder / "libgpt4all-cpu.so"
    path.write_bytes(build_elf(versions={"libc.so.6": ["GLIBC_2.31"]}))
    (folder / "build.json").write_text("{}")
    return path


def run(hook: Any, version: str = "standard") -> dict[str, Any]:
    build_data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    hook.initialize(version, build_data)
    return build_data


def test_built_libraries_are_packed_and_tagged(hook: Any, library: Path) -> None:
    packed = run(hook)
    assert packed["tag"] == "py3-none-manylinux_2_31_x86_64"
    assert packed["pure_python"] is False
    assert packed["force_include"] == {
        str(library.with_name("build.json")): "gpt4all/_native/lib/cpu/build.json",
        str(library): "gpt4all/_native/lib/cpu/libgpt4all-cpu.so",
    }


def test_an_editable_install_uses_them_where_they_are(hook: Any, library: Path) -> None:
    packed = run(hook, "editable")
    assert packed["force_include"] == {}
    assert packed["pure_python"] is False


def test_what_a_broken_build_left_is_not_packed(hook: Any, library: Path) -> None:
    for name in (".stage-cpu", ".old-cpu", "cuda"):
        folder = library.parent.parent / name
        folder.mkdir()
        (folder / "libggml.so").write_bytes(b"")
    assert len(run(hook)["force_include"]) == 2


def test_kompute_is_packed_and_cuda_is_a_distribution_of_its_own(hook: Any, library: Path) -> None:
    for name in ("kompute", "cuda"):
        folder = library.parent.parent / name
        folder.mkdir()
        (folder / f"libgpt4all-{name}.so").write_bytes(library.read_bytes())
    packed = set(run(hook)["force_include"].values())
    assert "gpt4all/_native/lib/kompute/libgpt4all-kompute.so" in packed
    assert not any("cuda" in name for name in packed)


def test_the_cpu_backend_is_built_where_none_is(hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def build(root: Path) -> None:
        asked.append(root)
        folder = root / "gpt4all" / "_native" / "lib" / "cpu"
        folder.mkdir(parents=True)
        (folder / "libgpt4all-cpu.so").write_bytes(build_elf())

    monkeypatch.setattr(type(hook), "_build_cpu", staticmethod(build))
    assert list(run(hook)["force_include"].values()) == ["gpt4all/_native/lib/cpu/libgpt4all-cpu.so"]
    assert asked == [tmp_path]


def test_a_sanitized_library_is_refused(hook: Any, library: Path) -> None:
    library.with_name("build.json").write_text(json.dumps({"sanitize": "thread"}))
    with pytest.raises(SystemExit, match="built with --sanitize thread"):
        run(hook)


def test_what_is_linked_in_is_told(hook: Any, library: Path) -> None:
    record = {"backend": "cpu", "llama_cpp": {"commit": "abc"}, "linked_in": {"ggml": "1.2.3"}}
    library.with_name("build.json").write_text(json.dumps(record))
    packed = run(hook)
    (path,) = packed["sbom_files"]
    assert Path(path).name == "gpt4all.cdx.json"
    assert check_bill(Path(path).read_text(), [record]) == []


def test_nothing_stays_behind_in_the_temporary_folder(
    tmp_path: Path, hook: Any, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    again = type(hook)(str(tmp_path), {}, None, hook.metadata, str(tmp_path / "dist"), "wheel")
    run(again)
    assert any(temporary.iterdir())
    del again  # as hatchling does whether a wheel came of it or not
    assert not any(temporary.iterdir())


def test_the_backends_of_another_platform_may_be_packed(
    hook: Any, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere" / "cpu"
    folder.mkdir(parents=True)
    other = folder / "libgpt4all-cpu.so"
    other.write_bytes(build_elf(machine=AARCH64))
    monkeypatch.setenv("GPT4ALL_WHEEL_LIBRARIES", str(folder.parent))
    packed = run(hook)
    assert packed["force_include"] == {str(other): "gpt4all/_native/lib/cpu/libgpt4all-cpu.so"}
    assert packed["tag"] == "py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64"
