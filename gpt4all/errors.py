"""Every exception this package raises on its own account.

Each concrete type also derives from the built-in type that gpt4all 2.8 raised
in the same place, so ``except ValueError`` written for 2.8 still holds::

    GPT4AllError
    ├── BackendLoadError            (RuntimeError)       no usable native library
    ├── ModelLoadError              (RuntimeError)       the engine refused the file
    │   ├── InvalidModelError       (ValueError)         not a model file, or a damaged one
    │   └── UnsupportedModelError                        a sound file the engine cannot run
    ├── ModelNotFoundError          (FileNotFoundError)  no such file, and no download allowed
    ├── DeviceError                 (ValueError)         no device matches the request
    │   └── InsufficientMemoryError                      it matches but is too small
    ├── ContextWindowExceededError  (ValueError)         the prompt does not fit
    ├── ChatTemplateError           (ValueError)         a chat template is wrong, or refuses the conversation
    ├── GenerationError             (RuntimeError)       the engine failed while generating
    ├── EmbeddingError              (RuntimeError)       the engine failed while embedding
    │   └── EmbeddingInputError     (ValueError)         the model does not take such a text, prefix or size
    ├── CancellationError                                a callback asked to stop
    ├── ToolError                                        a tool asks to stop, and its caller to be told
    ├── CatalogError                (ValueError)         the model catalogue is unusable
    └── DownloadError               (RuntimeError, ValueError)
        └── ChecksumError                                the bytes are not the expected ones
"""

from __future__ import annotations

__all__ = [
    "BackendLoadError",
    "CancellationError",
    "CatalogError",
    "ChatTemplateError",
    "ChecksumError",
    "ContextWindowExceededError",
    "DeviceError",
    "DownloadError",
    "EmbeddingError",
    "EmbeddingInputError",
    "GPT4AllError",
    "GenerationError",
    "InsufficientMemoryError",
    "InvalidModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "ToolError",
    "UnsupportedModelError",
]


#: Each type has a section there, under its name.
_HELP = "https://github.com/nomic-ai/gpt4all/blob/main/docs/troubleshooting.md"


class GPT4AllError(Exception):
    """Root of all exceptions of this package.

    A traceback ends with the address of the page that says what to do; the text itself has no such line.

    Example:
        >>> try:
        ...     GPT4All("no-such-model.gguf", allow_download=False)
        ... except GPT4AllError as error:
        ...     print(type(error).__name__, isinstance(error, FileNotFoundError))
        ModelNotFoundError True
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        ours = next(base for base in type(self).__mro__ if base.__module__ == __name__)
        # As add_note() does, which Python 3.10 lacks; that shows no notes.
        self.__notes__ = [f"What to do: {_HELP}#{ours.__name__.lower()}"]


class BackendLoadError(GPT4AllError, RuntimeError):
    """No native library could be loaded for the requested backend.

    The message lists every candidate that was tried and why each failed.
    """


class ModelLoadError(GPT4AllError, RuntimeError):
    """The engine could not load the model file."""


class InvalidModelError(ModelLoadError, ValueError):
    """The file is not a GGUF model, or it is damaged."""


class UnsupportedModelError(ModelLoadError):
    """The file is sound, but this engine cannot do with it what was asked."""


class ModelNotFoundError(GPT4AllError, FileNotFoundError):
    """The model file does not exist and may not, or cannot, be downloaded."""


class DeviceError(GPT4AllError, ValueError):
    """No device matches the request."""


class InsufficientMemoryError(DeviceError):
    """The device matches the request but has too little free memory; on the CPU, main memory or a limit of it.

    Each attribute is ``None`` where it was not, or could not be, found out.

    Attributes:
        required: bytes the model would take there; of several devices, of the one that has most.
        free: bytes that are free there.
        max_ngl: the most layers that would fit, with the same context.
        max_n_ctx: the longest context that would fit, with the same layers.

    Example:
        >>> try:
        ...     GPT4All("SmolLM2-135M-Instruct.Q4_1.gguf", n_ctx=1_000_000_000)
        ... except InsufficientMemoryError as error:
        ...     print(f"It takes {error.required:,} bytes, and {error.free:,} are free.")
        It takes ... bytes, and ... are free.
    """

    def __init__(
        self,
        message: str,
        *,
        required: int | None = None,
        free: int | None = None,
        max_ngl: int | None = None,
        max_n_ctx: int | None = None,
    ) -> None:
        self.required = required
        self.free = free
        self.max_ngl = max_ngl
        self.max_n_ctx = max_n_ctx
        super().__init__(message)


class ContextWindowExceededError(GPT4AllError, ValueError):
    """The prompt has more tokens than the context can take.

    Attributes:
        prompt_tokens: length of the prompt in tokens.
        limit: the most tokens a prompt may have with this ``n_ctx``.
        n_ctx: the context size that the model is loaded with.
        tool: the tool whose result is the longest, where the prompt came with results; else ``None``.

    Example:
        >>> try:
        ...     model.generate("Hello! " * 10_000)
        ... except ContextWindowExceededError as error:
        ...     print(error.prompt_tokens > error.limit)
        True
    """

    def __init__(self, prompt_tokens: int, limit: int, n_ctx: int, tool: str | None = None) -> None:
        self.prompt_tokens = prompt_tokens
        self.limit = limit
        self.n_ctx = n_ctx
        self.tool = tool
        cause, remedy = ("", "shorten the prompt")
        if tool is not None:
            cause, remedy = (f"with the result of the tool {tool!r} ", "have the tool return less")
        super().__init__(
            f"{cause}the prompt has {prompt_tokens} tokens, but a context of n_ctx={n_ctx} takes at most {limit}; "
            f"{remedy} or load the model with a larger n_ctx"
        )

    def __reduce__(self) -> tuple[type[ContextWindowExceededError], tuple[int, int, int, str | None]]:
        return type(self), (self.prompt_tokens, self.limit, self.n_ctx, self.tool)


class ChatTemplateError(GPT4AllError, ValueError):
    """A chat template cannot be read or rendered, or refuses the conversation by itself."""


class GenerationError(GPT4AllError, RuntimeError):
    """The engine failed while generating text, or the call cannot be made from here: a callback, a forked process."""


class EmbeddingError(GPT4AllError, RuntimeError):
    """The engine failed while computing embeddings."""


class EmbeddingInputError(EmbeddingError, ValueError):
    """The embedding model does not take such a prefix, vector size or text."""


class CancellationError(GPT4AllError):
    """A callback asked a load, a download or an embedding run to stop, or the model was closed during a call."""


class ToolError(GPT4AllError):
    """Raise it, or one derived from it, in a tool: it reaches the caller of ``generate``.

    Any other exception of a tool is told to the model, which may try again.
    """


class CatalogError(GPT4AllError, ValueError):
    """The model catalogue could not be fetched or makes no sense."""


class DownloadError(GPT4AllError, RuntimeError, ValueError):
    """A model file could not be downloaded."""


class ChecksumError(DownloadError):
    """A file's size or hash is not the expected one."""
