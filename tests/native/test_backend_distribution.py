"""A backend in a distribution of its own, installed by pip and found through its entry point."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gpt4all._native import loader
from tests.support.fake import children
from tests.support.fake.backend import FakeModel, build_fake

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the wheel holds a library for Linux"),
    pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="installs a wheel with pip"),
]

RTX = (
    '{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_GPU, INT64_C(24) << 30, INT64_C(20) << 30, "CUDA0", '
    '"NVIDIA RTX 4090", "0000:0a:00.0", "CUDA"},'
)
MODULE = """
import pathlib

def directory():
    return pathlib.Path(__file__).parent / "lib"
"""
METADATA = "Metadata-Version: 2.1\nName: gpt4all-example\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: py3-none-any\n"


def write_wheel(path: Path, library: Path) -> None:
    """The least that is a wheel: a module that tells where the library is, the library, and what pip reads."""
    info = "gpt4all_example-1.0.dist-info"
    files = {
        "gpt4all_example/__init__.py": MODULE.encode(),
        f"gpt4all_example/lib/{library.name}": library.read_bytes(),
        f"{info}/METADATA": METADATA.encode(),
        f"{info}/WHEEL": WHEEL.encode(),
        f"{info}/entry_points.txt": f"[{loader.ENTRY_POINT_GROUP}]\ncuda = gpt4all_example:directory\n".encode(),
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.fixture
def site(tmp_path: Path, fake_library: Path) -> Path:
    """A directory with the distribution installed in it."""
    wheel = tmp_path / "gpt4all_example-1.0-py3-none-any.whl"
    write_wheel(wheel, build_fake(tmp_path / "build", "cuda", FAKE_DEVICES=RTX))
    target = tmp_path / "site"
    options = ["--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, wheel], check=True)
    return target


def test_it_is_found_and_used(
    site: Path, fake_library: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(fake_library.parent.parent))
    # A kompute backend that is built in this clone has no device then.
    monkeypatch.delenv("GPT4ALL_ALLOW_SOFTWARE_GPU", raising=False)
    ended = children.run(
        f"""
        sys.path.append({str(site)!r})
        print(GPT4All.list_gpus())
        for device in ("cuda", "cuda:0", "auto"):
            with GPT4All(PATHS[0], device=device) as model:
                print(model.backend, model.device, model.fallback_reason, model.generate("x", max_tokens=1))
        from gpt4all._native import loader
        print(loader.load("cuda").path)
        """,
        fake_model("a"),
    )
    *lines, path = ended.out.splitlines()
    assert (lines, ended.code) == (["['cuda:NVIDIA RTX 4090']", *["cuda NVIDIA RTX 4090 None a"] * 3], 0), ended.err
    assert Path(path).parent == site / "gpt4all_example" / "lib"


def test_without_it_the_error_says_how_to_get_it(
    fake_library: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(loader.SEARCH_PATH_VARIABLE, str(fake_library.parent.parent))
    if (Path(loader.__file__).parent / "lib" / "cuda" / loader.library_file_name("cuda")).is_file():
        pytest.skip("a cuda backend is built in this clone")
    ended = children.run(
        """
        from gpt4all import BackendLoadError
        try:
            GPT4All(PATHS[0], device="cuda")
        except BackendLoadError as error:
            print(error)
        """,
        fake_model("a"),
    )
    assert "build_backends.sh cuda" in ended.out, ended.err
    assert str(Path("cuda", loader.library_file_name("cuda"))) in ended.out
