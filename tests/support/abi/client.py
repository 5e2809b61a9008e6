"""A thin client of the C interface for tests: statuses as they are, no policy of the package.

It takes the package's own structs and prototypes, so a wrong declaration there shows here, but none of its error
handling: what a test wants to see is the status and the message.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import byref, c_float, c_int32, c_int64, c_void_p, sizeof
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt4all._native import abi
from gpt4all._native.prototypes import PROTOTYPES

OnToken = Callable[[int, bytes], bool]


#: The context of the model that tests share.
N_CTX = 64

CONTROL = "<|im_end|>"


class StatusError(Exception):
    """A call gave a status other than ``OK``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.message = message


class Library:
    """A backend library loaded for itself, apart from the package's own handle on it."""

    def __init__(self, path: Path, *, init: bool = True) -> None:
        self.path = path
        #: Load options that go before those of each call.
        self.defaults: dict[str, Any] = {}
        self.c: Any = ctypes.CDLL(str(path))
        for name, (argtypes, restype, _) in PROTOTYPES.items():
            function = getattr(self.c, name)
            function.argtypes = argtypes
            function.restype = restype
        if init:
            self.check(self.c.gpt4all_init())

    def last_error(self) -> str:
        message: bytes = self.c.gpt4all_last_error()
        return message.decode("utf-8")

    def check(self, status: int) -> None:
        if status != abi.OK:
            raise StatusError(status, self.last_error())

    def load_options(self, **values: Any) -> abi.LoadOptions:
        options = abi.LoadOptions()
        self.check(self.c.gpt4all_load_options_init(byref(options), sizeof(options)))
        options.n_ctx = 128
        options.n_threads = options.n_threads_batch = 1
        _set(options, {**self.defaults, **values})
        return options

    def generate_options(self, **values: Any) -> abi.GenerateOptions:
        """The library's defaults, but greedy and without a penalty."""
        options = abi.GenerateOptions()
        self.check(self.c.gpt4all_generate_options_init(byref(options), sizeof(options)))
        options.temperature = 0.0
        options.repeat_penalty = 1.0
        _set(options, values)
        return options

    def load(self, path: Path | str | bytes, **options: Any) -> Model:
        raw = path if isinstance(path, bytes) else str(path).encode()
        handle = c_void_p()
        status = self.c.gpt4all_model_load(raw, byref(self.load_options(**options)), byref(handle))
        if status != abi.OK:
            assert handle.value is None, "a failed load left a model"
        self.check(status)
        return Model(self, handle)

    def memory(self, path: Path | str, **options: Any) -> list[abi.MemoryNeed]:
        """What a load would take: main memory, then every GPU with layers."""
        needs, count = (abi.MemoryNeed * 8)(), c_int32()
        raw, chosen = str(path).encode(), self.load_options(**options)
        self.check(self.c.gpt4all_model_memory(raw, byref(chosen), needs, len(needs), byref(count)))
        return list(needs[: count.value])

    def new_result(self) -> abi.GenerateResult:
        result = abi.GenerateResult()
        self.check(self.c.gpt4all_generate_result_init(byref(result), sizeof(result)))
        return result

    def devices(self) -> list[abi.DeviceInfo]:
        count = c_int32()
        self.check(self.c.gpt4all_device_count(byref(count)))
        found = []
        for index in range(count.value):
            info = abi.DeviceInfo(struct_size=sizeof(abi.DeviceInfo))
            self.check(self.c.gpt4all_device_get_info(index, byref(info)))
            found.append(info)
        return found


@dataclass(frozen=True)
class Subject:
    """A library with a model that generates without end, mostly ASCII."""

    library: Library
    model: Path
    architecture: str
    n_ctx_train: int
    #: A control token of its vocabulary.
    control: str
    #: Whether its tokens give any text again, and not just words.
    all_text: bool = True


@dataclass
class Run:
    """One call of ``gpt4all_generate``: every callback, and the result."""

    status: int
    message: str
    result: abi.GenerateResult
    calls: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return [token for token, _ in self.calls]

    @property
    def pieces(self) -> list[bytes]:
        return [piece for _, piece in self.calls]

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


@dataclass
class Embedded:
    """One call of ``gpt4all_embed``: a row of numbers for each text, and what each callback was given."""

    status: int
    message: str
    rows: list[list[float]]
    batches: list[list[int]]


