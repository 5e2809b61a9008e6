"""The ``GPT4All`` class: a model file that answers prompts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex

from gpt4all._native.outcome import Outcome
from gpt4all.chat.template import DEFAULT_PROMPT_TEMPLATE as DEFAULT_PROMPT_TEMPLATE
from gpt4all.checks import check_flag, refuse_unknown, unknown_hidden
from gpt4all.devices.request import parse_device
from gpt4all.generation.methods import GenerationMethods
from gpt4all.model_files.library import ConfigType, ModelLibrary
from gpt4all.notices import hide_log, log_shown, warn_caller
from gpt4all.options import (
    LoadOptions,
    ProgressCallback,
)
from gpt4all.options import empty_response_callback as empty_response_callback

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

MessageType = dict[str, str]

logger = logging.getLogger("gpt4all")


class GPT4All(ModelLibrary, GenerationMethods):
    """A language model loaded from a GGUF file.

    One object may be used from several threads and tasks: calls queue in order,
    or are computed together with ``n_parallel``.
    ``close`` frees the model, as does the end of a ``with`` block.

    Args:
        model_name: file name of a catalogue model or of one in ``model_path``, a path,
            or what else ``retrieve_model`` takes. ``.gguf`` is appended to a
            file name that ends in neither ``.gguf`` nor ``.bin``.
        model_path: the directory that holds the file, or that it is downloaded to;
            ``DEFAULT_MODEL_DIRECTORY`` without it.
        model_type: kept as the attribute ``model_type``, otherwise unused.
        allow_download: ``False`` never opens a socket.
        n_threads: CPU threads; ``None`` takes the physical cores this process may use.
            More than can run at once get a warning.
        device: ``None`` is the CPU, or on Apple silicon Metal where that works;
            ``"cpu"``; ``"gpu"`` (the best GPU of the kompute backend, or Metal),
            ``"kompute"``, ``"cuda"``; ``"amd"``, ``"nvidia"``, ``"intel"``; a name
            from ``list_gpus``, or with an index as ``"cuda:0"``; ``"auto"``
            takes the best there is, the CPU at last.
        n_ctx: context size in tokens; 0 or ``None`` is the length the model was trained with.
        ngl: layers to put on a GPU; the output counts as one, and 0 puts none.
        verbose: also shows the ``gpt4all`` logger's lines on stderr, and with them the
            engine's own, which are those of ``gpt4all.engine``.
        kv_type: type of the KV cache, such as ``"f16"`` or ``"q8_0"``.
        flash_attention: ``"auto"``, ``True`` or ``False``.
        main_gpu: index of the GPU that computes the output of a model in ``tensor_split``.
        tensor_split: share of the model for each GPU of the backend, in the order
            that indices count; all of it is on one GPU without it.
        progress: called with the fraction loaded, 0 to 1; ``False`` stops the load with
            a ``CancellationError``.
        use_mmap: ``False`` reads the file into memory instead of mapping it, which takes
            longer and memory of its own, but then nothing that happens to the file
            matters: one that is cut short while it is mapped can end the process.
        n_parallel: how many generations are computed together, each with ``n_ctx`` tokens of its own;
            ``"auto"`` is as many as ``n_threads``, from 4 to 8, and half as many, down to 1, as long as memory does
            not suffice. Callers beyond that wait in line, and so do calls of one session for each other. Memory grows
            with it, and is measured before the load.

    Attributes:
        config: a dict with the file's ``path`` and ``filename``, and for a catalogue
            model the rest of its entry, such as ``filesize`` and ``md5sum``.
        fallback_reason: why the model is not where ``device`` wanted it most, ``None``
            where it is.
        last_generation: how the last call of ``generate`` or ``agenerate`` ended, an
            ``Outcome``; ``None`` before the first. With several callers on one model,
            each reads the ``outcome`` of its own stream instead.
        model: the loaded model underneath, for its thread count, its file and the
            number of tokens in a prompt.
        model_type: what the argument of that name was.

    Raises:
        FileNotFoundError: no such directory or file.
        ModelLoadError: the file is no model this engine can load.
        BackendLoadError: the native library is missing or broken.
        DeviceError: no device matches; an ``InsufficientMemoryError`` if one does but
            has too little memory, or main memory has. What asks for a GPU never ends
            on the CPU, except ``"auto"`` and, on Apple silicon, ``None``.
        CancellationError: ``progress`` returned ``False``.
        ValueError, TypeError: an argument makes no sense; the message names it.

    Example:
        >>> from gpt4all import GPT4All
        >>> with GPT4All("SmolLM2-135M-Instruct.Q4_1.gguf", n_ctx=1024) as model:
        ...     print(model.generate("The opposite of hot is", max_tokens=2, temp=0))
         cold.
    """

    @unknown_hidden
    def __init__(
        self,
        model_name: str | os.PathLike[str],
        *,
        model_path: str | os.PathLike[str] | None = None,
        model_type: str | None = None,
        allow_download: bool = True,
        n_threads: int | None = None,
        device: str | None = None,
        n_ctx: int | None = 2048,
        ngl: int = 100,
        verbose: bool = False,
        kv_type: str = "f16",
        flash_attention: bool | str = "auto",
        main_gpu: int = 0,
        tensor_split: Sequence[float] | None = None,
        progress: ProgressCallback | None = None,
        use_mmap: bool = True,
        n_parallel: int | str = 1,
        **unknown: NoReturn,
    ) -> None:
        refuse_unknown(GPT4All.__init__, unknown)
        # Files' headers, ctypes and all that is native, for those who load a model: importing the package stays cheap.
        from gpt4all import gguf
        from gpt4all.engine.handle import ModelHandle
        from gpt4all.engine.placement import Placement

        super().__init__()
        self.model_type = model_type
        request = parse_device(device)
        options = LoadOptions.create(
            n_ctx=n_ctx,
            n_threads=n_threads,
            ngl=ngl,
            kv_type=kv_type,
            flash_attention=flash_attention,
            main_gpu=main_gpu,
            tensor_split=tensor_split,
            progress=progress,
            use_mmap=use_mmap,
            n_parallel=n_parallel,
        )
        with log_shown(self, check_flag("verbose", verbose)):
            placement = Placement(request, options)
            self.config: ConfigType = self.retrieve_model(
                model_name, model_path=model_path, allow_download=allow_download, verbose=verbose
            )
            path = Path(self.config["path"])
            header = gguf.preflight(path)
            self._loaded = placement.open(path, header.context_length)
        self.model = ModelHandle(self._loaded)
        self.fallback_reason: str | None = placement.fallback_reason
        self.last_generation: Outcome | None = None
        info = self._loaded.info
        if info.can_generate and info.n_ctx > info.n_ctx_train > 0:
            warn_caller(
                f"n_ctx={info.n_ctx} is more than the {info.n_ctx_train} tokens this model was trained with; "
                "answers beyond that length are usually poor"
            )

    @property
    def backend(self) -> str:
        """Name of the backend in use: ``"cpu"``, ``"kompute"``, ``"cuda"`` or ``"metal"``."""
        return self._loaded.backend

    @property
    def device(self) -> str | None:
        """Name of the GPU in use, without its backend; ``None`` on the CPU and with Metal."""
        return self._loaded.device

    @staticmethod
    def list_gpus() -> list[str]:
        """Names of the GPUs that ``device=`` takes, such as ``"kompute:NVIDIA RTX 4090"``.

        The best come first. Metal's GPU has no name and is not among them.

        Returns:
            The names; an empty list where there are no GPUs or they cannot be asked.

        Example:
            >>> gpus = GPT4All.list_gpus()
            >>> device = gpus[0] if gpus else "cpu"
        """
        from gpt4all.engine.placement import usable_gpus

        try:
            return [gpu.full_name for gpu in usable_gpus()]
        except Exception as error:
            logger.warning("the GPUs could not be listed: %s", error)
            return []

    @staticmethod
    def _default_directory() -> Path:
        # As programs see it, and some assign it: a plain name would not find it where nobody has.
        from gpt4all import gpt4all

        return gpt4all.DEFAULT_MODEL_DIRECTORY

    def __repr__(self) -> str:
        model = getattr(self, "_loaded", None)
        if model is None:
            return "<GPT4All that failed to load>"
        what = f"backend={model.backend!r}, device={model.device!r}, n_ctx={model.info.n_ctx}"
        return f"GPT4All({model.model_path!r}, {what}{', closed' if model.closed else ''})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a GPT4All object can be neither pickled nor copied: its weights and context are native memory of this "
            "process. Load the model where it is used, as GPT4All(model.config['path']): processes share its file's "
            "pages; threads and tasks can share the object itself"
        )

    def __enter__(self) -> Self:
        self._loaded.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model.

        A call under way ends with a ``CancellationError``; any later one is a
        ``ValueError``. Closing twice is fine.

        Example:
            >>> model = GPT4All("SmolLM2-135M-Instruct.Q4_1.gguf")
            >>> model.close()
            >>> model.generate("Hello")
            Traceback (most recent call last):
            ValueError: the model is closed; load it again
        """
        self._loaded.close()
        hide_log(self)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, read as plain text: no special tokens are added or recognised.

        Args:
            text: any text, also an empty one.

        Returns:
            The ids, from 0 to the size of the vocabulary.

        Example:
            >>> model.tokenize("Hello, world!")
            [19556, 28, 905, 17]
        """
        return self._loaded.tokenize(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids.

        Args:
            ids: token ids, such as those that ``tokenize`` gives.

        Returns:
            The text. Bytes that are no valid UTF-8 become U+FFFD.

        Raises:
            ValueError, TypeError: one of them is no token of this model.

        Example:
            >>> model.detokenize([19556, 28, 905, 17])
            'Hello, world!'
        """
        return self._loaded.detokenize(ids)


def __getattr__(name: str) -> Any:
    # Found out at first use, and again at each: the environment may change, and
    # a program may assign DEFAULT_MODEL_DIRECTORY, which then is found before this.
    if name == "DEFAULT_MODEL_DIRECTORY":
        from gpt4all.model_files.folders import default_model_directory

        return default_model_directory()
    if name == "append_extension_if_missing":
        from gpt4all.model_files.names import append_extension_if_missing

        return append_extension_if_missing
    if name == "Embed4All":
        from gpt4all.embed4all import Embed4All

        return Embed4All
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
