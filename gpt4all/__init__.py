"""Language models on your own machine.

Importing this package loads no native library and opens no socket.

Example:
    >>> from gpt4all import GPT4All
    >>> with GPT4All("SmolLM2-135M-Instruct.Q4_1.gguf") as model:
    ...     for piece in model.generate("The capital of France is", max_tokens=2, temp=0, streaming=True):
    ...         print(piece, end="", flush=True)
     Paris.
"""

from __future__ import annotations

from gpt4all import errors
from gpt4all._version import __version__
from gpt4all.errors import *  # noqa: F403

# Importing typing would take as long as all that is imported here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gpt4all import gpt4all as gpt4all
    from gpt4all._native.outcome import Outcome, ToolCall, ToolCallDelta
    from gpt4all.diagnostics import system_info
    from gpt4all.downloads.progress import DownloadProgress
    from gpt4all.embed4all import Embed4All
    from gpt4all.generation.asynchronous import AsyncGeneration
    from gpt4all.generation.chat import Chat
    from gpt4all.generation.many import Completion
    from gpt4all.generation.streaming import Generation
    from gpt4all.gpt4all import GPT4All

__all__ = [
    "AsyncGeneration",
    "Chat",
    "Completion",
    "DownloadProgress",
    "Embed4All",
    "GPT4All",
    "Generation",
    "Outcome",
    "ToolCall",
    "ToolCallDelta",
    "__version__",
    "system_info",
    *errors.__all__,
]

# Imported by those who use them: the command line starts without.
_LAZY = {
    "AsyncGeneration": "gpt4all.generation.asynchronous",
    "Chat": "gpt4all.generation.chat",
    "Completion": "gpt4all.generation.many",
    "DownloadProgress": "gpt4all.downloads.progress",
    "Embed4All": "gpt4all.embed4all",
    "GPT4All": "gpt4all.gpt4all",
    "Generation": "gpt4all.generation.streaming",
    "Outcome": "gpt4all._native.outcome",
    "ToolCall": "gpt4all._native.outcome",
    "ToolCallDelta": "gpt4all._native.outcome",
    "system_info": "gpt4all.diagnostics",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "gpt4all":  # as in 2.8, which had imported its module
        return importlib.import_module("gpt4all.gpt4all")
    if name in _LAZY:
        value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
