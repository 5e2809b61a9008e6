"""Embedding and generating over whole corpora, in the processes of an engine that scales.

Ray Data, Spark and ``datasets`` hand their workers batches of columns. A job here takes
such a batch and gives it back with a column more. It can be pickled, and a process loads
the model at its first batch, once for all jobs that want it the same way.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gpt4all.checks import check_flag, check_text
from gpt4all.embed4all import Embed4All
from gpt4all.gpt4all import GPT4All
from gpt4all.options import check_thread_count

if TYPE_CHECKING:
    from gpt4all.generation.many import Completion

_Model = TypeVar("_Model", GPT4All, Embed4All)

# By process: a model does not outlive a fork.
_loaded: dict[tuple[int, bytes], Any] = {}
_lock = Lock()


class _Job(Generic[_Model]):
    def __init__(
        self,
        load: Callable[..., _Model],
        model_name: str | os.PathLike[str] | None,
        columns: tuple[str, str],
        n_threads: int | None,
        load_options: Mapping[str, Any],
        arguments: dict[str, Any],
        without: tuple[str, ...],
    ) -> None:
        self._column, self._output = columns
        check_text("column", self._column)
        check_text("output", self._output)
        if n_threads is not None:
            check_thread_count(n_threads)
        self._load: Callable[..., _Model] = load
        self._model_name = model_name
        self._n_threads = n_threads
        self._load_options = dict(load_options)
        for name in without:
            if name in arguments:
                raise TypeError(f"{type(self).__name__} decides {name} itself; leave it out")
        self._arguments = arguments

    def close(self) -> None:
        """Frees the model in this process, where it is loaded; another batch loads it again.

        Example:
            >>> embed = EmbedTexts()
            >>> embed.close()
        """
        with _lock:
            model = _loaded.pop(self._key(), None)
        if model is not None:
            model.close()

    def _model(self) -> _Model:
        key = self._key()
        with _lock:
            if key not in _loaded:
                n_threads = self._n_threads or assigned_threads()
                _loaded[key] = self._load(self._model_name, n_threads=n_threads, **self._load_options)
            model: _Model = _loaded[key]
            return model

    def _key(self) -> tuple[int, bytes]:
        # Pickled, as options may be lists; by name, as what is equal may not be one object in another process.
        wanted = (self._load.__name__, self._model_name, self._n_threads, sorted(self._load_options.items()))
        return os.getpid(), pickle.dumps(wanted)

    def _texts(self, batch: Mapping[str, Any]) -> list[str]:
        if not hasattr(batch, "keys"):
            raise TypeError(f"batch must have columns by name, as a dict or a data frame, not {type(batch).__name__}")
        try:
            column = batch[self._column]
        except KeyError:
            raise KeyError(f"the batch has no column {self._column!r}, but {', '.join(map(str, batch))}") from None
        # Arrays and series have the method, and with it plain strings instead of their own.
        rows = column.tolist() if hasattr(column, "tolist") else column
        # A row and no batch, as datasets.map hands out without batched=True, and Ray's map: its letters would be texts.
        if isinstance(rows, str) or not isinstance(rows, Iterable):
            raise TypeError(
                f"column {self._column!r} must have a text for each row, not be one {type(rows).__name__}: "
                "a job takes batches (map_batches of Ray Data, batched=True of datasets)"
            )
        texts: list[str] = list(rows)
        for row, text in enumerate(texts):
            check_text(f"row {row} of column {self._column!r}", text)
        return texts


class EmbedTexts(_Job[Embed4All]):
    """Gives each text of a column a vector.

    Args:
        model_name: as for ``Embed4All``.
        column: the name of the column of texts.
        output: the name of the column of vectors.
        n_threads: CPU threads in each process; ``None`` takes what the engine assigns to a worker.
        load: more keyword arguments of ``Embed4All``, as a dict.
        **arguments: keyword arguments of ``Embed4All.embed``: ``prefix``, ``dimensionality``, ``long_text_mode``.

    Raises:
        ValueError, TypeError: an argument makes no sense; those for the model are checked with the first batch.

    Example:
        >>> from gpt4all.corpora import EmbedTexts
        >>> embed = EmbedTexts()
        >>> embed({"id": [1, 2], "text": ["The sky is blue.", "Grass is green."]})["embedding"].shape
        (2, 384)
    """

    def __init__(
        self,
        model_name: str | os.PathLike[str] | None = None,
        *,
        column: str = "text",
        output: str = "embedding",
        n_threads: int | None = None,
        load: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        without = ("text", "return_dict", "atlas")
        super().__init__(Embed4All, model_name, (column, output), n_threads, load or {}, arguments, without)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the batch and the vectors.

        Args:
            batch: columns by name, arrays or lists of as many rows each; a data frame is one too.

        Returns:
            The same columns, and the vectors as an array of 32-bit floats of shape (rows, size).

        Raises:
            KeyError: the batch has no such column.
            TypeError: a row is no text; the message names it.
            EmbeddingInputError, EmbeddingError: as from ``Embed4All.embed``.
            FileNotFoundError, ModelLoadError, BackendLoadError, DeviceError: as from ``Embed4All``.

        Example:
            >>> sorted(EmbedTexts()({"id": [1], "text": ["The sky is blue."]}))
            ['embedding', 'id', 'text']
        """
        texts = self._texts(batch)
        return {**batch, self._output: self._model().embed(texts, output="numpy", **self._arguments)}


