"""A loaded model: one native handle, used by one caller at a time, closed once."""

from __future__ import annotations

import operator
import os
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt4all._native.arguments import PromptTraits
from gpt4all._native.backend import (
    Backend,
    CancelFlag,
    ModelInfo,
    NativeModel,
    OnBatch,
    OnToken,
    Outcome,
)
from gpt4all._native.chat import PreparedChat
from gpt4all.checks import check_text
from gpt4all.engine import at_exit, wordpiece
from gpt4all.engine.at_exit import end_thread_if_exiting
from gpt4all.engine.mapped_file import MappedFile
from gpt4all.engine.runs import EmbeddingRun, Output, Run, Work
from gpt4all.engine.workers import CLOSED, CLOSED_MEANWHILE, FORKED, Call, Job, Worker
from gpt4all.errors import CancellationError, ContextWindowExceededError, GenerationError, UnsupportedModelError
from gpt4all.options import (
    GenerationOptions,
    ResponseCallback,
    check_thread_count,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Room a prompt leaves for the answer, as in 2.8.
MIN_ANSWER_ROOM = 4


class LoadedModel:
    """A model's native handle and the thread that works for it.

    Attributes:
        model_path: the model's file.
        backend: name of the backend that runs it.
        device: name of its GPU, ``None`` on the CPU and with Metal.
        info: facts about the model.
        n_parallel: generations computed together.
    """

    def __init__(
        self,
        backend: Backend,
        native: NativeModel,
        worker: Worker,
        model_path: Path,
        n_threads: int,
        device: str | None = None,
        mapped: MappedFile | None = None,
        n_parallel: int = 1,
    ) -> None:
        self.model_path = str(model_path)
        self.backend = backend.name
        self.device = device
        self.n_parallel = n_parallel
        self.info: ModelInfo = native.info
        self._native = native
        self._n_threads = n_threads
        self._mapped = mapped
        self._worker = worker
        self._closed = False
        # One for each thread that has called what runs beside a generation, held
        # meanwhile. Only freeing the model waits for them.
        self._beside: dict[int, threading.RLock] = {}
        self._pid = os.getpid()
        at_exit.open_models[id(self)] = self

    def set_thread_count(self, n_threads: int) -> None:
        """Sets the CPU threads; waits for a running call."""
        n_threads = check_thread_count(n_threads)

        def set_threads() -> None:
            self._native.set_threads(n_threads)
            self._n_threads = n_threads

        self._call(set_threads)

    def thread_count(self) -> int:
        """CPU threads in use."""
        self._check_open()
        return self._n_threads

    def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False, cancel: CancelFlag | None = None
    ) -> list[int]:
        check_text("text", text)
        self._check_open()
        parts = [(text, False)]
        if self.info.wordpiece is not None:
            parts = wordpiece.split_unknown(wordpiece.normalize(text, self.info.wordpiece))
        with self._in_use():
            self._check_open()
            if len(parts) > 1:
                tokens = self._native.tokenize_parts(parts, add_special=add_special, cancel=cancel)
            else:
                # A text of one unknown word needs the mark of one read.
                text, unknown = parts[0] if parts else ("", False)
                parse_special = parse_special or unknown
                tokens = self._native.tokenize(
                    text, add_special=add_special, parse_special=parse_special, cancel=cancel
                )
        return tokens

    def detokenize(self, tokens: Sequence[int]) -> str:
        ids = _token_ids(tokens, self.info.n_vocab)
        self._check_open()
        with self._in_use():
            self._check_open()
            text = self._native.detokenize(ids)
        return text.decode("utf-8", "replace")

    def prompt_tokens(self, prompt: str, *, parse_special: bool = True, cancel: CancelFlag | None = None) -> list[int]:
        """The token ids that ``prompt`` becomes, with the begin token the model wants."""
        tokens = self.tokenize(prompt, add_special=True, parse_special=parse_special, cancel=cancel)
        bos = self.info.token_bos
        if self.info.add_bos and tokens[:2] == [bos, bos]:
            # The prompt brought its own.
            return tokens[1:]
        return tokens or [self.begin_token()]

    def begin_token(self) -> int:
        """What a prompt without any token starts from."""
        begin = self.info.token_bos if self.info.token_bos is not None else self.info.token_eos
        if begin is None:
            raise ValueError("prompt has no tokens, and the model has no token to begin with")
        return begin

    def tokenize_parts(self, parts: Sequence[tuple[str, bool]], cancel: CancelFlag | None = None) -> list[int]:
        """Tokens of a text in parts, each with whether its control tokens count; begins as the model wants."""
        self._check_open()
        with self._in_use():
            self._check_open()
            tokens = self._native.tokenize_parts(parts, cancel=cancel)
        bos = self.info.token_bos
        return tokens[1:] if self.info.add_bos and tokens[:2] == [bos, bos] else tokens

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        template: str | None,
        args: dict[str, Any],
        cancel: CancelFlag | None = None,
    ) -> list[tuple[str, bool]]:
        """A conversation as text in parts, each with whether its control tokens count.

        Raises:
            ChatTemplateError: the template is wrong, or refuses the conversation.
            CancellationError: ``cancel`` was set meanwhile.
        """
        self._check_open()
        with self._in_use():
            self._check_open()
            parts = self._native.render_chat(messages, template, args, cancel=cancel)
        return [(text, not from_message) for text, from_message in parts]

    def prepare_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Mapping[str, Any],
        template: str | None,
        args: dict[str, Any],
        cancel: CancelFlag | None = None,
    ) -> tuple[list[tuple[str, bool]], PreparedChat]:
        """As ``render_chat`` with tools, and how the answer is written and read.

        Args:
            messages: the conversation.
            tools: what the engine is told of them.
            template: ``None`` is the model's own.
            args: further variables of the template.
            cancel: stops it.
        """
        self._check_open()
        with self._in_use():
            self._check_open()
            parts, prepared = self._native.prepare_chat(messages, tools, template, args, cancel=cancel)
        return [(text, not from_message) for text, from_message in parts], prepared

    @property
    def prompt_limit(self) -> int:
        """The most tokens a prompt may have."""
        return self.info.n_ctx - MIN_ANSWER_ROOM

    def generate(
        self,
        tokens: Sequence[int],
        options: GenerationOptions,
        on_token: OnToken,
        cancel: CancelFlag,
        **prompt: Unpack[PromptTraits],
    ) -> Outcome:
        """The native call; only for the ``work`` of ``new_run``."""
        return self._native.generate(tokens, options, on_token, cancel, **prompt)

    def check_options(self, options: GenerationOptions) -> None:
        """Raises what only the model can find wrong with options."""
        for token, _ in options.logit_bias:
            if token >= self.info.n_vocab:
                raise ValueError(
                    f"logit_bias has token {token}, which is outside the vocabulary of {self.info.n_vocab} tokens"
                )
        if options.constraint is None:
            return
        self._check_open()
        with self._in_use():
            self._check_open()
            try:
                self._native.check_grammar(options.constraint.grammar)
            except ValueError as error:
                if options.constraint.argument == "grammar":
                    raise
                raise ValueError(f"{options.constraint.argument}: as a {error}") from None

    def new_run(
        self,
        work: Work,
        callback: ResponseCallback | None,
        finished: Callable[[Outcome], None],
        *,
        streaming: bool,
        on_news: Callable[[], None] | None = None,
        conversation: object = None,
    ) -> Run:
        """A run that ``submit`` puts in the line; ``work`` ends in ``generate``.

        Runs of one conversation are made one after the other.
        """
        cancel = CancelFlag()

        def make_call(output: Output) -> Outcome:
            if self._closed:
                end_thread_if_exiting()
                # While it waited in the line.
                raise CancellationError(CLOSED_MEANWHILE)
            self._begin_computing()
            return work(output, cancel)

        run = Run(make_call, cancel, callback, finished, streaming=streaming, on_news=on_news)
        run.conversation = conversation
        return run

    def submit(self, job: Job) -> None:
        """Puts a job in the line, without waiting. Whoever this interrupts calls the job's ``leave``."""
        self._check_open()
        if self._worker.waits_for_this_thread():
            raise GenerationError(
                "the model is in the middle of a call that waits for this code to return, so it cannot be called "
                "from the callback of that call, nor from a signal handler"
            )
        self._worker.submit(job)

    def embed(
        self, tokens: array[int], lengths: array[int], *, normalize: bool, on_batch: OnBatch | None = None
    ) -> array[float]:
        """A row for each text; ``tokens`` and ``lengths`` as ``NativeModel.embed`` takes them.

        Waits for its place in the line. ``on_batch`` runs on the calling thread.
        """
        self._check_open()
        cancel = CancelFlag()

        def make_call(ask: OnBatch | None) -> array[float]:
            self._begin_computing()
            return self._native.embed(tokens, lengths, normalize=normalize, cancel=cancel, on_batch=ask)

        run = EmbeddingRun(make_call, cancel, on_batch)
        try:
            self.submit(run)
            return run.result()
        finally:
            run.leave()

    def close(self) -> None:
        """Stops a running call, frees the model; closing twice is fine."""
        self._closed = True
        # The engine's threads did not survive a fork, so nothing may touch it there.
        if os.getpid() != self._pid or self._worker.is_over():
            return
        for job in self._worker.under_way():
            job.model_closes()
        freeing = Call(self._free)
        self._worker.submit(freeing)
        # From a callback, or a signal handler or finalizer in the middle of a
        # call, waiting for that call would be waiting for ever.
        if not self._worker.is_current() and not self._is_in_use_here():
            freeing.wait()
            self._worker.join()

    def _free(self) -> None:
        for lock in list(self._beside.values()):
            # Whoever comes later finds the model closed.
            with lock:
                pass
        self._native.close()
        self._worker.end()

    def _in_use(self) -> threading.RLock:
        """To be held, after which ``_check_open`` tells whether the model is still there."""
        return self._beside.setdefault(threading.get_ident(), threading.RLock())

    def _is_in_use_here(self) -> bool:
        return self._in_use()._is_owned()  # type: ignore[attr-defined, no-any-return]

    @property
    def closed(self) -> bool:
        return self._closed

    def last_logits(self) -> Sequence[float]:
        logits: list[Sequence[float]] = []
        self._call(lambda: logits.append(self._native.last_logits()))
        return logits[0]

    def _call(self, function: Callable[[], None]) -> None:
        """Has a short native call made when nothing is before it any more."""

        def make_call() -> None:
            self._begin()
            function()

        job = Call(make_call)
        try:
            self.submit(job)
            job.wait()
        finally:
            job.leave()

    def _begin(self) -> None:
        """What a call does first when it begins."""
        if self._closed:
            end_thread_if_exiting()
            raise ValueError(CLOSED)

    def _begin_computing(self) -> None:
        self._begin()
        if self._mapped is not None:
            self._mapped.check()

    def _check_open(self) -> None:
        if self._closed and self._worker.is_current():
            # In the middle of a call, for which the model stays until it ends.
            raise CancellationError(CLOSED)
        self._begin()
        if os.getpid() != self._pid:
            raise GenerationError(FORKED)

    def check_open(self) -> None:
        """Raises what every call of a closed model does, for what makes no call yet."""
        self._check_open()

    def check_can_generate(self) -> None:
        """Raises what every generation would, whatever the prompt."""
        self._check_open()
        if not self.info.can_generate:
            kind = "an embedding model" if self.info.is_embedding else "not a text-generation model"
            raise UnsupportedModelError(
                f"{Path(self.model_path).name} is {kind} (architecture {self.info.architecture!r}), so it cannot "
                "generate text; use a chat or completion model"
            )

    def check_can_embed(self) -> None:
        """Raises what every embedding would, whatever the text."""
        self._check_open()
        name = Path(self.model_path).name
        if self.info.is_reranker:
            raise UnsupportedModelError(
                f"{name} is a reranker: it scores how well two texts fit, and makes no embeddings; use an embedding "
                "model"
            )
        if not self.info.is_embedding:
            raise UnsupportedModelError(
                f"{name} is a text-generation model (architecture {self.info.architecture!r}) and makes no "
                "embeddings; use an embedding model, or load it with GPT4All to generate text"
            )

    def check_fits(self, n_tokens: int) -> None:
        if n_tokens > self.prompt_limit:
            raise ContextWindowExceededError(n_tokens, self.prompt_limit, self.info.n_ctx)


def _token_ids(tokens: Sequence[int], n_vocab: int) -> list[int]:
    try:
        ids = list(tokens)
    except TypeError:
        raise TypeError(f"ids must be a sequence of integers, not {type(tokens).__name__}") from None
    return [_token_id(token, n_vocab) for token in ids]


def _token_id(token: object, n_vocab: int) -> int:
    if isinstance(token, bool) or not hasattr(token, "__index__"):
        raise TypeError(f"ids must be integers, not {type(token).__name__}")
    number = operator.index(token)
    if not 0 <= number < n_vocab:
        raise ValueError(f"ids holds {number}, which is outside the vocabulary of {n_vocab} tokens")
    return number
