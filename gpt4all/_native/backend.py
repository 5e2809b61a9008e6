"""A loaded backend library as plain Python: no ctypes type leaves this module."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import threading
import weakref
from array import array
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpt4all._native import abi, loader
from gpt4all._native.device_memory import Device, MemoryNeed, count_devices, list_devices, measure_model, read_device
from gpt4all._native.load_options import LoadArguments, load_options
from gpt4all._native.logprobs import Logprobs, TokenLogprob, collector
from gpt4all.errors import ChatTemplateError

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger("gpt4all")

_LOG_LEVELS = {
    abi.LOG_DEBUG: logging.DEBUG,
    # A hundred lines a load, of interest to those who look for a fault: a program that logs at INFO is spared them.
    abi.LOG_INFO: logging.DEBUG,
    abi.LOG_WARNING: logging.WARNING,
    abi.LOG_ERROR: logging.ERROR,
}
_FINISH_REASONS = {
    abi.FINISH_STOP: "stop",
    abi.FINISH_LENGTH: "length",
    abi.FINISH_CANCELLED: "cancelled",
}

#: Called with a token's id and its UTF-8 text; ``False`` stops.
OnToken = Callable[[int, bytes], bool]
#: Called with the tokens of each batch that is still to be computed; ``False`` stops.
OnBatch = Callable[[list[int]], bool]
#: Called with the fraction loaded; ``False`` stops.
OnProgress = Callable[[float], bool]


class CancelFlag:
    """Stops a native call from any thread; the engine polls it between graph nodes."""

    def __init__(self) -> None:
        self._value = c_int32(0)

    def set(self) -> None:
        self._value.value = 1

    def is_set(self) -> bool:
        return self._value.value != 0


@dataclass(frozen=True)
class WordPiece:
    """What a WordPiece vocabulary expects to be done to a text before it is tokenised."""

    lowercase: bool
    strip_accents: bool


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a loaded model."""

    architecture: str
    name: str
    basename: str
    description: str
    quantization: str
    chat_template: str | None
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_embd: int
    n_layer: int
    n_params: int
    weights_bytes: int
    token_bos: int | None
    token_eos: int | None
    add_bos: bool
    is_embedding: bool
    is_recurrent: bool
    can_generate: bool
    can_shift: bool
    #: Layers on GPUs, of ``n_layer + 1``: the output counts as one.
    n_layers_offloaded: int
    #: Index of the GPU with the output, else of the first with layers.
    device: int | None
    #: What weights, context and work buffers take on GPUs.
    device_bytes: int
    #: Numbers in an embedding, which may be fewer or more than ``n_embd``.
    n_embd_out: int
    is_reranker: bool
    wordpiece: WordPiece | None


@dataclass(frozen=True)
class Outcome:
    """How a generation ended, what it processed, and the seconds it took."""

    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    context_shifts: int
    prompt_seconds: float
    completion_seconds: float
    #: What a reasoning model thought before it answered, ``None`` for others.
    reasoning: str | None = None
    #: How likely each token was, ``None`` unless asked for.
    logprobs: Logprobs | None = None


