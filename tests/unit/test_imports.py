"""The package stands as ``CONTRIBUTING.md`` maps it: imports run down its floors, in no circles, and stay cheap."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gpt4all"
FILES = {
    ".".join(("gpt4all", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MAP = re.findall(r"^ {4}(\d) +(.+?)(?: {2}|$)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
#: A folder, with "/" at its end, or a module beside the folders, to the number of its floor.
FLOORS = {room: int(number) for number, rooms in MAP for room in rooms.split()}
# The one exception: 2.8 had Embed4All here too, and its module imports this one.
FORMER_PLACE = ("gpt4all.gpt4all", "__getattr__", "gpt4all.embed4all")
HEAVY = (
    *("requests", "tqdm", "platformdirs", "filelock", "click", "numpy", "asyncio", "urllib.request", "http.client"),
    *(
        "ctypes",
        "gpt4all.gguf.preflight",
        "gpt4all.engine.loaded_model",
    ),  # with all that a loaded model needs, half of what importing would cost
)


def imports_of(name: str) -> Iterator[str]:
    """All modules that a file imports, in functions and for type checking too."""
    module, function, target = FORMER_PLACE
    for node, inside in _nodes(ast.parse(FILES[name].read_text(encoding="utf-8")), ""):
        for found in _imported(name, node):
            if (name, inside, found) != (module, function, target):
                yield found


def _nodes(node: ast.AST, inside: str) -> Iterator[tuple[ast.AST, str]]:
    """With the name of the function of the module that each is in."""
    for child in ast.iter_child_nodes(node):
        yield child, inside
        yield from _nodes(child, inside or (child.name if isinstance(child, ast.FunctionDef) else ""))


def _imported(name: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
            base = ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])
        for alias in node.names:
            # "from gpt4all import errors" names a module, "from gpt4all.errors import X" a name in one.
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILES else base


def own_imports_of(name: str) -> set[str]:
    return {found for found in imports_of(name) if found.split(".")[0] == "gpt4all"} - {name}


def room_of(name: str) -> str:
    """What stands for a module on the map."""
    file = FILES[name].relative_to(PACKAGE)
    return file.stem if len(file.parts) == 1 else f"{file.parts[0]}/"


def floor_of(name: str) -> int:
    return FLOORS[room_of(name)]


def fail_for_circles(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' <- '.join(error.args[1])}")


def test_the_map_has_every_module_and_folder() -> None:
    assert sorted(FLOORS) == sorted({room_of(name) for name in FILES})
    assert sum(len(rooms.split()) for _, rooms in MAP) == len(FLOORS)


@pytest.mark.parametrize("name", FILES)
def test_nobody_imports_from_a_floor_above(name: str) -> None:
    assert {found for found in own_imports_of(name) if floor_of(found) > floor_of(name)} == set()


def test_there_are_no_circles_of_modules() -> None:
    fail_for_circles({name: own_imports_of(name) for name in FILES})


def test_there_are_no_circles_of_folders() -> None:
    graph: dict[str, set[str]] = {}
    for name in FILES:
        graph.setdefault(room_of(name), set()).update(room_of(found) for found in own_imports_of(name))
    fail_for_circles({room: others - {room} for room, others in graph.items()})


def test_the_exception_is_still_needed() -> None:
    module, function, target = FORMER_PLACE
    nodes = _nodes(ast.parse(FILES[module].read_text(encoding="utf-8")), "")
    assert any(inside == function and target in _imported(module, node) for node, inside in nodes)


@pytest.mark.parametrize("name", FILES)
def test_only_the_native_floor_knows_ctypes(name: str) -> None:
    assert room_of(name) == "_native/" or "ctypes" not in {found.split(".")[0] for found in imports_of(name)}


@pytest.mark.parametrize("name", [name for name in FILES if room_of(name) == "_native/"])
def test_the_native_floor_imports_only_itself_the_errors_and_the_version(name: str) -> None:
    assert {room_of(found) for found in own_imports_of(name)} <= {"_native/", "errors", "_version"}


def test_importing_loads_neither_heavy_packages_nor_a_native_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import gpt4all; "
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''; "
        "print('\\n'.join(sorted(set(sys.modules) - before))); print('native' if 'libgpt4all-' in maps else '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.splitlines()
    assert "native" not in loaded
    assert [name for name in HEAVY if name in loaded] == []
