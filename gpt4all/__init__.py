"""Language models on your own machine.

    from gpt4all import GPT4All

    with GPT4All("model.gguf", model_path=".") as model:
        for piece in model.generate("Why is the sky blue?", streaming=True):
            print(piece, end="", flush=True)

Importing this package loads no native library and opens no socket.
"""

from typing import TYPE_CHECKING, Any

from gpt4all import errors
from gpt4all._version import __version__
from gpt4all.errors import *  # noqa: F403
from gpt4all.gpt4all import GPT4All

if TYPE_CHECKING:
    from gpt4all.embed4all import Embed4All

__all__ = ["Embed4All", "GPT4All", "__version__", *errors.__all__]


def __getattr__(name: str) -> Any:
    # Imported by those who use it: a fifth of what importing the package would cost.
    if name == "Embed4All":
        from gpt4all.embed4all import Embed4All

        globals()[name] = Embed4All
        return Embed4All
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
