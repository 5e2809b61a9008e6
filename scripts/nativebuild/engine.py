"""llama.cpp's source as a build area sees it: the fetched tree with our patches applied.

A patch is a unified diff in ``backends/patches/`` whose head says why it is
needed. The pinned source is known byte for byte, so a patch applies exactly
where it says or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from nativebuild.report import BuildError

__all__ = ["PATCHES_DIR", "apply_patch", "mirror_engine"]

PATCHES_DIR = Path(__file__).resolve().parents[2] / "backends" / "patches"
_HUNK = re.compile(r"@@ -(?P<start>\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


def mirror_engine(source: Path, target: Path, patches: Path = PATCHES_DIR) -> None:
    """Make ``target`` the patched source, touching only what differs, so that only that is compiled again.

    Files are links to the source's where the file system allows it.

    Raises:
        BuildError: a patch does not fit the source.
    """
    patched = _patched_files(source, patches)
    wanted = {path.relative_to(source) for path in _files(source)}
    for path in list(_files(target)):
        if path.relative_to(target) not in wanted:
            path.unlink()
    for relative in wanted:
        original, copy = source / relative, target / relative
        if relative in patched:
            _write(copy, patched[relative])
        elif not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            _link(original, copy)
        elif not copy.samefile(original):
            # A file that is not patched any longer has to be newer than what was compiled from it.
            _write(copy, original.read_bytes())


def _files(tree: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if not name.startswith(".")]
        yield from (Path(folder, name) for name in files)


def _link(original: Path, copy: Path) -> None:
    try:
        os.link(original, copy)
    except OSError:  # another file system, or one without links
        shutil.copy2(original, copy)


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        if path.read_bytes() == content:
            return
        path.unlink()  # never write through a link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _patched_files(source: Path, patches: Path) -> dict[Path, bytes]:
    patched: dict[Path, bytes] = {}
    for patch in sorted(patches.glob("*.patch")):
        for name, hunks in _parts(patch):
            path = Path(name)
            if path.is_absolute() or ".." in path.parts:
                raise BuildError(f"{patch.name} leads outside of the source: {name}")
            if path not in patched and not (source / path).is_file():
                raise BuildError(f"{patch.name} changes {name}, which llama.cpp's source does not have")
            before = patched[path] if path in patched else (source / path).read_bytes()
            patched[path] = apply_patch(before.decode(), hunks, f"{patch.name}: {name}").encode()
    return patched


def _parts(patch: Path) -> Iterator[tuple[str, list[str]]]:
    """The name of each file that a patch changes, and the lines of its hunks."""
    name, hunks = "", list[str]()
    for line in patch.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith(("--- a/", "diff --git ")):
            if hunks:
                yield name, hunks
            name, hunks = "", []
        elif line.startswith("+++ b/"):
            name = line[len("+++ b/") :].split("\t")[0].strip()
        elif name and line[0] in "@ +-\n":
            hunks.append(line)
    if hunks:
        yield name, hunks


def apply_patch(text: str, hunks: list[str], what: str) -> str:
    """``text`` with the hunks of a unified diff applied, each exactly at its place."""
    lines, result, position = text.splitlines(keepends=True), list[str](), 0
    for hunk in hunks:
        if match := _HUNK.match(hunk):
            start = int(match["start"]) - 1
            result += lines[position:start]
            position = start
            continue
        kind, content = hunk[0], hunk[1:]
        if kind == "+":
            result.append(content)
            continue
        expected = hunk if kind == "\n" else content  # editors strip the blank of an empty line of context
        if position >= len(lines) or lines[position] != expected:
            found = lines[position].rstrip() if position < len(lines) else "the end of the file"
            raise BuildError(
                f"the patch {what} does not fit: line {position + 1} should be {expected.rstrip()!r} and is {found!r}",
                advice="Patches belong to the llama.cpp of backends/llama_cpp.lock; move both together.",
            )
        if kind != "-":
            result.append(expected)
        position += 1
    return "".join(result + lines[position:])
