"""What the tests on a GPU share."""

from __future__ import annotations

from collections.abc import Callable

from gpt4all._native.backend import NativeModel

ALLOW_SOFTWARE = "GPT4ALL_ALLOW_SOFTWARE_GPU"

#: ``load(name, **arguments)``: a model on the GPU.
Load = Callable[..., NativeModel]
