"""What a library needs decides the wheel's tag."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from nativebuild.report import BuildError
from wheels.elf import ElfError, read_elf
from wheels.tag import platform_tag

from tests.support.elf_writer import AARCH64, build_elf
from tests.support.library_writers import build_macho, build_pe

GLIBC_231 = {"libm.so.6": ["GLIBC_2.29"], "libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.31", "GLIBC_2.4"]}


def write(directory: Path, name: str = "libgpt4all-cpu.so", **facts: object) -> Path:
    path = directory / name
    path.write_bytes(build_elf(**facts))  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("versions", "tag"),
    [
        ({"libc.so.6": ["GLIBC_2.2.5"]}, "manylinux_2_17_x86_64.manylinux2014_x86_64"),
        ({"libc.so.6": ["GLIBC_2.17"]}, "manylinux_2_17_x86_64.manylinux2014_x86_64"),
        (GLIBC_231, "manylinux_2_31_x86_64"),
        ({"libc.so.6": ["GLIBC_2.9", "GLIBC_2.36"], "libm.so.6": ["GLIBC_2.38"]}, "manylinux_2_38_x86_64"),
        ({"libc.so.6": ["GLIBC_2.17", "GLIBC_ABI_DT_RELR"]}, "manylinux_2_36_x86_64"),
        (
            {"libc.so.6": ["GLIBC_2.17"], "libstdc++.so.6": ["GLIBCXX_3.4.30"]},
            "manylinux_2_17_x86_64.manylinux2014_x86_64",
        ),
    ],
)
def test_the_newest_glibc_symbol_decides(tmp_path: Path, versions: dict[str, list[str]], tag: str) -> None:
    assert platform_tag([write(tmp_path, versions=versions)]) == tag


def test_the_most_demanding_of_several_libraries_decides(tmp_path: Path) -> None:
    old = write(tmp_path, "a.so", versions={"libc.so.6": ["GLIBC_2.17"]}, machine=AARCH64)
    new = write(tmp_path, "b.so", versions=GLIBC_231, machine=AARCH64)
    record = tmp_path / "build.json"
    record.write_text("{}")
    assert platform_tag([old, new, record]) == "manylinux_2_31_aarch64"


@pytest.mark.parametrize(
    ("facts", "tag"),
    [
        ({"needed": ["libc.so"], "imports": ["malloc"]}, "musllinux_1_2_x86_64"),
        # What a linker of its own system writes may need anything of it, and promises nothing.
        ({"needed": ["libc.musl-x86_64.so.1"]}, "linux_x86_64"),
        ({"needed": ["libc.so"], "imports": ["qsort_r"]}, "linux_x86_64"),
    ],
)
def test_musl_has_a_tag_where_old_musls_serve(tmp_path: Path, facts: dict[str, Any], tag: str) -> None:
    assert platform_tag([write(tmp_path, **facts)]) == tag


def test_windows_and_macos_are_told_by_their_libraries(tmp_path: Path) -> None:
    library = tmp_path / "libgpt4all-cpu"
    library.write_bytes(build_pe())
    assert platform_tag([library]) == "win_amd64"
    library.write_bytes(build_pe(machine=0xAA64))
    assert platform_tag([library]) == "win_arm64"
    library.write_bytes(build_macho(minimum=(11, 0)))
    newer = tmp_path / "newer"
    newer.write_bytes(build_macho(minimum=(13, 3)))
    assert platform_tag([library]) == "macosx_11_0_arm64"
    assert platform_tag([library, newer]) == "macosx_13_0_arm64"
    newer.write_bytes(build_macho(minimum=(10, 15), machine=0x01000007))
    assert platform_tag([newer]) == "macosx_10_15_x86_64"
    with pytest.raises(BuildError, match="different platforms"):
        platform_tag([library, newer])


def test_libraries_for_different_processors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="aarch64, x86_64"):
        platform_tag([write(tmp_path, "a.so"), write(tmp_path, "b.so", machine=AARCH64)])


def test_nothing_to_pack_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no native library"):
        platform_tag([])


def test_a_damaged_library_is_named(tmp_path: Path) -> None:
    path = tmp_path / "libgpt4all-cpu.so"
    path.write_bytes(build_elf(versions=GLIBC_231)[:-40])
    with pytest.raises(BuildError, match="libgpt4all-cpu"):
        platform_tag([path])


def test_the_reader_finds_what_the_writer_wrote() -> None:
    library = read_elf(
        build_elf(
            soname="libx.so",
            needed=["libm.so.6", "libc.so.6"],
            run_path="$ORIGIN",
            versions=GLIBC_231,
            exports=["gpt4all_init"],
            unique=["_ZGVsomething"],
            imports=["malloc"],
            executable_stack=True,
        )
    )
    assert library.machine == "x86_64"
    assert library.soname == "libx.so"
    assert library.needed == ("libm.so.6", "libc.so.6")
    assert library.run_paths == ("$ORIGIN",)
    assert library.version_needs == {name: tuple(versions) for name, versions in GLIBC_231.items()}
    assert library.exported == {"gpt4all_init", "_ZGVsomething"}
    assert [(symbol.name, symbol.binding) for symbol in library.symbols] == [
        ("gpt4all_init", "global"),
        ("_ZGVsomething", "unique"),
        ("malloc", "global"),
    ]
    assert library.executable_stack


@pytest.mark.parametrize("content", [b"", b"MZ\x90\0", b"\x7fELF\x01\x01" + bytes(60), b"\x7fELF\x02\x01"])
def test_what_is_no_64_bit_library_is_an_error(content: bytes) -> None:
    with pytest.raises(ElfError):
        read_elf(content)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a real ELF library")
def test_a_real_library_can_be_read() -> None:
    library = read_elf(Path(sys.executable).read_bytes())
    assert library.symbols
    assert library.needed
