"""``build_backends.sh``: what it refuses, and when it has to build again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nativebuild import area, build
from nativebuild.area import BuildArea
from nativebuild.fetch import LOCK_FILE
from nativebuild.options import BACKENDS, BuildOptions
from nativebuild.report import BuildError
from nativebuild.toolkit import Toolkit
from nativebuild.tools import Compilers, check_compilers, find_compilers

from tests.support.fake.backend import find_compiler

ROOT = Path(__file__).resolve().parents[2]
CPU = BACKENDS["cpu"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler (cc, gcc or clang, or CC)")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "build_backends.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tpu"], "unknown backend 'tpu'; known: cpu, kompute, cuda, metal, all"),
        (["cuda", "--define", "GGML_CUDA_FA"], "must be NAME=VALUE"),
        (["cpu", "metal"], "unrecognized arguments: metal"),
        (["--jobs", "0"], "must be a number, 1 or more"),
        (["--jobs", "many"], "must be a number, 1 or more"),
        (["--sanitize", "everything"], "invalid choice: 'everything'"),
        (["--variants", "some"], "invalid choice: 'some'"),
        (["--native", "--variants", "all"], "not allowed with argument"),
    ],
)
def test_arguments_that_make_no_sense_are_explained(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_help_names_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    options = (
        "--native",
        "--variants",
        "--jobs",
        "--debug",
        "--sanitize",
        "--clean",
        "--cuda-architectures",
        "--define",
    )
    for word in (*options, "LLAMA_CPP_SOURCE_DIR", "CUDACXX", "VULKAN_SDK"):
        assert word in done.stdout


def test_it_runs_from_anywhere_and_through_a_link(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "build_backends.sh"), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0


def test_a_missing_compiler_names_the_package(build_cache: Path) -> None:
    done = run(CXX="/nowhere/c++")
    assert done.returncode == 1
    assert "CXX=/nowhere/c++ names no program" in done.stderr
    assert "apt-get install g++" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_compiler_at_all_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BuildError, match=r"no C\+\+ compiler found\n.*apt-get install g\+\+"):
        find_compilers()


def test_a_compiler_that_does_not_work_is_met_before_the_build(tmp_path: Path) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'cannot find -lstdc++' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(BuildError, match=r"cannot find -lstdc\+\+\n.*cannot build a small C\+\+17 program"):
        check_compilers(Compilers(broken, broken, "broken 1.0"))


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build_cache: Path) -> Path:
    """A copy of our native sources that a test may change."""
    copy = tmp_path / "clone" / "backends"
    shutil.copytree(ROOT / "backends", copy)
    monkeypatch.setattr(area, "BACKENDS_DIR", copy)
    return copy


COMPILERS = Compilers(Path("/usr/bin/cc"), Path("/usr/bin/c++"), "compiler 12")
VARIANTS = BuildOptions("all")


def find(options: BuildOptions = VARIANTS, engine: str = "/cache/llama.cpp-1", compilers: Compilers = COMPILERS) -> str:
    return BuildArea.find(CPU, options, Path(engine), compilers).root.name


def test_our_own_sources_share_one_area_of_engine_objects(sources: Path) -> None:
    before = find()
    (sources / "src" / "new.cpp").write_text("int added;\n")
    (sources / "cmake" / "Shim.cmake").write_text("# changed\n")
    assert find() == before


def test_what_decides_the_engine_gets_an_area_of_its_own(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [
        find(),
        find(BuildOptions("all", debug=True)),
        find(BuildOptions("all", sanitize="thread")),
        find(engine="/cache/llama.cpp-2"),
        find(compilers=Compilers(COMPILERS.cc, COMPILERS.cxx, "compiler 13")),
    ]
    monkeypatch.setenv("CXXFLAGS", "-O1")
    seen.append(find())
    (sources / "cmake" / "LlamaCpp.cmake").write_text("# changed\n")
    seen.append(find())
    assert len(set(seen)) == len(seen)


@needs_compiler
def test_a_native_build_is_for_one_processor(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = find(BuildOptions(), compilers=find_compilers())
    monkeypatch.setattr(area, "processor_features", lambda compilers: "another")
    assert find(BuildOptions(), compilers=find_compilers()) != here


def test_the_number_of_jobs_changes_nothing(sources: Path) -> None:
    assert find(BuildOptions("all", jobs=1)) == find(BuildOptions("all", jobs=7))


def test_every_source_counts_for_being_up_to_date(sources: Path) -> None:
    first = BuildArea.find(CPU, VARIANTS, Path("/engine"), COMPILERS)
    before = first.inputs()
    (sources / "src" / "api" / "library.cpp").write_text("// changed\n")
    assert first.inputs() != before


def test_the_mirror_touches_only_what_changed(sources: Path, tmp_path: Path) -> None:
    target = tmp_path / "mirror"
    assert area.mirror(target)
    old = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file()}
    for path in sources.rglob("*"):
        os.utime(path, (1, 1))
    changed = target / "src" / "api" / "library.cpp"
    (sources / "src" / "api" / "library.cpp").write_text("// changed\n")
    assert not area.mirror(target)
    assert changed.read_text() == "// changed\n"
    assert all(path.stat().st_mtime_ns == time for path, time in old.items() if path != changed)


@pytest.mark.parametrize("name", ["src/new.cpp", "cmake/New.cmake", "CMakeLists.txt", "llama_cpp.lock"])
def test_the_mirror_tells_when_cmake_has_to_run_again(sources: Path, tmp_path: Path, name: str) -> None:
    area.mirror(tmp_path / "mirror")
    (sources / name).write_text("# new\n")
    assert area.mirror(tmp_path / "mirror")
    assert not area.mirror(tmp_path / "mirror")


def test_the_mirror_drops_what_is_gone(sources: Path, tmp_path: Path) -> None:
    area.mirror(tmp_path / "mirror")
    (sources / "src" / "api" / "library.cpp").unlink()
    assert area.mirror(tmp_path / "mirror")
    assert not (tmp_path / "mirror" / "src" / "api" / "library.cpp").exists()


@pytest.fixture
def installed(sources: Path, tmp_path: Path) -> tuple[Path, BuildArea]:
    """A directory that looks as if this build had been installed into it."""
    found = BuildArea.find(CPU, VARIANTS, Path("/engine"), COMPILERS)
    target = tmp_path / "lib" / "cpu"
    target.mkdir(parents=True)
    (target / "libgpt4all-cpu.so").write_bytes(b"\x7fELF")
    record = {"inputs": found.inputs(), "files": {"libgpt4all-cpu.so": 4}}
    (target / "build.json").write_text(json.dumps(record))
    return target, found


def test_a_second_run_has_nothing_to_do(installed: tuple[Path, BuildArea]) -> None:
    assert build._is_current(*installed)


def test_what_is_up_to_date_waits_for_no_other_build(
    installed: tuple[Path, BuildArea], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, _ = installed

    def lock(name: str) -> None:
        pytest.fail("it takes the lock that another clone's build may hold for minutes")

    monkeypatch.setattr(build, "INSTALL_ROOT", target.parent)
    monkeypatch.setattr(build, "find_compilers", lambda: COMPILERS)
    monkeypatch.setattr(build, "llama_cpp_source", lambda: Path("/engine"))
    monkeypatch.setattr(build, "lock", lock)
    assert build.build_backend(CPU, VARIANTS) == target
    assert "up to date" in capsys.readouterr().err


def test_a_lost_or_damaged_library_is_built_again(installed: tuple[Path, BuildArea]) -> None:
    target, found = installed
    (target / "libgpt4all-cpu.so").write_bytes(b"")
    assert not build._is_current(target, found)
    (target / "libgpt4all-cpu.so").unlink()
    assert not build._is_current(target, found)


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"inputs": "x", "files": {}}'])
def test_an_unreadable_record_means_building(installed: tuple[Path, BuildArea], record: str) -> None:
    (installed[0] / "build.json").write_text(record)
    assert not build._is_current(*installed)


def test_a_local_engine_is_never_taken_for_up_to_date(
    installed: tuple[Path, BuildArea], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_CPP_SOURCE_DIR", "/somewhere")
    assert not build._is_current(*installed)


@pytest.mark.parametrize(
    "options",
    [
        BuildOptions(),
        BuildOptions("all", debug=True),
        BuildOptions(cuda_architectures="86-real;90-virtual", extra=(("GGML_CUDA_FA", "OFF"),)),
    ],
)
def test_how_a_library_was_built_is_recorded(sources: Path, tmp_path: Path, options: BuildOptions) -> None:
    """The programs that it is compared with are built in the same way, not in one that takes another hour."""
    found = BuildArea.find(CPU, options, Path("/engine"), COMPILERS)
    made = build.Build(CPU, options, Path("/engine"), COMPILERS, Toolkit(), found)
    (tmp_path / "build.json").write_text(build._record(made, tmp_path))
    assert build.recorded_options(tmp_path) == options


@pytest.mark.parametrize("record", ["", "[]", "{}"])
def test_a_record_that_does_not_tell_how(tmp_path: Path, record: str) -> None:
    (tmp_path / "build.json").write_text(record)
    with pytest.raises(BuildError, match="does not tell how it was built"):
        build.recorded_options(tmp_path)


def test_cmake_and_python_read_the_same_commit() -> None:
    """CMake takes the line by its beginning, so the file has to keep that form."""
    lines = [line for line in LOCK_FILE.read_text().splitlines() if line.startswith('commit = "')]
    assert len(lines) == 1