class GenerateTexts(_Job[GPT4All]):
    """Answers each text of a column.

    Besides the answers there are two columns more: ``<output>_finish_reason``, and
    ``<output>_error``, ``None`` where there was none: one prompt that is too long loses no others.

    Args:
        model_name: as for ``GPT4All``.
        column: the name of the column of prompts.
        output: the name of the column of answers.
        system_prompt: of every conversation; ``None`` for none.
        chat: whether a prompt is a user's message, answered with the model's chat template; ``False`` continues it.
        n_threads: CPU threads in each process; ``None`` takes what the engine assigns to a worker.
        load: more keyword arguments of ``GPT4All``, as a dict; ``n_parallel`` is ``"auto"`` without it.
        **arguments: keyword arguments of ``GPT4All.generate_many``, such as ``max_tokens``, ``temp``, ``seed``
            and ``json_schema``.

    Raises:
        ValueError, TypeError: an argument makes no sense; those for the model are checked with the first batch.

    Example:
        >>> from gpt4all.corpora import GenerateTexts
        >>> answer = GenerateTexts("SmolLM2-135M-Instruct.Q4_1.gguf", chat=False, max_tokens=2, temp=0)
        >>> answer({"prompt": ["The opposite of hot is"]})["answer"].tolist()
        [' cold.']
    """

    def __init__(
        self,
        model_name: str | os.PathLike[str],
        *,
        column: str = "prompt",
        output: str = "answer",
        system_prompt: str | None = None,
        chat: bool = True,
        n_threads: int | None = None,
        load: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        options = {"n_parallel": "auto", **(load or {})}
        without = ("prompts", "as_completed")
        super().__init__(GPT4All, model_name, (column, output), n_threads, options, arguments, without)
        self._chat = check_flag("chat", chat)
        if system_prompt is not None:
            check_text("system_prompt", system_prompt)
            if not chat:
                raise ValueError("system_prompt needs chat=True: a text that is continued has none")
        self._system = [{"role": "system", "content": system_prompt}] if system_prompt else []

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the batch and the answers.

        Args:
            batch: columns by name, arrays or lists of as many rows each; a data frame is one too.

        Returns:
            The same columns and three more, as arrays of objects: answers, why each ended (``"stop"`` or
            ``"length"``, ``None`` where it failed), and what went wrong as text.

        Raises:
            KeyError: the batch has no such column.
            TypeError: a row is no text; the message names it.
            FileNotFoundError, ModelLoadError, BackendLoadError, DeviceError: as from ``GPT4All``.

        Example:
            >>> answer = GenerateTexts("SmolLM2-135M-Instruct.Q4_1.gguf", max_tokens=5, temp=0)
            >>> answer({"prompt": ["What is the capital of France?"]})["answer_finish_reason"].tolist()
            ['length']
        """
        prompts: Iterable[Any] = self._texts(batch)
        if self._chat:
            prompts = [[*self._system, {"role": "user", "content": text}] for text in prompts]
        completions = self._model().generate_many(prompts, **self._arguments)
        return {
            **batch,
            self._output: _column(completion.text for completion in completions),
            f"{self._output}_finish_reason": _column(map(_finish_reason, completions)),
            f"{self._output}_error": _column(map(_error, completions)),
        }


def assigned_threads() -> int | None:
    """Threads that the engine lets this worker have; ``None`` where nothing says so."""
    # Ray and Spark set it for each worker, to the CPUs of an actor or a task.
    assigned = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if assigned.isdigit() and int(assigned) > 0:
        return int(assigned)
    # One of the processes of a pool, as those of datasets.map(num_proc=...): nobody knows how many there are.
    for name in ("multiprocessing", "multiprocess"):
        process = sys.modules.get(f"{name}.process")
        if process is not None and process.parent_process() is not None:
            return 1
    return None


def _finish_reason(completion: Completion) -> str | None:
    return None if completion.outcome is None else completion.outcome.finish_reason


def _error(completion: Completion) -> str | None:
    return None if completion.error is None else f"{type(completion.error).__name__}: {completion.error}"


def _column(values: Iterable[object]) -> Any:
    import numpy as np

    rows = list(values)
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return column


def _forget_lock() -> None:
    # Another thread may have held it when this process was forked.
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
