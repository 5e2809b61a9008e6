"""The native sources stand where ``backends/README.md`` says, and include one another in one direction only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKENDS = Path(__file__).resolve().parents[2] / "backends"
SRC = BACKENDS / "src"
MAP = re.findall(r"^ {4}(\S+)/ {2,}\S", (BACKENDS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
# From the one that uses nothing to the one that may use all.
FLOORS = [Path(folder).relative_to("src") for folder in MAP if folder.startswith("src/")]
SOURCES = sorted(path.relative_to(SRC) for path in SRC.rglob("*") if path.suffix in {".cpp", ".h"})

ENGINE = {"llama.h", "ggml.h", "ggml-backend.h", "ggml-cpu.h"}
PRIVATE = ("engine", "embed/bert")
TEMPLATES = ("chat", "chat/sandbox")
#: Of the engine's ``common/chat``, and what that is made of.
ANSWERS = {"chat.h", "chat-auto-parser.h", "chat-peg-parser.h", "common.h", "log.h", "peg-parser.h"}


def includes(source: Path) -> Iterator[str]:
    yield from re.findall(r'^\s*#\s*include "([^"]+)"', (SRC / source).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_map_has_every_folder() -> None:
    files = [path for path in BACKENDS.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    folders = {path.parent.relative_to(BACKENDS).as_posix() for path in files} - {"."}
    assert sorted(MAP) == sorted(folders)


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_no_file_includes_from_a_floor_above(source: Path) -> None:
    floors = {name: FLOORS.index(Path(name).parent) for name in includes(source) if (SRC / name).is_file()}
    own = FLOORS.index(source.parent)
    assert {name for name, floor in floors.items() if floor > own} == set()


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_private_headers_of_the_engine_stay_in_their_places(source: Path) -> None:
    folder = source.parent.as_posix()
    foreign = {name for name in includes(source) if not (SRC / name).is_file()} - ENGINE - {"gpt4all_backend.h"}
    templates = {name for name in foreign if name == "json.h" or name.startswith("jinja/")}
    answers = foreign & ANSWERS
    private = foreign - templates - answers
    assert not templates or folder in TEMPLATES
    assert not answers or folder == "chat"
    assert not private or folder in PRIVATE
    # Names without a folder are the engine's: a file of ours is included from src/.
    assert {name for name in private if not re.match(r"llama-[a-z-]+\.h$", name)} == set()


def test_the_files_that_the_map_tells_of_exist() -> None:
    named = re.findall(r"`((?:[\w-]+/)+[\w-]+\.\w+)`", (BACKENDS / "README.md").read_text(encoding="utf-8"))
    roots = (SRC, BACKENDS, BACKENDS.parent)
    assert {name for name in named if not any((root / name).is_file() for root in roots)} == set()
    assert named
