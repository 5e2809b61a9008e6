"""The child process that asks the drivers: real processes, a scripted engine, and drivers that crash and hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import spawn
from pathlib import Path
from subprocess import Popen

import pytest

from gpt4all import GPT4All
from gpt4all._native import loader
from gpt4all.devices import probe as gpu_probe
from gpt4all.devices import probe_process
from gpt4all.devices.gpu import Probe
from gpt4all.devices.probe import probe
from tests.support.fake import children
from tests.support.fake.backend import ROOT, FakeModel, build_fake, build_fake_driver
from tests.support.fake.helpers import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the scripted drivers are found through LD_LIBRARY_PATH"
)

KOMPUTE = (
    '{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_GPU, INT64_C(24) << 30, INT64_C(23) << 30, "Vulkan0", '
    '"NVIDIA RTX 4090", "0000:0a:00.0", "Vulkan"},'
    '{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_INTEGRATED_GPU, INT64_C(8) << 30, INT64_C(8) << 30, "Vulkan1", '
    '"AMD Radeon 780M", "", "Vulkan"},'
)
CUDA = (
    '{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_GPU, INT64_C(24) << 30, INT64_C(20) << 30, "CUDA0", '
    '"NVIDIA RTX 4090", "0000:0a:00.0", "CUDA"},'
)


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory, fake_library: Path) -> Path:
    """A directory with the fake as ``kompute`` and ``cuda``."""
    directory = tmp_path_factory.mktemp("gpu-backends")
    build_fake(directory, "kompute", FAKE_DEVICES=KOMPUTE)
    build_fake(directory, "cuda", FAKE_DEVICES=CUDA)
    return directory


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory, fake_library: Path) -> Path:
    return build_fake_driver(tmp_path_factory.mktemp("drivers"))


@pytest.fixture(autouse=True)
def _fresh(backends: Path, drivers: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing known yet, and only the scripted libraries to be found."""
    monkeypatch.setattr(gpu_probe, "_answers", {})
    # As long as it takes, however busy the machine.
    monkeypatch.setattr(probe_process, "TIME_LIMIT", 600.0)
    monkeypatch.setattr(probe_process, "PATIENCE", 600.0)
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(backends))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(drivers))
    monkeypatch.delenv(gpu_probe.SOFTWARE_VARIABLE, raising=False)
    monkeypatch.delenv("FAKE_DRIVER", raising=False)
    yield
    assert not probe_process._stuck


def test_what_the_engine_and_the_driver_tell() -> None:
    answer = probe("kompute")
    assert (answer.load_error, answer.problem) == (None, None)
    rtx, radeon, played = answer.gpus
    assert (rtx.full_name, rtx.vendor, rtx.type, rtx.id) == (
        "kompute:NVIDIA RTX 4090",
        "nvidia",
        "discrete",
        "0000:0a:00.0",
    )
    assert (rtx.memory_total, rtx.memory_free) == (24 << 30, 23 << 30)
    assert (rtx.driver, rtx.api_version) == ("NVIDIA 550.54.14", "Vulkan 1.3.255")
    assert (radeon.vendor, radeon.type, radeon.driver) == ("amd", "integrated", "radv Mesa 24.1.0")
    # The engine's index, as the fake's first device is the processor.
    assert [(gpu.index, gpu.engine_index) for gpu in (rtx, radeon)] == [(0, 1), (1, 2)]
    assert (played.name, played.type) == ("fakepipe (LLVM 15)", "software")
    assert played.unusable is not None


def test_cuda_is_asked_of_nvidias_driver() -> None:
    answer = probe("cuda")
    rtx, left_out = answer.gpus
    assert (rtx.full_name, rtx.vendor, rtx.type) == ("cuda:NVIDIA RTX 4090", "nvidia", "discrete")
    assert (rtx.driver, rtx.api_version, rtx.memory_free) == ("NVIDIA 550.54.14", "CUDA 12.4", 20 << 30)
    assert (left_out.name, left_out.type) == ("NVIDIA Thor", "integrated")
    assert left_out.unusable is not None


def test_list_gpus() -> None:
    assert GPT4All.list_gpus() == ["cuda:NVIDIA RTX 4090", "kompute:NVIDIA RTX 4090", "kompute:AMD Radeon 780M"]


def test_backends_are_asked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """So two drivers that hang take one time limit, and what one has told is not lost meanwhile."""
    ask, wait = probe_process.ask, probe_process._wait
    asked: list[str] = []
    waited_for: list[Popen[str]] = []

    def note(backend: str) -> object:
        assert not waited_for
        asked.append(backend)
        return ask(backend)

    def wait_in_vain_for_the_first(child: Popen[str], seconds: float) -> tuple[str, str]:
        waited_for.append(child)
        if len(waited_for) == 1:
            raise subprocess.TimeoutExpired(child.args, seconds)
        return wait(child, seconds)

    monkeypatch.setattr(probe_process, "ask", note)
    monkeypatch.setattr(probe_process, "_wait", wait_in_vain_for_the_first)
    assert GPT4All.list_gpus() == ["kompute:NVIDIA RTX 4090", "kompute:AMD Radeon 780M"]
    assert asked == ["cuda", "kompute"]
    assert "did not answer" in str(probe("cuda").problem)
    assert [child.poll() is None for child in waited_for] == [False, False]