class _Stored:
    """Keeps what a callback raised, for after the native call: ctypes would print and swallow it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def store(self, error: BaseException) -> None:
        self.error = error

    def raise_if_any(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                # The traceback holds this frame; without this, a cycle that keeps the model.
                del error


class Backend:
    """One loaded library."""

    def __init__(self, library: loader.Library) -> None:
        cdll = library.cdll
        self.name = library.backend
        self.path = library.path
        self.build_info = _text(cdll.gpt4all_build_info())
        self._cdll = cdll
        # The library may log as long as it is loaded, so this is never dropped.
        self._log_callback = abi.LogCallback(_forward_log)
        cdll.gpt4all_set_log_callback(self._log_callback, None)

    def silence(self) -> None:
        """Sends no further log line to Python: none may come while the interpreter ends."""
        self._cdll.gpt4all_set_log_callback(abi.LogCallback(), None)

    def devices(self) -> list[Device]:
        return list_devices(self._cdll)

    def device(self, index: int) -> Device | None:
        """One of :meth:`devices`, without asking the others for their memory."""
        return read_device(self._cdll, index) if 0 <= index < count_devices(self._cdll) else None

    def model_memory(self, path: str | os.PathLike[str], **arguments: Unpack[LoadArguments]) -> list[MemoryNeed]:
        """What ``load_model`` would take with these arguments, without allocating it: main memory first."""
        return measure_model(self._cdll, os.fsencode(path), load_options(self._cdll, arguments))

    def load_model(
        self,
        path: str | os.PathLike[str],
        *,
        progress: OnProgress | None = None,
        **arguments: Unpack[LoadArguments],
    ) -> NativeModel:
        """Loads a model file; what ``progress`` raises is raised here."""
        cdll = self._cdll
        options = load_options(cdll, arguments)
        stored = _Stored()

        def on_progress(fraction: float, payload: int | None) -> int:
            try:
                return 0 if progress is None or progress(fraction) is not False else 1
            except BaseException as error:
                stored.error = error
                return 1

        # Always given: it is how a load is cancelled.
        callback = abi.ProgressCallback(on_progress)
        options.progress = callback
        handle = c_void_p()
        try:
            cdll.gpt4all_model_load(os.fsencode(path), byref(options), byref(handle))
        except Exception:
            if stored.error is None:
                raise
        model = NativeModel(cdll, handle.value) if handle.value is not None else None
        if stored.error is not None and model is not None:
            model.close()
        stored.raise_if_any()
        if model is None:
            raise AssertionError("a successful load gave no model")
        return model


_backends: dict[loader.Library, Backend] = {}
_backends_lock = threading.Lock()


def load_backend(name: str) -> Backend:
    """The backend called ``name``, loaded once per process.

    Raises:
        BackendLoadError: lists every candidate and why each failed.
    """
    library = loader.load(name)
    with _backends_lock:
        if library not in _backends:
            _backends[library] = Backend(library)
        return _backends[library]


class NativeModel:
    """A model handle. Not thread-safe: the session above it queues calls."""

    def __init__(self, cdll: ctypes.CDLL, handle: int) -> None:
        self._cdll = cdll
        self._handle = c_void_p(handle)
        # Holds the handle, not this object; at exit the session closes in time.
        self._finalizer = weakref.finalize(self, _free_model, cdll, self._handle, os.getpid())
        self._finalizer.atexit = False
        self.info = self._read_info()

    def close(self) -> None:
        """Frees the model; later calls do nothing."""
        self._finalizer()

    def _read_info(self) -> ModelInfo:
        raw = abi.ModelInfo(struct_size=ctypes.sizeof(abi.ModelInfo))
        self._cdll.gpt4all_model_get_info(self._handle, byref(raw))
        traits = raw.traits
        decoder = bool(traits & abi.TRAIT_DECODER) and not traits & abi.TRAIT_DIFFUSION
        return ModelInfo(
            architecture=_text(raw.architecture),
            name=_text(raw.name),
            basename=_text(raw.basename),
            description=_text(raw.description),
            quantization=_text(raw.quantization),
            chat_template=_text(raw.chat_template) or None,
            n_ctx=raw.n_ctx,
            n_ctx_train=raw.n_ctx_train,
            n_vocab=raw.n_vocab,
            n_embd=raw.n_embd,
            n_layer=raw.n_layer,
            n_params=raw.n_params,
            weights_bytes=raw.weights_bytes,
            token_bos=raw.token_bos if raw.token_bos >= 0 else None,
            token_eos=raw.token_eos if raw.token_eos >= 0 else None,
            add_bos=bool(raw.add_bos),
            is_embedding=bool(traits & abi.TRAIT_EMBEDDING),
            is_recurrent=bool(traits & abi.TRAIT_RECURRENT),
            can_generate=decoder and not traits & abi.TRAIT_EMBEDDING,
            can_shift=bool(traits & abi.TRAIT_CAN_SHIFT),
            n_layers_offloaded=raw.n_layers_offloaded,
            device=raw.device if raw.device >= 0 else None,
            device_bytes=raw.device_bytes,
            n_embd_out=raw.n_embd_out,
            is_reranker=raw.pooling == abi.POOLING_RANK,
            wordpiece=_wordpiece(raw.wordpiece),
        )

    def set_threads(self, n_threads: int) -> None:
        self._cdll.gpt4all_model_set_threads(self._handle, n_threads, n_threads)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8")
        flags = (abi.TOKENIZE_ADD_SPECIAL if add_special else 0) | (abi.TOKENIZE_PARSE_SPECIAL if parse_special else 0)
        # Rarely more than a token a byte, and a few special ones.
        capacity = len(data) + 8
        count = c_int32()
        while True:
            buffer = (c_int32 * capacity)()
            status = self._cdll.gpt4all_tokenize(self._handle, data, len(data), flags, buffer, capacity, byref(count))
            if status == abi.OK:
                return buffer[: count.value]
            capacity = count.value

    def tokenize_parts(self, parts: Sequence[tuple[str, bool]], *, add_special: bool = True) -> list[int]:
        """Tokens of one text given in parts, each with whether control tokens written in it count."""
        encoded = [(text.encode("utf-8"), special) for text, special in parts]
        raw = (abi.TextPart * len(encoded))(
            *(abi.TextPart(data, len(data), int(special), 0) for data, special in encoded)
        )
        flags = abi.TOKENIZE_ADD_SPECIAL if add_special else 0
        capacity = sum(len(data) for data, _ in encoded) + 8
        count = c_int32()
        while True:
            buffer = (c_int32 * capacity)()
            status = self._cdll.gpt4all_tokenize_parts(
                self._handle, raw, len(encoded), flags, buffer, capacity, byref(count)
            )
            if status == abi.OK:
                return buffer[: count.value]
            capacity = count.value

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        template: str | None = None,
        args: Mapping[str, Any] | None = None,
        *,
        add_generation_prompt: bool = True,
    ) -> list[tuple[str, bool]]:
        """A conversation as text in parts, each with whether it came out of a message or an argument.

        ``template`` ``None`` is the model's own; ``args`` are further variables of the template.

        Raises:
            ChatTemplateError: the template is broken, failed, or refuses the conversation.
            ValueError: messages or arguments are no JSON, or not of the right form.
        """
        if template is not None and "\0" in template:
            raise ChatTemplateError("the chat template is broken: it holds a NUL character")
        parts: list[tuple[bytes, bool]] = []
        stored = _Stored()

        def on_part(address: int, length: int, from_message: int, payload: int | None) -> int:
            try:
                parts.append((ctypes.string_at(address, length), bool(from_message)))
                return 0
            except BaseException as error:
                stored.error = error
                return 1

        callback = abi.PartCallback(on_part)
        self._cdll.gpt4all_chat_render(
            self._handle,
            None if template is None else template.encode("utf-8"),
            _json(list(messages), "messages"),
            _json(dict(args), "template_args") if args else None,
            int(add_generation_prompt),
            callback,
            None,
        )
        stored.raise_if_any()
        # The engine counts bytes, so a template that cuts text may cut a character.
        return [(text.decode("utf-8", "replace"), from_message) for text, from_message in parts]

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        ids = (c_int32 * len(tokens))(*tokens)
        capacity = 8 * len(tokens) + 16
        length = c_int64()
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            status = self._cdll.gpt4all_detokenize(self._handle, ids, len(tokens), buffer, capacity, byref(length))
            if status == abi.OK:
                return buffer.raw[: length.value]
            capacity = length.value

    def generate(
        self,
        tokens: Sequence[int],
        *,
        on_token: OnToken,
        cancel: CancelFlag,
        max_tokens: int,
        n_batch: int,
        top_k: int,
        temperature: float,
        top_p: float,
        min_p: float,
        repeat_penalty: float,
        repeat_last_n: int,
        seed: int,
        stop: Sequence[str] = (),
        n_keep: int = 0,
        reuse_prefix: bool = True,
        keep_context: bool = False,
        render_special: bool = False,
        logit_bias: Sequence[tuple[int, float]] = (),
        grammar: str | None = None,
        thinking: tuple[str, str] | None = None,
        logprobs: int | None = None,
    ) -> Outcome:
        """Continues ``tokens``; what ``on_token`` raises is raised here once the engine has stopped.

        ``thinking`` are the marks around what the grammar does not apply to, the first ``""`` where the prompt has it.
        """
        options = abi.GenerateOptions()
        self._cdll.gpt4all_generate_options_init(byref(options), ctypes.sizeof(options))
        options.max_tokens = max_tokens
        options.n_batch = n_batch
        options.top_k = top_k
        options.temperature = temperature
        options.top_p = top_p
        options.min_p = min_p
        options.repeat_penalty = repeat_penalty
        options.repeat_last_n = repeat_last_n
        options.seed = seed
        options.reuse_prefix = int(reuse_prefix)
        options.n_keep = n_keep
        options.keep_context = int(keep_context)
        options.render_special = int(render_special)
        encoded = [text.encode("utf-8") for text in stop]
        strings = (abi.String * len(encoded))(*(abi.String(data, len(data)) for data in encoded))
        options.stop = ctypes.cast(strings, ctypes.POINTER(abi.String))
        options.n_stop = len(encoded)
        options.cancel = ctypes.pointer(cancel._value)
        biases = (abi.TokenBias * len(logit_bias))(*(abi.TokenBias(token, bias) for token, bias in logit_bias))
        options.logit_bias = ctypes.cast(biases, ctypes.POINTER(abi.TokenBias))
        options.n_logit_bias = len(biases)
        if grammar is not None:
            options.grammar = _string(grammar)
            if thinking is not None:
                options.thinking_open, options.thinking_close = map(_string, thinking)

        stored = _Stored()
        content: list[TokenLogprob] = []
        if logprobs is not None:
            options.logprobs = collector(content, stored.store)
            options.n_top_logprobs = logprobs
        string_at = ctypes.string_at

        def token_callback(token: int, address: int, length: int, payload: int | None) -> int:
            try:
                return 0 if on_token(token, string_at(address, length) if length else b"") else 1
            except BaseException as error:
                stored.error = error
                return 1

        ids = (c_int32 * len(tokens)).from_buffer(array("i", tokens)) if tokens else (c_int32 * 0)()
        result = abi.GenerateResult()
        self._cdll.gpt4all_generate_result_init(byref(result), ctypes.sizeof(result))
        callback = abi.TokenCallback(token_callback)
        try:
            self._cdll.gpt4all_generate(self._handle, ids, len(tokens), byref(options), callback, None, byref(result))
        except Exception:
            if stored.error is None:
                raise
        stored.raise_if_any()
        return Outcome(
            finish_reason=_FINISH_REASONS[result.finish_reason],
            prompt_tokens=result.prompt_tokens,
            cached_tokens=result.cached_tokens,
            completion_tokens=result.completion_tokens,
            context_shifts=result.context_shifts,
            prompt_seconds=result.prompt_us / 1e6,
            completion_seconds=result.completion_us / 1e6,
            logprobs=None if logprobs is None else {"content": content},
        )

    def check_grammar(self, grammar: str) -> None:
        """Raises a ``ValueError`` that says what is wrong with a grammar."""
        data = grammar.encode("utf-8")
        self._cdll.gpt4all_grammar_check(self._handle, data, len(data))

    def embed(
        self,
        tokens: array[int],
        lengths: array[int],
        *,
        normalize: bool,
        cancel: CancelFlag,
        on_batch: OnBatch | None = None,
    ) -> array[float]:
        """A row of ``n_embd_out`` numbers for each text.

        Args:
            tokens: those of all texts, special ones included; a C ``int`` array.
            lengths: the number of each text's; a C ``int`` array.
            on_batch: called before each batch, on any thread; what it raises is
                raised here once the engine has stopped.

        Raises:
            CancellationError: ``cancel`` or ``on_batch`` stopped it.
            EmbeddingError: the engine failed.
        """
        options = abi.EmbedOptions()
        self._cdll.gpt4all_embed_options_init(byref(options), ctypes.sizeof(options))
        options.normalize = int(normalize)
        options.cancel = ctypes.pointer(cancel._value)
        stored = _Stored()

        def batch_callback(sizes: Any, count: int, payload: int | None) -> int:
            assert on_batch is not None
            try:
                return 0 if on_batch(sizes[:count]) else 1
            except BaseException as error:
                stored.error = error
                return 1

        vectors = array("f", bytes(4 * len(lengths) * self.info.n_embd_out))
        if not lengths:
            return vectors
        callback = abi.EmbedCallback(batch_callback) if on_batch is not None else abi.EmbedCallback()
        try:
            self._cdll.gpt4all_embed(
                self._handle,
                _int32_buffer(tokens),
                _int32_buffer(lengths),
                len(lengths),
                byref(options),
                (ctypes.c_float * len(vectors)).from_buffer(vectors),
                len(vectors),
                callback,
                None,
            )
        except Exception:
            if stored.error is None:
                raise
        stored.raise_if_any()
        return vectors

    def last_logits(self) -> array[float]:
        """The logits of the last computed position, ``n_vocab`` floats."""
        logits = array("f", bytes(4 * self.info.n_vocab))
        buffer = (ctypes.c_float * len(logits)).from_buffer(logits)
        self._cdll.gpt4all_last_logits(self._handle, buffer, len(logits))
        return logits


def _free_model(cdll: ctypes.CDLL, handle: c_void_p, pid: int) -> None:
    # In a forked child the engine's threads are gone, and waiting for them would hang.
    if os.getpid() == pid:
        # A call that comes too late, from a signal handler say, meets no dangling pointer.
        address, handle.value = handle.value, None
        cdll.gpt4all_model_free(address)


def _wordpiece(flags: int) -> WordPiece | None:
    if not flags & abi.WORDPIECE:
        return None
    return WordPiece(bool(flags & abi.WORDPIECE_LOWERCASE), bool(flags & abi.WORDPIECE_STRIP_ACCENTS))


def _int32_buffer(values: array[int]) -> ctypes.Array[c_int32]:
    return (c_int32 * len(values)).from_buffer(values)


def _json(value: object, name: str) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be written as JSON: {error}") from None


def _string(text: str) -> Any:
    data = text.encode("utf-8")
    # The pointer keeps the struct alive, and that the bytes.
    return ctypes.pointer(abi.String(data, len(data)))


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _forward_log(level: int, address: int, length: int, payload: Any) -> None:
    try:
        python_level = _LOG_LEVELS.get(level, logging.DEBUG)
        if logger.isEnabledFor(python_level):
            logger.log(python_level, "%s", ctypes.string_at(address, length).decode("utf-8", "replace"))
    except BaseException:  # a log handler's failure must not be printed by ctypes from inside the engine
        pass
