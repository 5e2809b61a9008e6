"""The ``GPT4All`` class: a model file that answers prompts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, SupportsIndex, overload

from gpt4all._native.outcome import Outcome
from gpt4all.chat.session import ChatMethods
from gpt4all.chat.template import DEFAULT_PROMPT_TEMPLATE as DEFAULT_PROMPT_TEMPLATE
from gpt4all.checks import check_flag, refuse_unknown, unknown_hidden
from gpt4all.devices.request import parse_device
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.generation.streaming import Generation
from gpt4all.model_files.library import ConfigType, ModelLibrary
from gpt4all.notices import hide_log, log_shown, warn_caller
from gpt4all.options import (
    DEFAULT_REPEAT_PENALTY,
    GenerateArguments,
    LoadOptions,
    ProgressCallback,
    ReasoningCallback,
    ResponseCallback,
)
from gpt4all.options import empty_response_callback as empty_response_callback

if sys.version_info >= (3, 11):
    from typing import Self, Unpack
else:
    from typing_extensions import Self, Unpack

if TYPE_CHECKING:
    from gpt4all.generation.call import Call
else:
    # With the engine, which importing the package leaves out; type hints can be had all the same.
    Call = Any

MessageType = dict[str, str]

logger = logging.getLogger("gpt4all")


class GPT4All(ModelLibrary, ChatMethods):
    """A language model loaded from a GGUF file.

    One object may be used from several threads and tasks: calls queue in order.
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

    @overload
    def generate(
        self, prompt: str, *, streaming: Literal[False] = ..., **arguments: Unpack[GenerateArguments]
    ) -> str: ...

    @overload
    def generate(
        self, prompt: str, *, streaming: Literal[True], **arguments: Unpack[GenerateArguments]
    ) -> Generation: ...

    @overload
    def generate(self, prompt: str, *, streaming: bool, **arguments: Unpack[GenerateArguments]) -> str | Generation: ...

    @unknown_hidden
    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 200,
        temp: float = 0.7,
        top_k: int = 40,
        top_p: float = 0.4,
        min_p: float = 0.0,
        repeat_penalty: float = DEFAULT_REPEAT_PENALTY,
        repeat_last_n: int = 64,
        n_batch: int = 512,
        n_predict: int | None = None,
        streaming: bool = False,
        callback: ResponseCallback = empty_response_callback,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        logit_bias: Mapping[int, float] | None = None,
        grammar: str | None = None,
        json_schema: dict[str, Any] | type | None = None,
        logprobs: int | None = None,
        parse_special: bool = True,
        reasoning_callback: ReasoningCallback | None = None,
        **unknown: NoReturn,
    ) -> str | Generation:
        """Continues a prompt, or inside ``chat_session`` answers a message.

        Outside a session every call starts from an empty context; a prefix
        shared with the previous call is not computed again. Inside, the whole
        conversation is sent; where it does not fit the context, its oldest
        turns are left out, and the history keeps them.

        With ``grammar`` or ``json_schema`` 2.8's stop texts are off,
        ``repeat_penalty`` is 1 unless it is given, and a reasoning model
        thinks before its answer as it likes.

        Args:
            prompt: the text to continue; the user's message inside a session.
            max_tokens: most tokens to generate; 0 only computes the prompt.
            temp: temperature; 0 always takes the likeliest token.
            top_k: draws from this many likeliest tokens; 1 is greedy, 0 or less means all.
            top_p: draws from the likeliest tokens whose probabilities reach this
                sum; 0 or less keeps one, 1 or more all.
            min_p: drops tokens less likely than this share of the likeliest one's probability.
            repeat_penalty: divides the logits of recent tokens, the prompt's too; 1 is off.
            repeat_last_n: how many recent tokens that is; -1 is the whole context.
            n_batch: prompt tokens computed at once, at most 512.
            n_predict: the old name of ``max_tokens``; wins when given.
            streaming: returns a ``Generation``, an iterator of pieces, instead of
                the whole text.
            callback: called with each token's id and text; ``False`` stops, and
                what it raises is raised here. On a thread of this package when streaming.
            seed: makes the draw repeatable; from 0 to 2**32 - 1.
            stop: texts that end the answer and are not part of it, besides the
                six that 2.8 had; an empty list turns those off too. Sessions with
                a Jinja template have none of 2.8's.
            logit_bias: added to the logits of tokens, by id; ``-math.inf`` bans one.
            grammar: a GBNF grammar that the answer keeps to, from its rule ``root``.
            json_schema: a JSON Schema as a dict, or a pydantic model class. The
                answer is JSON that it accepts, unless ``finish_reason`` is
                ``"length"`` or ``"cancelled"``: then it was cut off.
            logprobs: puts each token's log-probability into
                ``last_generation.logprobs``, with this many of the likeliest
                alternatives, 0 to 20; what the model itself computed, before any
                other option here.
            parse_special: reads control tokens written in the prompt as such.
                Inside a session a message's never are.
            reasoning_callback: called with each piece of a reasoning model's
                thinking, on a thread of this package; ``False`` stops. All of it
                is in ``last_generation.reasoning``, and none in the answer.

        Returns:
            The completion, or an iterator over its pieces, which joined equal it.

        Raises:
            ContextWindowExceededError: the prompt has more than ``n_ctx`` - 4 tokens; in a
                session, the system prompt and the message alone.
            CancellationError: the model was closed during the call.
            GenerationError: the engine failed, or this is called from a callback of the model.
            UnsupportedModelError: the model embeds texts and cannot generate any.
            ValueError, TypeError: an argument makes no sense; the message names it.

        Example:
            >>> model.generate("The capital of France is", max_tokens=20, temp=0, stop=".")
            ' Paris'
            >>> for piece in model.generate("The capital of France is", max_tokens=2, temp=0, streaming=True):
            ...     print(piece)
             Paris
            .
            >>> model.generate("Is the sky blue?", grammar='root ::= " yes" | " no"') in (" yes", " no")
            True
        """
        refuse_unknown(GPT4All.generate, unknown)
        streaming = check_flag("streaming", streaming)
        call = self._new_call(
            prompt,
            max_tokens=max_tokens,
            temp=temp,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repeat_penalty=repeat_penalty,
            repeat_last_n=repeat_last_n,
            n_batch=n_batch,
            n_predict=n_predict,
            callback=callback,
            seed=seed,
            stop=stop,
            logit_bias=logit_bias,
            grammar=grammar,
            json_schema=json_schema,
            logprobs=logprobs,
            parse_special=parse_special,
            reasoning_callback=reasoning_callback,
        )
        return Generation(call) if streaming else call.text()

    def agenerate(self, prompt: str, **arguments: Unpack[GenerateArguments]) -> AsyncGeneration:
        """``generate`` for asyncio: ``await`` it for the whole text, or ``async for`` its pieces.

        Callbacks run on a thread of this package. Cancelling the task stops the
        engine within a token; the event loop is never blocked.

        Args:
            prompt: as for ``generate``.
            **arguments: the keyword arguments of ``generate``, all but ``streaming``.

        Returns:
            What is awaited or iterated, once; its ``outcome`` says how this call ended.

        Raises:
            ValueError, TypeError: an argument makes no sense; the message names it.
                What ``generate`` raises otherwise, awaiting or iterating does.

        Example:
            >>> import asyncio
            >>> async def main():
            ...     print(await model.agenerate("The opposite of hot is", max_tokens=2, temp=0))
            ...     async for piece in model.agenerate("The capital of France is", max_tokens=1, temp=0):
            ...         print(piece)
            >>> asyncio.run(main())
             cold.
             Paris
        """
        known = GenerateArguments.__annotations__
        refuse_unknown(GPT4All.agenerate, [name for name in arguments if name not in known], ("prompt", *known))
        return AsyncGeneration(self._new_call(prompt, **arguments))

    def _new_call(self, prompt: str, **arguments: Unpack[GenerateArguments]) -> Call:
        # With the engine, which is loaded by now.
        from gpt4all.generation.call import Call

        chat = self._current_chat()
        format_message = None if chat is None else self._own_format()
        return Call.prepare(self._loaded, chat, format_message, self._remember, prompt, **arguments)

    def _remember(self, outcome: Outcome) -> None:
        self.last_generation = outcome


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
