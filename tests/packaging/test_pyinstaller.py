"""Programs made with PyInstaller: the hook that the package brings puts in all they need, GPUs included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import testmodels

from gpt4all import GPT4All, __version__
from tests.support.fake.backend import build_fake

pytest.importorskip("PyInstaller", reason="PyInstaller is not installed (extra: dev)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.skipif(sys.platform != "linux", reason="the other backend is compiled for Linux"),
    pytest.mark.skipif(
        not metadata.entry_points(group="pyinstaller40").select(module="gpt4all._pyinstaller"),
        reason="this environment's gpt4all was installed before it had a hook (scripts/setup dev)",
    ),
]

PROMPT = "The capital of France is"
# Arguments of its own, which the child that asks the drivers must not run into.
PROGRAM = f"""
import argparse
import json

import gpt4all

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
with gpt4all.GPT4All(parser.parse_args().model, n_ctx=64) as model:
    text = model.generate({PROMPT!r}, max_tokens=3, temp=0)
print(json.dumps([text, gpt4all.GPT4All.list_gpus(), gpt4all.system_info()]))
"""
GPU = (
    '{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_GPU, INT64_C(24) << 30, INT64_C(20) << 30, "CUDA0", '
    '"Fake RTX", "0000:0a:00.0", "CUDA"},'
)
#: Large, and found in this environment because tests use them.
NOT_NEEDED = ("huggingface_hub", "numpy", "pydantic", "pytest", "setuptools")


@pytest.fixture
def other_backend(tmp_path: Path) -> Path:
    """A folder for ``PYTHONPATH`` with a distribution that has a backend of its own, as ``gpt4all-cuda`` has."""
    site = tmp_path / "site"
    (site / "gpt4all_example" / "lib").mkdir(parents=True)
    (site / "gpt4all_example" / "__init__.py").write_text(
        "from pathlib import Path\n\ndirectory = Path(__file__).parent / 'lib'\n"
    )
    built = build_fake(tmp_path / "build", "cuda", FAKE_DEVICES=GPU)
    built.rename(site / "gpt4all_example" / "lib" / built.name)
    info = site / "gpt4all_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpt4all-example\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gpt4all.backends]\ncuda = gpt4all_example:directory\n")
    return site


@pytest.fixture
def make(tmp_path: Path, other_backend: Path) -> Callable[[str], Path]:
    """Makes the program, and takes it to another place."""

    def pyinstaller(mode: str) -> Path:
        (tmp_path / "program.py").write_text(PROGRAM)
        subprocess.run(
            [
                *(sys.executable, "-m", "PyInstaller", mode, "--noconfirm", "--log-level", "WARN", "program.py"),
                *(word for name in NOT_NEEDED for word in ("--exclude-module", name)),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(other_backend), "PYINSTALLER_CONFIG_DIR": str(tmp_path / "config")},
            stdin=subprocess.DEVNULL,
            check=True,
        )
        moved = tmp_path / "somewhere else ☂"
        (tmp_path / "dist").rename(moved)
        other_backend.rename(tmp_path / "gone")
        return moved / "program" / "program" if mode == "--onedir" else moved / "program"

    return pyinstaller


@pytest.mark.parametrize("mode", ["--onedir", "--onefile"])
def test_a_packaged_program_generates_and_finds_gpus(mode: str, make: Callable[[str], Path], tmp_path: Path) -> None:
    model_file = testmodels.ensure("smollm2")
    done = subprocess.run(
        [make(mode), "--model", model_file],
        # Neither a Python nor what this one has loaded to fall back on.
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text, gpus, facts = json.loads(done.stdout)
    with GPT4All(model_file, n_ctx=64) as model:
        assert text == model.generate(PROMPT, max_tokens=3, temp=0)
    assert gpus == ["cuda:Fake RTX"]
    assert _usable(facts) == {"cpu": True, "kompute": "kompute" in _built(), "cuda": True}
    assert (facts["gpt4all"]["frozen"], facts["gpt4all"]["version"]) == (True, __version__)
    assert str(Path.cwd()) not in "".join(backend["path"] or "" for backend in facts["backends"].values())


def _usable(facts: Any) -> dict[str, bool]:
    return {name: backend["usable"] for name, backend in facts["backends"].items()}


def _built() -> set[str]:
    import gpt4all

    return {path.name for path in Path(gpt4all.__file__).parent.glob("_native/lib/[!.]*")}
