"""A loaded model as plain Python: no ctypes type leaves it."""

from __future__ import annotations

import ctypes
import json
import os
import weakref
from array import array
from collections.abc import Mapping, Sequence
from ctypes import byref, c_int32, c_int64, c_void_p
from typing import TYPE_CHECKING, Any

from gpt4all._native import abi
from gpt4all._native.arguments import GenerateOptions, PromptTraits, generate_struct
from gpt4all._native.callbacks import CancelFlag, OnBatch, OnToken, Stored, logprobs_callback
from gpt4all._native.chat import Parts, PreparedChat
from gpt4all._native.model_info import read_model_info
from gpt4all._native.outcome import Outcome, TokenLogprob
from gpt4all.errors import ChatTemplateError

if TYPE_CHECKING:
    from typing_extensions import Unpack

_FINISH_REASONS = {
    abi.FINISH_STOP: "stop",
    abi.FINISH_LENGTH: "length",
    abi.FINISH_CANCELLED: "cancelled",
}


class NativeModel:
    """A model handle. Not thread-safe: the model above it queues calls."""

    def __init__(self, cdll: ctypes.CDLL, handle: int) -> None:
        self._cdll = cdll
        self._handle = c_void_p(handle)
        # Holds the handle, not this object; at exit the model above closes in time.
        self._finalizer = weakref.finalize(self, _free_model, cdll, self._handle, os.getpid())
        self._finalizer.atexit = False
        self.info = read_model_info(cdll, self._handle)

    def close(self) -> None:
        """Frees the model; later calls do nothing."""
        self._finalizer()

    def set_threads(self, n_threads: int) -> None:
        self._cdll.gpt4all_model_set_threads(self._handle, n_threads, n_threads)

    def tokenize(
        self, text: str, *, add_special: bool, parse_special: bool, cancel: CancelFlag | None = None
    ) -> list[int]:
        """Tokens of a text; ``cancel`` stops it with a ``CancellationError``."""
        flag = None if cancel is None else cancel.pointer()
        data = text.encode("utf-8")
        flags = (abi.TOKENIZE_ADD_SPECIAL if add_special else 0) | (abi.TOKENIZE_PARSE_SPECIAL if parse_special else 0)
        # Rarely more than a token a byte, and a few special ones.
        capacity = len(data) + 8
        count = c_int32()
        while True:
            buffer = (c_int32 * capacity)()
            status = self._cdll.gpt4all_tokenize(
                self._handle, data, len(data), flags, flag, buffer, capacity, byref(count)
            )
            if status == abi.OK:
                return buffer[: count.value]
            capacity = count.value

    def tokenize_parts(
        self, parts: Sequence[tuple[str, bool]], *, add_special: bool = True, cancel: CancelFlag | None = None
    ) -> list[int]:
        """Tokens of one text given in parts, each with whether control tokens written in it count.

        Raises:
            CancellationError: ``cancel`` stopped it.
        """
        flag = None if cancel is None else cancel.pointer()
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
                self._handle, raw, len(encoded), flags, flag, buffer, capacity, byref(count)
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
        cancel: CancelFlag | None = None,
    ) -> list[tuple[str, bool]]:
        """A conversation as text in parts, each with whether it came out of a message or an argument.

        ``template`` ``None`` is the model's own; ``args`` are further variables of the template.

        Raises:
            ChatTemplateError: the template is broken, failed, or refuses the conversation.
            ValueError: messages or arguments are no JSON, or not of the right form.
            CancellationError: ``cancel`` stopped it.
        """
        parts = Parts()
        self._cdll.gpt4all_chat_render(
            self._handle,
            _template(template),
            _json(list(messages), "messages"),
            _json(dict(args), "template_args") if args else None,
            int(add_generation_prompt),
            None if cancel is None else cancel.pointer(),
            parts.callback,
            None,
        )
        return parts.take()

    def prepare_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Mapping[str, Any],
        template: str | None = None,
        args: Mapping[str, Any] | None = None,
        *,
        cancel: CancelFlag | None = None,
    ) -> tuple[list[tuple[str, bool]], PreparedChat]:
        """A conversation with tools: its parts, as of ``render_chat``, and how the answer is written and read.

        ``tools`` is ``{"tools": [...], "choice": ..., "parallel": ...}``, as the header of the library has it.

        Raises:
            ChatTemplateError: the template is broken, failed, or refuses the conversation.
            ValueError: what is given is no JSON, or not of the right form; a grammar is wrong.
            CancellationError: ``cancel`` stopped it.
        """
        parts = Parts()
        handle = c_void_p()
        self._cdll.gpt4all_chat_prepare(
            self._handle,
            _template(template),
            _json(list(messages), "messages"),
            _json(dict(tools), "tools"),
            _json(dict(args), "template_args") if args else None,
            None if cancel is None else cancel.pointer(),
            parts.callback,
            None,
            byref(handle),
        )
        # Owned from here on, whatever the callback met.
        prepared = PreparedChat(self._cdll, handle)
        return parts.take(), prepared

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
        options: GenerateOptions,
        on_token: OnToken,
        cancel: CancelFlag,
        **prompt: Unpack[PromptTraits],
    ) -> Outcome:
        """Continues ``tokens``; what ``on_token`` raises is raised here once the engine has stopped."""
        struct = generate_struct(self._cdll, options, prompt, cancel)
        stored = Stored()
        content: list[TokenLogprob] = []
        if options.logprobs is not None:
            struct.logprobs = logprobs_callback(content, options.logprobs_callback, stored)
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
        request = c_void_p()
        try:
            self._cdll.gpt4all_request_start(self._handle, ids, len(tokens), byref(struct), byref(request))
            result.finish_reason = abi.FINISH_NOT_YET
            while result.finish_reason == abi.FINISH_NOT_YET:
                self._cdll.gpt4all_request_read(request, -1, callback, None, byref(result))
        except Exception:
            if stored.error is None:
                raise
        finally:
            self._cdll.gpt4all_request_free(request)
        stored.raise_if_any()
        return Outcome(
            finish_reason=_FINISH_REASONS[result.finish_reason],
            prompt_tokens=result.prompt_tokens,
            cached_tokens=result.cached_tokens,
            completion_tokens=result.completion_tokens,
            context_shifts=result.context_shifts,
            prompt_seconds=result.prompt_us / 1e6,
            completion_seconds=result.completion_us / 1e6,
            logprobs={"content": content} if options.logprobs is not None else None,
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
        options.cancel = cancel.pointer()
        stored = Stored()

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


def _int32_buffer(values: array[int]) -> ctypes.Array[c_int32]:
    return (c_int32 * len(values)).from_buffer(values)


def _template(template: str | None) -> bytes | None:
    if template is None:
        return None
    if "\0" in template:
        raise ChatTemplateError("the chat template is broken: it holds a NUL character")
    return template.encode("utf-8")


def _json(value: object, name: str) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be written as JSON: {error}") from None
