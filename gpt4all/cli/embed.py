"""Turns texts into vectors: lines, JSONL or files in; JSONL, NumPy's .npy or CSV out."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gpt4all.checks import check_integer
from gpt4all.cli import inputs
from gpt4all.cli.arguments import add_load_options, fetch, load_arguments, read_text
from gpt4all.cli.failures import DONE, UsageError, say
from gpt4all.cli.inputs import Item

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Texts that are computed, and written, together.
_WINDOW = 256
_NPY_HEADER_BYTES = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``gpt4all.cli``."""
    parser.epilog = (
        'A line of a .jsonl file is a text or {"text": "…"}, with an "id" if you like; of any other file, each line\n'
        "is a text. The end of the output's name tells its format. Started again after a stop, it goes on where it\n"
        "was, as OUTPUT.progress says; that file goes when all is done."
    )
    parser.add_argument("model", metavar="MODEL", help="an embedding model, or - for all-MiniLM-L6-v2")
    parser.add_argument("input", nargs="*", default=["-"], metavar="INPUT", help="files, or - for stdin")
    parser.add_argument("-o", "--output", metavar="OUTPUT", help=".jsonl, .npy or .csv (default: JSONL on stdout)")
    parser.add_argument("--files", action="store_true", help="each INPUT is one text")
    parser.add_argument("--jsonl", action="store_true", help="read JSONL, whatever INPUT is called")
    parser.add_argument("--prefix", metavar="TEXT", help="what the texts are, such as search_query")
    parser.add_argument("--dimensionality", type=int, metavar="N", help="numbers of each vector to keep")
    parser.add_argument("--long-text-mode", choices=("mean", "truncate"), default="mean", help="default: mean")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT instead of going on with it")
    add_load_options(parser)


def run(options: argparse.Namespace) -> int:
    """See ``gpt4all.cli``."""
    from gpt4all import Embed4All
    from gpt4all.embed4all import DEFAULT_EMBEDDING_MODEL

    model = DEFAULT_EMBEDDING_MODEL if options.model == "-" else options.model
    arguments = {
        name: getattr(options, name)
        for name in ("prefix", "dimensionality", "long_text_mode")
        if getattr(options, name) is not None
    }
    if options.dimensionality is not None:
        check_integer("dimensionality", options.dimensionality, 1)
    sink = _sink(options, {"model": model, **arguments})
    items = _items(options)
    sink.skip(items)
    total = _total(options)
    with ExitStack() as stack:
        stack.enter_context(sink)
        first = list(islice(items, 1))
        if not first and sink.rows == 0:
            raise UsageError("there are no texts to embed")
        loading = load_arguments(options)
        if not fetch(model, loading).is_embedding:
            raise UsageError(f"{model} generates text and makes no embeddings; gpt4all embed - takes all-MiniLM-L6-v2")
        embedder = stack.enter_context(Embed4All(model, **loading))
        bar = stack.enter_context(inputs.progress_bar("Embedding", "text", total, sink.rows))
        while window := [*first, *islice(items, _WINDOW - len(first))]:
            first = []
            vectors = embedder.embed([_text(item) for item in window], **arguments)
            sink.add(window, vectors)
            bar.update(len(window))
        sink.finish()
    return DONE


def _items(options: argparse.Namespace) -> Iterator[Item]:
    index = 0
    for name in options.input:
        if options.files:
            yield Item(index, name, read_text(name))
            index += 1
            continue
        as_json = options.jsonl or name.endswith((".jsonl", ".ndjson"))
        for item in inputs.jsonl(name) if as_json else inputs.lines(name):
            yield Item(index, item.id, item.value, item.error)
            index += 1


def _total(options: argparse.Namespace) -> int | None:
    if options.files:
        return len(options.input)
    counts = [inputs.count(name, blank_too=not name.endswith((".jsonl", ".ndjson"))) for name in options.input]
    known = [number for number in counts if number is not None]
    return sum(known) if len(known) == len(counts) else None


def _text(item: Item) -> str:
    if item.error is not None:
        raise UsageError(item.error)
    value = item.value.get("text") if isinstance(item.value, dict) else item.value
    if not isinstance(value, str):
        raise UsageError(f"text {item.index} has no text: write it as a JSON text or under the key text")
    return value


def _sink(options: argparse.Namespace, settings: dict[str, Any]) -> Sink:
    if options.output is None:
        return Sink(None, JsonLines(), settings)
    path = Path(options.output)
    formats: dict[str, Format] = {".jsonl": JsonLines(), ".npy": Npy(), ".csv": Csv()}
    if path.suffix not in formats:
        raise UsageError(f"the name of the output must end in {', '.join(formats)}, not {path.name}")
    sink = Sink(path, formats[path.suffix], settings)
    if options.overwrite:
        sink.remove()
    return sink