class Model:
    """A loaded model; also a context manager that frees it."""

    def __init__(self, library: Library, handle: c_void_p) -> None:
        self.library = library
        self.c = library.c
        self.handle = handle

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def free(self) -> None:
        if self.handle.value is not None:
            self.library.check(self.c.gpt4all_model_free(self.handle))
            self.handle = c_void_p()

    def info(self) -> abi.ModelInfo:
        info = abi.ModelInfo(struct_size=sizeof(abi.ModelInfo))
        self.library.check(self.c.gpt4all_model_get_info(self.handle, byref(info)))
        return info

    def tokenize(
        self, text: str | bytes, flags: int = abi.TOKENIZE_ADD_SPECIAL, cancel: c_int32 | None = None
    ) -> list[int]:
        flag = None if cancel is None else ctypes.pointer(cancel)
        raw = text.encode() if isinstance(text, str) else text
        capacity = len(raw) + 8
        ids, count = (c_int32 * capacity)(), c_int32()
        status = self.c.gpt4all_tokenize(self.handle, raw, len(raw), flags, flag, ids, capacity, byref(count))
        self.library.check(status)
        return ids[: count.value]

    def tokenize_parts(
        self,
        parts: Sequence[tuple[str | bytes, bool]],
        flags: int = abi.TOKENIZE_ADD_SPECIAL,
        cancel: c_int32 | None = None,
    ) -> list[int]:
        """Each part with whether it parses control tokens."""
        flag = None if cancel is None else ctypes.pointer(cancel)
        raw = [(text.encode() if isinstance(text, str) else text, special) for text, special in parts]
        array = (abi.TextPart * len(raw))(*[abi.TextPart(text, len(text), special, 0) for text, special in raw])
        capacity = sum(len(text) for text, _ in raw) + 8
        ids, count = (c_int32 * capacity)(), c_int32()
        self.library.check(
            self.c.gpt4all_tokenize_parts(self.handle, array, len(raw), flags, flag, ids, capacity, byref(count))
        )
        return ids[: count.value]

    def render(
        self,
        messages: str,
        template: str | None = None,
        args: str | None = None,
        *,
        add_generation_prompt: bool = False,
        most: int | None = None,
        cancel: c_int32 | None = None,
    ) -> list[tuple[bytes, bool]]:
        """Each part with whether it came out of a message, at most ``most``."""
        parts: list[tuple[bytes, bool]] = []

        def take(address: int, length: int, from_message: int, payload: int | None) -> int:
            parts.append((ctypes.string_at(address, length), bool(from_message)))
            return int(len(parts) == most)

        status = self.c.gpt4all_chat_render(
            self.handle,
            None if template is None else template.encode(),
            messages.encode(),
            None if args is None else args.encode(),
            int(add_generation_prompt),
            None if cancel is None else byref(cancel),
            abi.PartCallback(take),
            None,
        )
        self.library.check(status)
        return parts

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        text, length = ctypes.create_string_buffer(4096), c_int64()
        ids = (c_int32 * len(tokens))(*tokens)
        self.library.check(self.c.gpt4all_detokenize(self.handle, ids, len(tokens), text, 4096, byref(length)))
        return text.raw[: length.value]

    def start(
        self,
        tokens: Sequence[int],
        *,
        stop: Sequence[str | bytes] = (),
        cancel: c_int32 | None = None,
        **options: Any,
    ) -> Request:
        """A request, which is read apart."""
        filled, kept = self._options(stop, cancel, options)
        handle = c_void_p()
        ids = (c_int32 * len(tokens))(*tokens)
        self.library.check(self.c.gpt4all_request_start(self.handle, ids, len(tokens), byref(filled), byref(handle)))
        del kept
        return Request(self.library, handle, cancel)

    def _options(
        self, stop: Sequence[str | bytes], cancel: c_int32 | None, values: dict[str, Any]
    ) -> tuple[abi.GenerateOptions, object]:
        """The struct, and what has to stay for as long as it is used."""
        filled = self.library.generate_options(**values)
        texts = [text.encode() if isinstance(text, str) else text for text in stop]
        strings = (abi.String * len(texts))(*[abi.String(text, len(text)) for text in texts])
        if texts:
            filled.stop, filled.n_stop = strings, len(texts)
        if cancel is not None:
            filled.cancel = ctypes.pointer(cancel)
        return filled, (texts, strings)

    def generate(
        self,
        tokens: Sequence[int],
        *,
        on_token: OnToken | None = None,
        stop: Sequence[str | bytes] = (),
        cancel: c_int32 | None = None,
        **options: Any,
    ) -> Run:
        """Runs to the end whatever the status is; ``on_token`` stops with ``False``."""
        filled, kept = self._options(stop, cancel, options)
        try:
            return self.generate_with(tokens, filled, on_token)
        finally:
            del kept

    def generate_with(self, tokens: Sequence[int], options: Any, on_token: OnToken | None = None) -> Run:
        result = self.library.new_result()
        calls: list[tuple[int, bytes]] = []
        ids = (c_int32 * len(tokens))(*tokens)
        pointer = ctypes.cast(byref(options), ctypes.POINTER(abi.GenerateOptions))
        with _collecting(calls, on_token) as callback:
            status = self.c.gpt4all_generate(self.handle, ids, len(tokens), pointer, callback, None, byref(result))
            message = self.library.last_error()
        return Run(status, message, result, calls)

    def embed(
        self,
        texts: Sequence[Sequence[int]],
        *,
        on_batch: Callable[[list[int]], bool] | None = None,
        cancel: c_int32 | None = None,
        normalize: bool = True,
    ) -> Embedded:
        """The vectors of texts that are tokens, in memory full of NaN; ``on_batch`` stops with ``False``."""
        options = abi.EmbedOptions()
        self.library.check(self.c.gpt4all_embed_options_init(byref(options), sizeof(options)))
        options.normalize = int(normalize)
        if cancel is not None:
            options.cancel = ctypes.pointer(cancel)
        batches: list[list[int]] = []

        def take(sizes: Any, count: int, payload: int | None) -> int:
            batches.append(sizes[:count])
            return 0 if on_batch is None or on_batch(batches[-1]) else 1

        tokens = [token for text in texts for token in text]
        width = self.info().n_embd_out
        vectors = (c_float * (len(texts) * width))(*[math.nan] * (len(texts) * width))
        status = self.c.gpt4all_embed(
            self.handle,
            (c_int32 * len(tokens))(*tokens),
            (c_int32 * len(texts))(*map(len, texts)),
            len(texts),
            byref(options),
            vectors,
            len(vectors),
            abi.EmbedCallback(take),
            None,
        )
        rows = [vectors[row * width : (row + 1) * width] for row in range(len(texts))]
        return Embedded(status, self.library.last_error(), rows, batches)

    def logits(self) -> list[float]:
        n_vocab = self.info().n_vocab
        values = (c_float * n_vocab)()
        self.library.check(self.c.gpt4all_last_logits(self.handle, values, n_vocab))
        return list(values)


