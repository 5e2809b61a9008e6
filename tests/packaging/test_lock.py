"""The pin of llama.cpp is read strictly: a typo must not fetch something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from nativebuild.fetch import LOCK_FILE
from nativebuild.lock import read_lock
from nativebuild.report import BuildError

GOOD = {
    "package": "llama-cpp-python",
    "package_version": "0.3.36",
    "sdist_sha256": "8" * 64,
    "source_path": "vendor/llama.cpp",
    "version": "0.5.0",
    "commit": "0c1e57098",
}


def write(path: Path, values: dict[str, str], extra: str = "") -> Path:
    path.write_text("# why\n\n" + "".join(f'{key} = "{value}"\n' for key, value in values.items()) + extra)
    return path


def test_the_real_lock_file_is_valid() -> None:
    lock = read_lock(LOCK_FILE)
    assert lock.requirement == f"llama-cpp-python=={lock.package_version}"
    assert lock.source_path == "vendor/llama.cpp"


def test_all_values_are_read(tmp_path: Path) -> None:
    lock = read_lock(write(tmp_path / "lock", GOOD))
    assert {key: getattr(lock, key) for key in GOOD} == GOOD


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_value_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BuildError, match=f"lacks {key}"):
        read_lock(write(tmp_path / "lock", {name: value for name, value in GOOD.items() if name != key}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("package", "--index-url=x"),
        ("package_version", "latest"),
        ("sdist_sha256", "8" * 63),
        ("sdist_sha256", "G" * 64),
        ("source_path", "vendor; rm"),
        ("commit", "master"),
    ],
)
def test_a_malformed_value_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(BuildError, match=f"no valid {key}"):
        read_lock(write(tmp_path / "lock", {**GOOD, key: value}))


@pytest.mark.parametrize("path", ["/etc", "../vendor", "vendor/../../x"])
def test_a_source_path_that_leads_outside_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BuildError, match="source_path must stay inside"):
        read_lock(write(tmp_path / "lock", {**GOOD, "source_path": path}))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('color = "red"\n', "line 9: unknown key 'color'"),
        ("commit = 5\n", "line 9: expected"),
        ('commit = "0c1e57098"\n', "line 9: 'commit' is given twice"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        read_lock(write(tmp_path / "lock", GOOD, extra))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot read .*lock"):
        read_lock(tmp_path / "lock")
