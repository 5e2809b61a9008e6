"""llama.cpp's source in a build area: linked, patched, and touched only where something changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nativebuild.engine import PATCHES_DIR, mirror_engine
from nativebuild.fetch import cached_source
from nativebuild.report import BuildError

PATCH = """A reason stands here.
--- a/src/a.cpp
+++ b/src/a.cpp
@@ -1,3 +1,4 @@
 one
-two
+2
+two and a half
 three
@@ -5 +6 @@
-five
+FIVE
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "src").mkdir(parents=True)
    (source / "src" / "a.cpp").write_text("one\ntwo\nthree\nfour\nfive\n")
    (source / "src" / "b.cpp").write_text("b\n")
    return source


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    patches = tmp_path / "patches"
    patches.mkdir()
    return patches


def mirrored(source: Path, patches: Path) -> Path:
    target = source.parent / "target"
    mirror_engine(source, target, patches)
    return target


def test_a_patch_changes_the_copy_alone(source: Path, patches: Path) -> None:
    before = (source / "src/a.cpp").read_text()
    (patches / "1.patch").write_text(PATCH)
    target = mirrored(source, patches)
    assert (target / "src/a.cpp").read_text() == "one\n2\ntwo and a half\nthree\nfour\nFIVE\n"
    assert (target / "src/b.cpp").read_text() == "b\n"
    assert (source / "src/a.cpp").read_text() == before


def test_patches_of_one_file_build_on_each_other(source: Path, patches: Path) -> None:
    (patches / "1.patch").write_text(PATCH)
    (patches / "2.patch").write_text("--- a/src/a.cpp\n+++ b/src/a.cpp\n@@ -2 +2 @@\n-2\n+zwei\n")
    assert (mirrored(source, patches) / "src/a.cpp").read_text().splitlines()[1] == "zwei"


def test_a_patch_that_comes_and_goes_makes_the_file_newer_each_time(source: Path, patches: Path) -> None:
    os.utime(source / "src/a.cpp", (1, 1))
    target = mirrored(source, patches)
    (patches / "1.patch").write_text(PATCH)
    mirrored(source, patches)
    assert (target / "src/a.cpp").stat().st_mtime > 1
    (patches / "1.patch").unlink()
    mirrored(source, patches)
    assert (target / "src/a.cpp").read_text() == (source / "src/a.cpp").read_text()
    assert (target / "src/a.cpp").stat().st_mtime > 1


def test_what_did_not_change_is_not_touched(source: Path, patches: Path) -> None:
    (patches / "1.patch").write_text(PATCH)
    target = mirrored(source, patches)
    os.utime(target / "src/a.cpp", (5, 5))
    mirrored(source, patches)
    assert (target / "src/a.cpp").stat().st_mtime == 5


def test_a_file_that_is_gone_goes(source: Path, patches: Path) -> None:
    target = mirrored(source, patches)
    (source / "src/b.cpp").unlink()
    mirrored(source, patches)
    assert not (target / "src/b.cpp").exists()


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (PATCH.replace(" one", " uno"), "1.patch: src/a.cpp does not fit: line 1 should be 'uno' and is 'one'"),
        (PATCH.replace("src/a.cpp", "src/c.cpp"), "changes src/c.cpp, which llama.cpp's source does not have"),
        (PATCH.replace("src/a.cpp", "../a.cpp"), "leads outside"),
        (PATCH.replace("-5 +6", "-9 +9"), "is 'the end of the file'"),
    ],
)
def test_a_patch_that_does_not_fit_is_told(source: Path, patches: Path, patch: str, reason: str) -> None:
    (patches / "1.patch").write_text(patch)
    with pytest.raises(BuildError) as failure:
        mirrored(source, patches)
    assert reason in str(failure.value)


def test_our_patches_say_why() -> None:
    for patch in PATCHES_DIR.glob("*.patch"):
        reason = patch.read_text().split("--- a/")[0].strip()
        assert len(reason) > 40, patch.name


def test_our_patches_fit_the_pinned_source(tmp_path: Path) -> None:
    source = cached_source()
    if source is None:
        pytest.skip("the pinned llama.cpp is not in the build cache")
    mirror_engine(source, tmp_path / "target")