class Request:
    """A generation under way; also a context manager that frees it."""

    def __init__(self, library: Library, handle: c_void_p, cancel: c_int32 | None) -> None:
        self.library = library
        self.handle = handle
        self.calls: list[tuple[int, bytes]] = []
        self._flag = cancel

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def read(self, timeout_us: int = -1, on_token: OnToken | None = None) -> Run:
        """What one reading brings, and before that all that came before."""
        result = self.library.new_result()
        with _collecting(self.calls, on_token) as callback:
            status = self.library.c.gpt4all_request_read(self.handle, timeout_us, callback, None, byref(result))
            message = self.library.last_error()
        return Run(status, message, result, self.calls)

    def finish(self, on_token: OnToken | None = None) -> Run:
        """Reads to the end."""
        while True:
            run = self.read(on_token=on_token)
            if run.status != abi.OK or run.result.finish_reason != abi.FINISH_NOT_YET:
                return run

    def cancel(self) -> None:
        self.library.check(self.library.c.gpt4all_request_cancel(self.handle))

    def free(self) -> None:
        if self.handle.value is not None:
            self.library.check(self.library.c.gpt4all_request_free(self.handle))
            self.handle = c_void_p()


@contextmanager
def _collecting(calls: list[tuple[int, bytes]], on_token: OnToken | None) -> Iterator[Any]:
    """A native callback that adds to ``calls``; what ``on_token`` raises is raised in the end."""
    errors: list[BaseException] = []

    def take(token: int, address: int | None, length: int, payload: int | None) -> int:
        try:
            piece = ctypes.string_at(address, length) if address else b""
            calls.append((token, piece))
            return 0 if on_token is None or on_token(token, piece) else 1
        except BaseException as error:
            errors.append(error)
            return 1

    yield abi.TokenCallback(take)
    if errors:
        raise errors[0]


def _set(options: ctypes.Structure, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(options, name, value)