@pytest.mark.parametrize("backend", ["kompute", "cuda"])
def test_a_driver_that_crashes(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("FAKE_DRIVER", "crash")
    answer = probe(backend)
    assert answer.gpus == ()
    assert answer.problem is not None
    assert "SIGSEGV" in answer.problem
    assert ("the driver is about to crash" in answer.problem) == (backend == "kompute")
    # A driver is given one chance in a process.
    monkeypatch.delenv("FAKE_DRIVER")
    assert probe(backend) is answer
    assert f"{backend}:" not in "".join(GPT4All.list_gpus())


def test_a_driver_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Waits until the child sits in the driver, and only then for the time limit."""
    mark = tmp_path / "hanging"
    wait = probe_process._wait

    def wait_once_it_hangs(child: Popen[str], seconds: float) -> tuple[str, str]:
        wait_until(lambda: mark.is_file() and mark.read_text() != "")
        return wait(child, seconds)

    with monkeypatch.context() as hanging:
        hanging.setenv("FAKE_DRIVER", "hang")
        hanging.setenv("FAKE_DRIVER_MARK", str(mark))
        hanging.setattr(probe_process, "TIME_LIMIT", 0.01)
        hanging.setattr(probe_process, "_HANDOVER", 0.01)
        hanging.setattr(probe_process, "_wait", wait_once_it_hangs)
        answer = probe("kompute")
    assert answer.problem == "the GPU drivers did not answer the kompute backend within 0.01 seconds"
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert probe("kompute") is answer
    assert GPT4All.list_gpus() == ["cuda:NVIDIA RTX 4090"]


def test_a_child_that_cannot_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a driver's kernel part no signal arrives; the program goes on without it."""
    kill = os.killpg
    monkeypatch.setenv("FAKE_DRIVER", "hang")
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    monkeypatch.setattr(probe_process, "TIME_LIMIT", 0.01)
    monkeypatch.setattr(probe_process, "_HANDOVER", 0.01)
    monkeypatch.setattr(probe_process, "PATIENCE", 0.01)
    problem = probe("kompute").problem
    assert problem is not None
    assert "did not answer" in problem
    (child,) = probe_process._stuck
    assert child.poll() is None
    kill(child.pid, signal.SIGKILL)
    child.wait()
    probe_process._stuck.clear()


def test_a_driver_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_DRIVER", "refuse")
    kompute, cuda = probe("kompute"), probe("cuda")
    assert kompute.problem is not None
    assert "Vulkan finds no driver" in kompute.problem
    assert cuda.problem is not None
    assert "cuInit (of a driver for CUDA 12.4) failed with 803" in cuda.problem
    # The engine found its devices all the same.
    assert [gpu.full_name for gpu in kompute.usable] == ["kompute:NVIDIA RTX 4090", "kompute:AMD Radeon 780M"]


def test_a_driver_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_DRIVER", "none")
    assert probe("cuda").problem is None


def test_a_driver_that_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_DRIVER", "exit")
    problem = probe("kompute").problem
    assert problem is not None
    assert "ended with status 7" in problem


def test_what_a_driver_writes_does_no_harm(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FAKE_DRIVER", "chatter")
    assert len(probe("kompute").usable) == 2
    assert capfd.readouterr() == ("", "")


def test_no_driver_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # An empty file is found before any that the system has.
    (tmp_path / "libcuda.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    problem = probe("cuda").problem
    assert problem is not None
    assert "NVIDIA's driver cannot be opened" in problem
    assert "to install NVIDIA's driver" in problem


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Costs no process, and is looked for again: it may be installed any moment."""
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(tmp_path))
    monkeypatch.setattr(loader, "__file__", str(tmp_path / "loader.py"))
    monkeypatch.setattr(loader, "_loaded", {})
    monkeypatch.setattr(probe_process, "ask", lambda backend: pytest.fail("a process for nothing"))
    answer = probe("cuda")
    assert answer.load_error is not None
    assert "build_backends.sh cuda" in answer.load_error
    assert GPT4All.list_gpus() == []


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Not kompute, of which the package's own would be found next: it opens the driver, which is a scripted one here.
    library = tmp_path / "cuda" / loader.library_file_name("cuda")
    library.parent.mkdir()
    library.write_bytes(b"\x7fELF")
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(tmp_path))
    answer = probe("cuda")
    assert answer.load_error is not None
    assert str(library) in answer.load_error


@pytest.mark.parametrize(
    ("executable", "expected"),
    [
        ("", "sys.executable names no Python to start"),
        ("/opt/studio/bin/studio", "/opt/studio/bin/studio is no Python interpreter"),
        ("/nowhere/python3", "could not be started"),
    ],
)
def test_no_interpreter_to_start(monkeypatch: pytest.MonkeyPatch, executable: str, expected: str) -> None:
    """A program that contains Python must not be started a second time."""
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(spawn, "get_executable", lambda: executable)
    answer = probe("kompute")
    assert answer.problem is not None
    assert expected in answer.problem
    assert GPT4All.list_gpus() == []


def test_a_frozen_program_can_name_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    python = sys.executable
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    problem = probe("kompute").problem
    assert problem is not None
    assert "multiprocessing.set_executable()" in problem
    monkeypatch.setattr(sys, "executable", "/opt/studio/bin/studio")
    monkeypatch.setattr(spawn, "get_executable", lambda: python)
    assert len(probe("kompute").usable) == 2


def test_a_program_made_with_pyinstaller_is_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backends: Path
) -> None:
    """What the runtime hook does, in a script that is not frozen."""
    hook = ROOT / "gpt4all" / "_pyinstaller" / "rthooks" / "pyi_rth_gpt4all.py"
    program = tmp_path / "program"
    paths = f"import sys; sys.path[:] = {sys.path!r}"
    program.write_text(f"#!{sys.executable}\n{paths}\n{hook.read_text()}\nraise SystemExit('the program itself')\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_gpt4all_answers", "--gpt4all-devices-of", raising=False)
    python = sys.executable
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(spawn, "get_executable", lambda: str(program))
    assert len(probe("kompute").usable) == 2
    program.unlink()
    monkeypatch.setattr(gpu_probe, "_answers", {})
    assert "could not be started" in (probe("kompute").problem or "")
    monkeypatch.setattr(spawn, "get_executable", lambda: python)
    assert len(probe("kompute").usable) == 2


def test_the_child_sees_the_modules_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backends: Path
) -> None:
    """Also what was put on the path by hand; and nothing out of the current directory."""
    (tmp_path / "json.py").write_text("raise RuntimeError('picked up from the current directory')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    assert len(probe("kompute").usable) == 2


@pytest.mark.parametrize("flags", [[], ["-E"], ["-s", "-S"], ["-E", "-s"]])
def test_the_child_keeps_away_from_what_this_interpreter_keeps_away_from(flags: list[str]) -> None:
    program = (
        "import sys; sys.path[:] = sys.argv[1:]; "
        "from gpt4all.devices import probe_process; print(probe_process._flags())"
    )
    command = [sys.executable, *flags, "-c", program, *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(flags)


def test_threads_share_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = probe_process.ask

    def counted(backend: str) -> object:
        asked.append(backend)
        return ask(backend)

    monkeypatch.setattr(probe_process, "ask", counted)
    answers: list[Probe] = []
    threads = [threading.Thread(target=lambda: answers.append(probe("kompute"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["kompute"]
    assert [answer is answers[0] for answer in answers] == [True] * 4


def test_an_interrupt_ends_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "hanging"
    monkeypatch.setenv("FAKE_DRIVER", "hang")
    monkeypatch.setenv("FAKE_DRIVER_MARK", str(mark))

    def interrupted(child: object, seconds: float) -> tuple[str, str]:
        wait_until(lambda: mark.is_file() and mark.read_text() != "")
        raise KeyboardInterrupt

    monkeypatch.setattr(probe_process, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe("kompute")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_a_probe(backends: Path) -> None:
    """The lock is held by a thread that the child does not have."""
    ended = children.run(
        """
        from gpt4all.devices import probe as gpu_probe, probe_process
        asking, go_on = threading.Event(), threading.Event()
        ask = probe_process.ask
        def slow(backend):
            asking.set()
            go_on.wait()
            return ask(backend)
        probe_process.ask = slow
        thread = threading.Thread(target=gpu_probe.probe, args=("kompute",))
        thread.start()
        asking.wait()
        probe_process.ask = ask
        pid = os.fork()
        if pid == 0:
            os._exit(len(gpu_probe.probe("kompute").usable))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        go_on.set()
        thread.join()
        """,
        python=("-W", "ignore::DeprecationWarning"),  # of Python 3.12 and later, which means this very case
    )
    assert (ended.out.strip(), ended.code) == ("2", 0), ended.err


def test_the_cpu_starts_no_process_and_opens_no_gpu_library(
    fake_library: Path, backends: Path, tmp_path: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = os.pathsep.join((str(fake_library.parent.parent), str(backends)))
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, both)
    ended = children.run(
        """
        import ctypes, pathlib  # ctypes opens this program itself, once
        seen = []
        STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system")
        def audit(event, arguments):
            if event in STARTS or event == "ctypes.dlopen":
                seen.append((event, str(arguments[0])))
        sys.addaudithook(audit)
        for device in (None, "cpu"):
            with GPT4All(PATHS[0], device=device) as model:
                model.generate("x", max_tokens=3)
                assert (model.backend, model.device, model.fallback_reason) == ("cpu", None, None)
        maps = pathlib.Path("/proc/self/maps").read_text()
        assert not [name for name in ("libgpt4all-kompute", "libgpt4all-cuda", "libvulkan", "libcuda") if name in maps]
        print([(event, os.path.basename(name)) for event, name in seen])
        """,
        fake_model("a"),
    )
    assert (ended.out.strip(), ended.code) == ("[('ctypes.dlopen', 'libgpt4all-cpu.so')]", 0), ended.err