def _short(number: float) -> float:
    """With the digits that a 32-bit float has, which is what the engine computes."""
    return float(f"{number:.9g}")


class Format:
    """How vectors are written."""

    def head(self, rows: int, size: int) -> bytes:
        """What stands before the first of ``rows`` vectors of ``size`` numbers; as long whatever ``rows`` is."""
        return b""

    def row(self, item: Item, vector: Sequence[float]) -> bytes:
        raise NotImplementedError


class JsonLines(Format):
    """An object a line."""

    def row(self, item: Item, vector: Sequence[float]) -> bytes:
        name = {} if item.id is None else {"id": item.id}
        return (
            json.dumps(
                {"index": item.index, **name, "embedding": [_short(number) for number in vector]}, ensure_ascii=False
            )
            + "\n"
        ).encode()


class Csv(Format):
    """A line for each vector: its index and its numbers."""

    def head(self, rows: int, size: int) -> bytes:
        return (",".join(["index", *map(str, range(size))]) + "\n").encode()

    def row(self, item: Item, vector: Sequence[float]) -> bytes:
        return (",".join([str(item.index), *(repr(_short(number)) for number in vector)]) + "\n").encode()


class Npy(Format):
    """NumPy's format, version 1.0, an array of 32-bit floats, a row for each vector."""

    def head(self, rows: int, size: int) -> bytes:
        # Of one length, to be written again when there are more rows.
        described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {size}), }}"
        text = described.ljust(_NPY_HEADER_BYTES - 11) + "\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")

    def row(self, item: Item, vector: Sequence[float]) -> bytes:
        numbers = array("f", vector)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()


class Sink:
    """The output, and beside it a file that says how far it is."""

    def __init__(self, path: Path | None, form: Format, settings: dict[str, Any]) -> None:
        self.rows = 0
        self._path = path
        self._form = form
        self._settings = settings
        self._bytes = 0
        self._size = 0
        self._seen = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._progress = None if path is None else path.with_name(f"{path.name}.progress")

    def remove(self) -> None:
        for path in (self._path, self._progress):
            if path is not None:
                path.unlink(missing_ok=True)

    def skip(self, items: Iterator[Item]) -> None:
        """Passes over what was written earlier.

        Raises:
            UsageError: the output is finished, or was made from other texts or in another way.
        """
        if self._path is None or not self._path.exists():
            return
        assert self._progress is not None
        if not self._progress.exists():
            raise UsageError(f"{self._path} is there and finished; --overwrite replaces it")
        state = json.loads(self._progress.read_text(encoding="utf-8"))
        for item in islice(items, state["rows"]):
            self._note(item)
        if state["settings"] != self._settings or state["sha256"] != self._seen.hexdigest():
            raise UsageError(f"{self._path} was begun with other texts or options; --overwrite replaces it")
        self.rows, self._bytes, self._size = state["rows"], state["bytes"], state["size"]
        say(f"going on after {self.rows} texts")

    def __enter__(self) -> Sink:
        if self._path is not None:
            self._file = open(self._path, "r+b" if self._path.exists() else "w+b")
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)
            if self._bytes == 0:
                self._save()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            if self.rows == 0:  # nothing to go on with, and perhaps a mistake
                self.remove()

    def add(self, items: list[Item], vectors: Sequence[Sequence[float]]) -> None:
        """Writes rows, and that they are there."""
        file = self._file or sys.stdout.buffer
        if self.rows == 0:
            self._size = len(vectors[0])
            self._bytes += file.write(self._form.head(0, self._size))
        for item, vector in zip(items, vectors, strict=True):
            self._bytes += file.write(self._form.row(item, vector))
            self._note(item)
        self.rows += len(items)
        file.flush()
        if self._file is not None:
            self._save()

    def finish(self) -> None:
        """All is there."""
        if self._file is not None:
            self._file.seek(0)
            self._file.write(self._form.head(self.rows, self._size))
            self._file.close()
        if self._progress is not None:
            self._progress.unlink(missing_ok=True)

    def _note(self, item: Item) -> None:
        self._seen.update(json.dumps([item.id, item.value]).encode())

    def _save(self) -> None:
        assert self._progress is not None
        state = {"rows": self.rows, "bytes": self._bytes, "size": self._size}
        staged = self._progress.with_name(f"{self._progress.name}.new")
        staged.write_text(json.dumps({**state, "sha256": self._seen.hexdigest(), "settings": self._settings}))
        staged.replace(self._progress)
