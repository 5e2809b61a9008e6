"""The ``Embed4All`` class: texts into vectors."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict, overload

from gpt4all import gguf
from gpt4all.checks import check_callback, check_flag, check_integer, check_text, refuse_unknown, unknown_hidden
from gpt4all.embeddings import known_models
from gpt4all.embeddings.texts import Reader, Window, as_texts, windows
from gpt4all.embeddings.vectors import (
    Embeddings,
    FloatArray,
    NumpyEmbeddings,
    ProgressBar,
    SingleEmbedding,
    collector,
    text_vectors,
)
from gpt4all.errors import CancellationError, GPT4AllError
from gpt4all.gpt4all import GPT4All
from gpt4all.notices import warn_caller

if sys.version_info >= (3, 11):
    from typing import Self, Unpack
else:
    from typing_extensions import Self, Unpack

if TYPE_CHECKING:
    from gpt4all._native.backend import OnBatch

DEFAULT_EMBEDDING_MODEL = "all-MiniLM-L6-v2.gguf2.f16.gguf"

#: Called with the token counts of the batches still to do and the backend's name; a true result cancels.
CancelCallback = Callable[[list[int], str], object]


class EmbedArguments(TypedDict, total=False):
    """Keyword arguments of ``Embed4All.embed`` that do not change its return type."""

    prefix: str | None
    dimensionality: int | None
    long_text_mode: str
    atlas: bool
    cancel_cb: CancelCallback | None
    progress: bool


class Embed4All:
    """An embedding model loaded from a GGUF file.

    One object may be used from several threads. ``close`` frees the model, as does
    the end of a ``with`` block.

    Args:
        model_name: as for ``GPT4All``; all-MiniLM-L6-v2 without it.
        n_threads: CPU threads; ``None`` takes the physical cores this process may use.
        device: as for ``GPT4All``.
        **kwargs: more arguments of ``GPT4All``. ``n_ctx`` bounds the
            tokens of a chunk, as the model's trained length does.

    Attributes:
        MIN_DIMENSIONALITY: fewer numbers than this in a vector get a warning.
        gpt4all: the ``GPT4All`` underneath.

    Raises:
        UnsupportedModelError: the model generates text, or ranks pairs of texts.
        FileNotFoundError, ModelLoadError, BackendLoadError, DeviceError: as from ``GPT4All``.
        ValueError, TypeError: an argument makes no sense; the message names it.

    Example:
        >>> from gpt4all import Embed4All
        >>> with Embed4All() as embedder:
        ...     question = embedder.embed("Who looks after the kittens?")
        ...     texts = embedder.embed(["The cat has had young.", "Shares fell on Monday."])
        >>> len(question)
        384
        >>> scores = [sum(a * b for a, b in zip(question, text)) for text in texts]  # of cosine similarity
        >>> scores[0] > scores[1]
        True
    """

    MIN_DIMENSIONALITY = known_models.MIN_DIMENSIONALITY

    def __init__(
        self,
        model_name: str | os.PathLike[str] | None = None,
        *,
        n_threads: int | None = None,
        device: str | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(Embed4All.__init__, kwargs, list(inspect.signature(GPT4All).parameters))
        if model_name is None:
            model_name = DEFAULT_EMBEDDING_MODEL
        self.gpt4all = GPT4All(model_name, n_threads=n_threads, device=device, **kwargs)
        info = self.gpt4all._loaded.info
        try:
            self.gpt4all._loaded.check_can_embed()
        except BaseException:
            self.gpt4all.close()
            raise
        self._known = known_models.find(info.name, info.basename) or _by_header(self.gpt4all.model.model_path)
        self._name = info.name or Path(self.gpt4all.model.model_path).name
        self._readers: dict[str, Reader] = {}

    @property
    def is_known(self) -> bool:
        """Whether this package knows the model's prefixes; of another one ``embed`` must be given one."""
        return self._known is not None

    def __repr__(self) -> str:
        return f"Embed4All({self._name!r}, gpt4all={self.gpt4all!r})"

    def __enter__(self) -> Self:
        self.gpt4all._loaded.check_open()
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
            >>> embedder = Embed4All()
            >>> embedder.close()
        """
        self.gpt4all.close()

    @overload
    def embed(  # type: ignore[overload-overlap]  # a str is made of str, but is one text
        self,
        text: str,
        *,
        return_dict: Literal[False] = ...,
        output: Literal["list"] = ...,
        **arguments: Unpack[EmbedArguments],
    ) -> list[float]: ...

    @overload
    def embed(
        self,
        text: Iterable[str],
        *,
        return_dict: Literal[False] = ...,
        output: Literal["list"] = ...,
        **arguments: Unpack[EmbedArguments],
    ) -> list[list[float]]: ...

    @overload
    def embed(  # type: ignore[overload-overlap]  # a str is made of str, but is one text
        self,
        text: str,
        *,
        return_dict: Literal[True],
        output: Literal["list"] = ...,
        **arguments: Unpack[EmbedArguments],
    ) -> SingleEmbedding: ...

    @overload
    def embed(
        self,
        text: Iterable[str],
        *,
        return_dict: Literal[True],
        output: Literal["list"] = ...,
        **arguments: Unpack[EmbedArguments],
    ) -> Embeddings: ...

    @overload
    def embed(
        self,
        text: str | Iterable[str],
        *,
        return_dict: Literal[False] = ...,
        output: Literal["numpy"],
        **arguments: Unpack[EmbedArguments],
    ) -> FloatArray: ...

    @overload
    def embed(
        self,
        text: str | Iterable[str],
        *,
        return_dict: Literal[True],
        output: Literal["numpy"],
        **arguments: Unpack[EmbedArguments],
    ) -> NumpyEmbeddings: ...

    @overload
    def embed(
        self, text: str | Iterable[str], *, return_dict: bool, output: str = ..., **arguments: Unpack[EmbedArguments]
    ) -> Any: ...

    @unknown_hidden
    def embed(
        self,
        text: str | Iterable[str],
        *,
        prefix: str | None = None,
        dimensionality: int | None = None,
        long_text_mode: str = "mean",
        return_dict: bool = False,
        atlas: bool = False,
        cancel_cb: CancelCallback | None = None,
        output: str = "list",
        progress: bool = False,
        **unknown: NoReturn,
    ) -> Any:
        """Turns texts into vectors of length 1.

        Args:
            text: one text, or any number of them: a list, or a generator, which
                is read as the work goes on. An empty text has a vector in those.
            prefix: what the model is told the text is, such as ``"search_query"``;
                it goes in front of every text with a colon. ``None`` is the
                model's default. A model that is not known here takes any text,
                and must be given one, ``""`` for none.
            dimensionality: numbers to keep of each vector; fewer than all only
                for models trained for that (nomic-embed-text-v1.5).
            long_text_mode: a text longer than the model takes is averaged over
                chunks that overlap by 8 tokens (``"mean"``), or cut (``"truncate"``).
            return_dict: returns a dict of ``embeddings`` and ``n_prompt_tokens``,
                the tokens of the texts as computed: overlaps each time, prefix
                and special tokens not.
            atlas: does as Nomic's Atlas: a text of more than 8192 tokens is an
                error, or is cut there with ``"truncate"``.
            cancel_cb: called before every native batch with the token counts of
                the batches still to do, of the up to 4096 texts that are
                tokenised ahead, and the backend's name; a true result stops.
            output: ``"list"`` for floats, or ``"numpy"`` for an array of 32-bit
                floats, a row for each text.
            progress: shows a bar of the texts done on stderr.

        Returns:
            A vector for a ``str``, otherwise one for each text, in their order; with
            ``return_dict`` the dict with that.

        Raises:
            CancellationError: ``cancel_cb`` asked for it, or the model was closed meanwhile.
            EmbeddingInputError: the model does not take that prefix, size or length.
            EmbeddingError: the engine failed.
            ValueError, TypeError: an argument makes no sense; the message names it.

        Example:
            >>> [len(vector) for vector in embedder.embed(["The sky is blue.", "Grass is green."])]
            [384, 384]
            >>> result = embedder.embed("The sky is blue.", return_dict=True)
            >>> result["n_prompt_tokens"]
            5
            >>> embedder.embed(["The sky is blue.", "Grass is green."], output="numpy").shape
            (2, 384)
        """
        refuse_unknown(Embed4All.embed, unknown)
        self.gpt4all._loaded.check_can_embed()
        prefix = self._choose_prefix(prefix)
        size = self._choose_size(dimensionality)
        truncate = _choice("long_text_mode", long_text_mode, ("mean", "truncate")) == "truncate"
        atlas = check_flag("atlas", atlas)
        progress = check_flag("progress", progress)
        return_dict = check_flag("return_dict", return_dict)
        if cancel_cb is not None:
            check_callback("cancel_cb", cancel_cb)
        texts = as_texts(text)
        collected = collector(_choice("output", output, ("list", "numpy")), size or self._full_size)
        n_prompt_tokens = 0
        try:
            with ProgressBar(texts, progress) as bar:
                for window in windows(self._reader(prefix), texts, truncate=truncate, atlas=atlas):
                    bar.begin(window)
                    for vector in self._compute(window, size, self._on_batch(cancel_cb, bar)):
                        collected.add(vector)
                    bar.end()
                    n_prompt_tokens += window.n_text_tokens
        except (CancellationError, ValueError) as error:
            # Stopped by that, or found closed between two windows.
            if self.gpt4all._loaded.closed:
                raise CancellationError("the model was closed while it computed embeddings") from error
            raise
        embeddings = collected.result(single=isinstance(text, str))
        return {"embeddings": embeddings, "n_prompt_tokens": n_prompt_tokens} if return_dict else embeddings

    @property
    def _full_size(self) -> int:
        return self.gpt4all._loaded.info.n_embd_out

    def _choose_prefix(self, prefix: str | None) -> str:
        if prefix is not None:
            check_text("prefix", prefix)
        return known_models.choose_prefix(self._known, self._name, prefix)

    def _choose_size(self, dimensionality: int | None) -> int | None:
        """Numbers to cut vectors to, ``None`` for whole ones."""
        if dimensionality is None:
            return None
        wanted = check_integer("dimensionality", dimensionality, 1)
        known_models.check_dimensionality(self._known, self._name, wanted, self._full_size)
        if wanted == self._full_size:
            return None
        if wanted < self.MIN_DIMENSIONALITY:
            warn_caller(
                f"dimensionality {wanted} is less than {self.MIN_DIMENSIONALITY}, below which vectors tell little"
            )
        return wanted

    def _on_batch(self, cancel_cb: CancelCallback | None, bar: ProgressBar) -> OnBatch | None:
        if cancel_cb is None and not bar.shown:
            return None
        backend = self.gpt4all.backend

        def on_batch(sizes: list[int]) -> bool:
            bar.show_rest(sum(sizes))
            return cancel_cb is None or not cancel_cb(sizes, backend)

        return on_batch

    def _reader(self, prefix: str) -> Reader:
        if prefix not in self._readers:
            # One at a time is what programs use, or a few: nothing that could grow for ever.
            if len(self._readers) > 16:
                self._readers.clear()
            self._readers[prefix] = Reader(self.gpt4all._loaded, prefix)
        return self._readers[prefix]

    def _compute(self, window: Window, size: int | None, on_batch: OnBatch | None) -> Iterator[Sequence[float]]:
        """A vector for each text of the window."""
        rows = self.gpt4all._loaded.embed(window.tokens, window.lengths, normalize=size is None, on_batch=on_batch)
        # Apart: out of a generator, a callback's StopIteration would come as another error.
        return text_vectors(rows, window, self._full_size, size)


def _by_header(path: str | os.PathLike[str]) -> known_models.EmbeddingModel | None:
    """Asks the whole header: the engine tells only the name."""
    try:
        return known_models.find_by_metadata(gguf.read_header(path).metadata)
    except (GPT4AllError, OSError):  # moved away meanwhile: the model itself is loaded
        return None


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")
    return value
