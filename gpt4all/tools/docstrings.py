"""What a docstring says of a function and of its parameters, in the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import inspect
import re

_SECTIONS = frozenset(
    "args arguments parameters params keyword other returns return yields yield raises raise warns example examples "  # noqa: SIM905
    "note notes warning warnings see references attributes todo".split()
)
_PARAMETERS = ("args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters")
_GOOGLE_SECTION = re.compile(r"([A-Z][A-Za-z ]*):\s*")
_GOOGLE_PARAMETER = re.compile(r"\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:\s*(.*)")
_NUMPY_PARAMETER = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")
_SPHINX_FIELD = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """What comes before the first section, and the parameters' descriptions, each on one line."""
    lines = inspect.cleandoc(text or "").splitlines()
    described: dict[str, str] = {}
    end = len(lines)
    for index, line in enumerate(lines):
        heading, is_numpy = _heading(lines, index)
        if _SPHINX_FIELD.fullmatch(line):
            end = min(end, index)
            described |= _sphinx(lines[index:])
            break
        if heading is None:
            continue
        end = min(end, index)
        if heading in _PARAMETERS:
            described |= _numpy(lines, index + 2) if is_numpy else _google(lines[index + 1 :])
    return "\n".join(lines[:end]).strip(), {name: " ".join(said.split()) for name, said in described.items()}


def _heading(lines: list[str], index: int) -> tuple[str | None, bool]:
    """The section that begins in a line, ``None`` for no section; and whether it is underlined, as in NumPy's style."""
    line = lines[index]
    found = _GOOGLE_SECTION.fullmatch(line)
    is_numpy = index + 1 < len(lines) and re.fullmatch(r"-{3,}\s*", lines[index + 1]) is not None
    heading = line.strip().lower() if is_numpy else found[1].lower() if found else ""
    return (heading, is_numpy) if heading.split(" ")[0] in _SECTIONS else (None, False)


def _google(lines: list[str]) -> dict[str, str]:
    described: dict[str, str] = {}
    name, depth = "", None
    for line in lines:
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        if indent == 0:
            break
        depth = indent if depth is None else depth
        found = _GOOGLE_PARAMETER.fullmatch(line.strip()) if indent <= depth else None
        if found:
            name = found[1]
            described[name] = found[2]
        elif name:
            described[name] += " " + line.strip()
    return described


def _numpy(lines: list[str], begin: int) -> dict[str, str]:
    described: dict[str, str] = {}
    names: list[str] = []
    for index in range(begin, len(lines)):
        line = lines[index]
        if _heading(lines, index)[0] is not None:
            break
        found = _NUMPY_PARAMETER.fullmatch(line)
        if line.startswith(" "):
            for name in names:
                described[name] += " " + line.strip()
        elif found:
            names = [name.strip().lstrip("*") for name in found[1].split(",")]
            described |= dict.fromkeys(names, "")
    return {name: said for name, said in described.items() if said}


def _sphinx(lines: list[str]) -> dict[str, str]:
    described: dict[str, str] = {}
    name = ""
    for line in lines:
        found = _SPHINX_FIELD.fullmatch(line)
        if found:
            is_parameter = found[1] in ("param", "parameter", "arg", "argument", "key", "keyword") and found[2]
            # The type may stand before the name.
            name = found[2].split()[-1].lstrip("*") if is_parameter else ""
            if name:
                described[name] = found[3]
        elif name and line.strip():
            described[name] += " " + line.strip()
    return described
