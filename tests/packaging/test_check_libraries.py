"""A wheel's libraries are looked into on every platform they can be for."""

from __future__ import annotations

import pytest
from wheels.libraries import Place, check_library
from wheels.macho import MachError, read_macho
from wheels.pe import PeError, read_pe

from tests.support.elf_writer import build_elf
from tests.support.library_writers import build_macho, build_pe

DECLARED = {"gpt4all_init", "gpt4all_generate"}
ENTRY = Place({"libgpt4all-cpu-ggml.dll", "libgpt4all-cpu-ggml.dylib"}, DECLARED)


def problems(name: str, content: bytes, place: Place = ENTRY) -> list[str]:
    return list(check_library(name, content, place))


def test_a_windows_library_that_is_sound() -> None:
    needed = ["KERNEL32.dll", "api-ms-win-crt-heap-l1-1-0.dll", "libgpt4all-cpu-ggml.dll"]
    content = build_pe(needed=needed, exports=sorted(DECLARED))
    assert problems("libgpt4all-cpu.dll", content) == []
    library = read_pe(content)
    assert library.machine == "amd64"
    assert library.needed == tuple(needed)
    assert library.exported == DECLARED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (build_pe(exports=["gpt4all_init"]), "lacks gpt4all_generate"),
        (build_pe(exports=[*DECLARED, "llama_decode"]), "exports llama_decode"),
        (build_pe(exports=sorted(DECLARED), needed=["libstdc++-6.dll"]), "needs libstdc++-6.dll"),
        (build_pe(exports=sorted(DECLARED), name="other.dll"), "calls itself other.dll"),
        (build_pe(exports=sorted(DECLARED), symbols=0x500), "is not stripped"),
        (build_pe(exports=sorted(DECLARED)) + b"/home/me/llama.cpp/x.c", "tells where it was built: /home/me"),
        (build_pe(exports=sorted(DECLARED)) + b"\0src/ggml-x/../ggml-impl.h\0", "names src/ggml-x/../ggml-impl.h"),
    ],
)
def test_each_fault_of_a_windows_library(content: bytes, problem: str) -> None:
    (found,) = problems("libgpt4all-cpu.dll", content)
    assert problem in found


def test_a_macos_library_that_is_sound() -> None:
    needed = ["/usr/lib/libSystem.B.dylib", "@rpath/libgpt4all-cpu-ggml.dylib"]
    content = build_macho(needed=needed, exports=sorted(DECLARED), hidden=["llama_decode"])
    assert problems("libgpt4all-cpu.dylib", content) == []
    library = read_macho(content)
    assert library.machine == "arm64"
    assert library.minimum == (11, 0)
    assert library.exported == DECLARED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (build_macho(exports=["gpt4all_init"]), "lacks gpt4all_generate"),
        (build_macho(exports=[*DECLARED, "llama_decode"]), "exports llama_decode"),
        (build_macho(exports=sorted(DECLARED), needed=["/opt/lib/libomp.dylib"]), "needs /opt/lib/libomp.dylib"),
        (build_macho(exports=sorted(DECLARED), name="/opt/x.dylib"), "calls itself /opt/x.dylib"),
        (build_macho(exports=sorted(DECLARED), run_path="/opt"), "looks for libraries in '/opt'"),
        (build_macho(exports=sorted(DECLARED), signed=False), "has no signature that fits"),
        (build_macho(exports=sorted(DECLARED)).replace(b"\x0b", b"\x0c", 1), "has no signature that fits"),
    ],
)
def test_each_fault_of_a_macos_library(content: bytes, problem: str) -> None:
    (found,) = problems("libgpt4all-cpu.dylib", content)
    assert problem in found


def test_a_module_lets_out_what_is_the_engines() -> None:
    module = Place(set())
    exports = ["ggml_backend_init", "_Z14gguf_type_size9gguf_type"]
    assert problems("ggml-cpu-x64.dll", build_pe(name="ggml-cpu-x64.dll", exports=exports), module) == []
    (found,) = problems("ggml.dll", build_pe(name="ggml.dll", exports=["_ZNSt3__16vectorE"]), module)
    assert found == "ggml.dll exports _ZNSt3__16vectorE"
    content = build_macho(name="", exports=["_ZNSt3__16vectorE"])
    assert problems("libggml-cpu-x64.so", content, module) == ["libggml-cpu-x64.so exports _ZNSt3__16vectorE"]
    assert problems("libggml-cpu-x64.so", build_macho(name="", exports=exports), module) == []


def test_what_nobody_signed_runs_on_macs_with_intel_alone() -> None:
    content = build_macho(machine=0x01000007, exports=sorted(DECLARED), signed=False)
    assert problems("libgpt4all-cpu.dylib", content) == []
    assert read_macho(content).signed is None


def test_what_is_no_library_is_named() -> None:
    assert problems("notes.txt", b"hello") == ["notes.txt is no library of a platform that is known"]
    with pytest.raises(PeError):
        read_pe(build_pe()[:200])
    with pytest.raises(MachError):
        read_macho(build_macho()[:60])
    assert problems("libx.so", build_elf(soname="libx.so"), Place(set())) == []
