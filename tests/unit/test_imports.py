"""The package's parts depend on one another in one direction only, and importing it stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "gpt4all"
FILES = {
    ".".join(("gpt4all", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# From the one that may use all others to the one that uses nothing. Modules
# that are not named stand beside these, between the public classes and the
# leaves, and are held only to having no cycles.
LAYERS = (
    ("gpt4all.cli", "gpt4all.__main__"),
    ("gpt4all.gpt4all", "gpt4all.embed4all"),
    ("gpt4all.chat.history", "gpt4all.engine.loaded_model", "gpt4all.engine.runs"),
    ("gpt4all._native.backend",),
    ("gpt4all._native.loader",),
    ("gpt4all._native.prototypes",),
    ("gpt4all._native.abi",),
)
# Each may use the others and private modules of its own, gpt4all.gguf.header
# and the like, but nothing that does something.
LEAVES = (
    "errors",
    "options",
    "devices.request",
    "devices.gpu",
    "devices.selection",
    "gguf",
    "embeddings.known_models",
    "machine.cpu_threads",
    "machine.cgroups",
    "_native.processors",  # counts; imported where a model is loaded
    "notices",
)
HEAVY = (
    *("requests", "tqdm", "platformdirs", "filelock", "click", "numpy", "asyncio", "urllib.request", "http.client"),
    *(
        "ctypes",
        "gpt4all.gguf.preflight",
        "gpt4all.engine.loaded_model",
    ),  # with all that a loaded model needs, half of what importing would cost
)


def imports_of(name: str, *, at_import: bool = False) -> Iterator[str]:
    """The modules that a file imports; with ``at_import`` only those it imports when it is imported itself."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    for node in _import_time_nodes(tree) if at_import else ast.walk(tree):
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


def _import_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _import_time_nodes(child)


def own(names: Iterator[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == "gpt4all"}


def layer_of(name: str) -> int | None:
    for index, members in enumerate(LAYERS):
        if any(name == member or name.startswith(f"{member}.") for member in members):
            return index
    return None


@pytest.mark.parametrize("name", [name for name in FILES if layer_of(name) is not None])
def test_nobody_imports_from_a_layer_above(name: str) -> None:
    layer = layer_of(name)
    assert layer is not None
    layers = {found: layer_of(found) for found in own(imports_of(name))}
    assert {found for found, other in layers.items() if other is not None and other < layer} == set()


def test_there_are_no_cycles() -> None:
    """Imports inside functions and for type checking are left out: they exist to break one."""
    graph = {name: own(imports_of(name, at_import=True)) - {name} for name in FILES}
    # Every module runs the package's __init__ first; that is no dependency to order by.
    for name, imported in graph.items():
        if name != "gpt4all":
            imported.discard("gpt4all")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("gpt4all._native")])
def test_only_the_native_layer_knows_ctypes(name: str) -> None:
    assert "ctypes" not in {imported.split(".")[0] for imported in imports_of(name)}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("gpt4all._native.")])
def test_the_native_layer_imports_only_itself_the_errors_and_the_version(name: str) -> None:
    outside = {found for found in own(imports_of(name)) if not found.startswith("gpt4all._native")}
    assert outside <= {"gpt4all.errors", "gpt4all._version"}


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if f"gpt4all.{leaf}" in FILES])
def test_leaves_use_only_leaves(leaf: str) -> None:
    seen, waiting = set(), [f"gpt4all.{leaf}"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting += [found for found in own(imports_of(name)) if found in FILES and found not in seen]
    parts = {name for name in seen if name.startswith((f"gpt4all.{leaf}.", "gpt4all.grammars."))}
    packages = {name for name in seen if FILES[name].name == "__init__.py"}
    assert seen - parts - packages <= {f"gpt4all.{name}" for name in (*LEAVES, "checks")}


def test_importing_loads_neither_heavy_packages_nor_a_native_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import gpt4all; "
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''; "
        "print('\\n'.join(sorted(set(sys.modules) - before))); print('native' if 'libgpt4all-' in maps else '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    loaded = done.stdout.splitlines()
    assert "native" not in loaded
    assert [name for name in HEAVY if name in loaded] == []
