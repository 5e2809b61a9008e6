"""What programs may use of the package: every public name, and every member of the public classes.

The README, ``help()`` and the tests of docstrings, examples and type hints speak of the same things: those listed here.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gpt4all
import gpt4all.gpt4all
from gpt4all.corpora import EmbedTexts, GenerateTexts
from gpt4all.engine.handle import ModelHandle

#: What 2.8 had in ``gpt4all.gpt4all``, besides the two classes.
FORMER_NAMES = (
    "DEFAULT_MODEL_DIRECTORY",
    "DEFAULT_PROMPT_TEMPLATE",
    "ConfigType",
    "MessageType",
    "append_extension_if_missing",
    "empty_response_callback",
)
#: Programs are given them, and never call them: their constructors are the package's own.
GIVEN = (gpt4all.AsyncGeneration, gpt4all.Chat, gpt4all.Generation, ModelHandle)


@dataclasses.dataclass(frozen=True)
class Member:
    """A method, property or class attribute, found where it is defined."""

    owner: type
    name: str
    value: Any

    @property
    def qualified_name(self) -> str:
        return f"{self.owner.__name__}.{self.name}"

    @property
    def function(self) -> Callable[..., Any] | None:
        """What has the type hints, signature and docstring; ``None`` for a plain value."""
        value = self.value
        if isinstance(value, property):
            return value.fget
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        return value if inspect.isfunction(value) else None

    @property
    def is_property(self) -> bool:
        return isinstance(self.value, property)


def public_values() -> dict[str, Any]:
    """All of ``gpt4all.__all__``, the jobs of ``gpt4all.corpora``, 2.8's names, and the class of ``GPT4All.model``."""
    values = {name: getattr(gpt4all, name) for name in gpt4all.__all__}
    values |= {cls.__name__: cls for cls in (EmbedTexts, GenerateTexts)}
    values |= {name: getattr(gpt4all.gpt4all, name) for name in FORMER_NAMES}
    return values | {ModelHandle.__name__: ModelHandle}


def public_classes() -> list[type]:
    return [value for value in public_values().values() if inspect.isclass(value) and _is_ours(value)]


def public_functions() -> list[Callable[..., Any]]:
    return [value for value in public_values().values() if inspect.isfunction(value)]


def members(cls: type, *, special: bool = False) -> Iterator[Member]:
    """The public members of a class and of its bases in this package; with ``special`` also ``__methods__``."""
    seen = set()
    for owner in filter(_is_ours, cls.__mro__):
        for name, value in vars(owner).items():
            is_special = name.startswith("__") and name.endswith("__") and callable(value)
            # What a dataclass makes up besides its constructor has no hints.
            is_special = is_special and (name == "__init__" or not dataclasses.is_dataclass(owner))
            if name not in seen and (not name.startswith("_") or (special and is_special)):
                seen.add(name)
                yield Member(owner, name, value)


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "gpt4all"
