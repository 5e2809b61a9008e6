"""What chat templates have to become: jinja2, set up as Python programs do that apply a model's template.

jinja2 renders independently of the engine under test. ``TEMPLATES`` finds the templates: those of llama.cpp's source
tree, which are read where they lie and never copied, and those of ``tests/data/chat_templates``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment
from nativebuild.fetch import llama_cpp_source

OWN_TEMPLATES = Path(__file__).resolve().parents[2] / "data" / "chat_templates"

Message = dict[str, Any]


def template_directory() -> Path:
    """The templates in llama.cpp's source, which the build has fetched."""
    return llama_cpp_source() / "models" / "templates"


def read_template(name: str) -> str:
    own = OWN_TEMPLATES / f"{name}.jinja"
    path = own if own.is_file() else template_directory() / f"{name}.jinja"
    return path.read_text(encoding="utf-8")


class _Generation(Extension):
    """``{% generation %}`` blocks, which mark what a model is trained on."""

    tags = {"generation"}  # noqa: RUF012 - declared like this by the class it extends

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _environment(sandbox: type[SandboxedEnvironment]) -> SandboxedEnvironment:
    environment = sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda text: datetime.now().strftime(text)
    return environment


_ENVIRONMENT = _environment(ImmutableSandboxedEnvironment)
_MUTABLE = _environment(SandboxedEnvironment)


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    bos: str = "",
    eos: str = "",
    mutable: bool = False,
    **variables: Any,
) -> str:
    """The conversation as jinja2 renders it; ``jinja2.TemplateError`` where it cannot.

    ``mutable``: templates may change lists, which Python programs mostly forbid.
    """
    known = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": bos, "eos_token": eos}
    environment = _MUTABLE if mutable else _ENVIRONMENT
    return environment.from_string(template).render(messages=messages, **{**known, **variables})


def user(content: Any) -> Message:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> Message:
    return {"role": "assistant", "content": content, **more}


def system(content: Any) -> Message:
    return {"role": "system", "content": content}


CONVERSATIONS: dict[str, list[Message]] = {
    "one question": [user("Hi")],
    "system prompt": [system("Be brief."), user("Hi there")],
    "several turns": [system("Be kind."), user("One?"), assistant("Two."), user("Three?"), assistant("4"), user("5?")],
    "no system prompt": [user("One?"), assistant("Two."), user("Three?")],
    "emoji": [system("👩‍👩‍👧 only"), user("naïve 中国 😀\n"), assistant("😀 ü"), user("é\u2028x")],
    "spaces": [user("  two lines \n\n and a tab\t"), assistant(" \n "), user(" x ")],
    "nothing said": [user("")],
    "ends with an answer": [user("One?"), assistant("Two.")],
    "thoughts in the text": [user("x"), assistant("<think>\nhm\n</think>\n\nok"), user("y")],
    "braces": [user("{{ bos_token }} {% if x %}"), assistant("{# no #}"), user("{{ 7 * 7 }}")],
}
