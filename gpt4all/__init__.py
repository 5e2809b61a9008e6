"""Language models on your own machine.

    from gpt4all import GPT4All

    with GPT4All("model.gguf", model_path=".") as model:
        for piece in model.generate("Why is the sky blue?", streaming=True):
            print(piece, end="", flush=True)

Importing this package loads no native library and opens no socket.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gpt4all import errors
from gpt4all._native.outcome import Outcome
from gpt4all._version import __version__
from gpt4all.errors import *  # noqa: F403
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.generation.chat import Chat
from gpt4all.generation.many import Completion
from gpt4all.generation.streaming import Generation
from gpt4all.gpt4all import GPT4All

if TYPE_CHECKING:
    from gpt4all.diagnostics import system_info
    from gpt4all.downloads.progress import DownloadProgress
    from gpt4all.embed4all import Embed4All

__all__ = [
    "AsyncGeneration",
    "Chat",
    "Completion",
    "DownloadProgress",
    "Embed4All",
    "GPT4All",
    "Generation",
    "Outcome",
    "__version__",
    "system_info",
    *errors.__all__,
]

# Imported by those who use them: a fifth of what importing the package would cost.
_LAZY = {
    "DownloadProgress": "gpt4all.downloads.progress",
    "Embed4All": "gpt4all.embed4all",
    "system_info": "gpt4all.diagnostics",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
