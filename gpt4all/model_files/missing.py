"""What to say about a model file that is not there."""

from __future__ import annotations

import os
from pathlib import Path

from gpt4all.model_files.names import FileReference, Reference, UrlReference, append_extension_if_missing


def describe_missing(reference: Reference, wanted: Path, directory: Path) -> str:
    """That there is no ``wanted``, which is where ``reference`` would be in ``directory``, and what may be meant."""
    message = f"the model file {wanted} {_absence(wanted)}"
    if isinstance(reference, UrlReference):
        # It has the name of the address, but may be any model.
        namesake = directory / reference.filename
        other = os.path.isfile(namesake)
        return message + (f"; {namesake} may be another model, and is loaded by that path" if other else "")
    if not isinstance(reference, FileReference):
        return message
    name = os.path.expanduser(reference.name)
    if Path(name).name != name and not os.path.isabs(name):
        message += f", and neither does {Path.cwd() / name}"
    folder = wanted.with_name(wanted.name.removesuffix(".gguf"))
    if os.path.isdir(folder):
        return f"{message}; {folder} is a directory: give the path of a file in it{_listed(_models_in(folder)[:3])}"
    return message + _listed(_similar(wanted))


def _absence(path: Path) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as failure:
        return f"cannot be found: {getattr(failure, 'strerror', None) or failure}"
    return "is not a file"


def _listed(names: list[str]) -> str:
    return f" (there is {', '.join(names)})" if names else ""


def _models_in(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if append_extension_if_missing(name) == name)
    except (OSError, ValueError):
        return []


def _similar(wanted: Path) -> list[str]:
    """The models beside ``wanted`` that have nearly its name, or begin with it."""
    from difflib import get_close_matches  # slow to import, and seldom wanted

    names = _models_in(wanted.parent)
    stem = wanted.name.removesuffix(".gguf")
    beginning = [name for name in names if name.lower().startswith(stem.lower())]
    return list(dict.fromkeys([*beginning, *get_close_matches(wanted.name, names, n=3, cutoff=0.75)]))[:3]
