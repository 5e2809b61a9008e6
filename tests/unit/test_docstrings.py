"""Docstrings and comments of all modules, public or not: one dialect.

Code stands between double backticks, without a role before it. The first line is one of its own; sections are Google's,
in the order of ``SECTIONS``. What else holds for all that is public, ``test_public_docstrings.py`` says.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docstrings import SECTIONS, Docstring

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    str(path.relative_to(ROOT)): path
    for folder in ("gpt4all", "scripts", "tests", "distributions")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not {"build", "__pycache__", ".venv"}.intersection(path.relative_to(ROOT).parts)
}


def docstrings(tree: ast.AST) -> Iterator[Docstring]:
    """Those of modules, classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text is not None:
                yield Docstring(text)


def prose(source: str) -> Iterator[str]:
    """Comments, and all texts that are statements: docstrings, those of attributes too."""
    yield from (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield inspect.cleandoc(node.value.value)


@pytest.mark.parametrize("name", FILES)
def test_dialect(name: str) -> None:
    source = FILES[name].read_text(encoding="utf-8")
    assert [found for text in prose(source) for found in Docstring(text).single_backticks()] == []
    for doc in docstrings(ast.parse(source)):
        assert re.search(r"[.:!?]$", doc.summary), f"the first line is no sentence: {doc.summary}"
        assert doc.text == doc.summary or doc.text.splitlines()[1] == "", doc.summary
        assert doc.heads == [head for head in SECTIONS if head in doc.heads], f"sections, in their order: {doc.heads}"
        assert not re.search(r"(^|\. |\n)Raises [A-Z`]", doc.text), f"errors have a section: {doc.summary}"
