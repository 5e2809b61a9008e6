"""Docstrings of all that is public: one dialect, complete, and true to the signatures.

Sections are Google's, in the order of ``SECTIONS``, behind all plain text; code stands between double backticks.
Whatever is called lists its parameters. A class that programs make lists those of its constructor, and each class the
attributes of its instances, but for properties, which have docstrings of their own. All have an example, except
properties and exceptions that add nothing to Python's: ``GPT4AllError`` shows how those are caught. The examples are
run by ``tests/model/test_examples.py``.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import inspect
import pydoc
import textwrap
from typing import Any

import pytest

import gpt4all
from gpt4all import Embed4All, GPT4All
from gpt4all.corpora import EmbedTexts, GenerateTexts
from tests.support.docstrings import SECTIONS, Docstring
from tests.support.surface import GIVEN, members, public_classes, public_functions

CLASSES = {cls.__name__: cls for cls in public_classes()}
CALLABLES: dict[str, Any] = {function.__name__: function for function in public_functions()}
PROPERTIES: dict[str, Any] = {}
for _cls in CLASSES.values():
    for _member in members(_cls):
        if _member.is_property:
            PROPERTIES[_member.qualified_name] = _member.function
        elif _member.function is not None:
            CALLABLES[_member.qualified_name] = _member.function
ALL = CLASSES | CALLABLES | PROPERTIES


def plain_error(cls: type) -> bool:
    return issubclass(cls, BaseException) and "__init__" not in vars(cls) and cls is not gpt4all.GPT4AllError


@pytest.mark.parametrize("name", ALL)
def test_dialect(name: str) -> None:
    doc = Docstring.of(ALL[name])
    assert doc.summary.endswith("."), "the first line is a sentence"
    assert doc.text == doc.summary or doc.text.splitlines()[1] == ""
    assert doc.heads == [head for head in SECTIONS if head in doc.heads], "sections, in their order"
    assert doc.after_sections() == []
    assert doc.single_backticks() == []
    for head in ("Args", "Attributes", "Raises"):
        assert doc.loose_lines(head) == []
    for head in doc.heads:
        assert doc.section(head), f"{head} is empty"


@pytest.mark.parametrize("name", CALLABLES)
def test_arguments(name: str) -> None:
    assert Docstring.of(CALLABLES[name]).entries("Args") == parameters_of(CALLABLES[name])


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_of_constructors(name: str) -> None:
    cls = CLASSES[name]
    made_by_programs = not (cls in GIVEN or issubclass(cls, BaseException) or dataclasses.is_dataclass(cls))
    expected = parameters_of(cls.__init__) if made_by_programs else []  # type: ignore[misc]
    assert Docstring.of(cls).entries("Args") == expected
    assert made_by_programs == (cls in (GPT4All, Embed4All, EmbedTexts, GenerateTexts))


@pytest.mark.parametrize("name", CLASSES)
def test_attributes(name: str) -> None:
    listed = Docstring.of(CLASSES[name]).entries("Attributes")
    assert sorted(listed) == sorted(set(attributes_of(CLASSES[name])))


@pytest.mark.parametrize("name", CALLABLES)
def test_what_is_returned(name: str) -> None:
    returned = inspect.signature(CALLABLES[name]).return_annotation
    assert ("Returns" in Docstring.of(CALLABLES[name]).heads) == (returned not in (None, "None"))


@pytest.mark.parametrize("name", ALL)
def test_errors_exist(name: str) -> None:
    for error in Docstring.of(ALL[name]).entries("Raises"):
        module, _, base = error.rpartition(".")
        found = getattr(importlib.import_module(module), base) if module else _error(base)
        assert issubclass(found, BaseException)


@pytest.mark.parametrize("name", [name for name in ALL if name not in PROPERTIES])
def test_there_is_an_example(name: str) -> None:
    example = Docstring.of(ALL[name]).section("Example")
    if inspect.isclass(ALL[name]) and plain_error(ALL[name]):
        assert example == []
    else:
        assert example[0].startswith("    >>> ")


@pytest.mark.parametrize("cls", [GPT4All, Embed4All])
def test_help_shows_what_there_is(cls: type) -> None:
    shown = pydoc.plain(pydoc.render_doc(cls))
    for member in members(cls):
        assert f" |  {member.name}" in shown
    assert "unknown" not in shown


def parameters_of(function: Any) -> list[str]:
    # As they are written: with their stars, and without type and default.
    parameters = inspect.signature(function).parameters.values()
    names = [str(parameter.replace(annotation=parameter.empty, default=parameter.empty)) for parameter in parameters]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def attributes_of(cls: type) -> list[str]:
    """Fields, plain values of the class, and what its constructor assigns to ``self``, where they are public."""
    names = [member.name for member in members(cls) if member.function is None]
    if dataclasses.is_dataclass(cls):
        return [*names, *(field.name for field in dataclasses.fields(cls))]
    if "__init__" in vars(cls):
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls.__init__)))  # type: ignore[misc]
        names += [
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and not node.attr.startswith("_")
        ]
    return names


def _error(name: str) -> type:
    found: type = getattr(gpt4all, name, None) or getattr(builtins, name)
    return found
