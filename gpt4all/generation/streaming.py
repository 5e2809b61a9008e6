"""Generation for a loop: iterated for its pieces."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gpt4all._native.outcome import Outcome

if TYPE_CHECKING:
    from gpt4all.generation.call import Call
else:
    # With the engine, which importing the package leaves out; type hints can be had all the same.
    Call = Any


class Generation(Generator[str, None, None]):
    """What ``generate(..., streaming=True)`` returns: an iterator over the pieces of the answer.

    Nothing runs before the first piece is asked for. Leaving the loop, ``close``, or dropping it stops the engine
    within a token; a session's history then keeps the answer as far as it was seen. Asking for a piece raises what
    ``GPT4All.generate`` does.

    Example:
        >>> stream = model.generate("The capital of France is", max_tokens=2, temp=0, streaming=True)
        >>> "".join(stream)
        ' Paris.'
        >>> stream.outcome.finish_reason, stream.outcome.completion_tokens
        ('length', 2)
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._pieces = call.pieces()

    @property
    def outcome(self) -> Outcome | None:
        """How this generation ended; ``None`` before, and where it ended with an error."""
        return self._call.outcome

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def send(self, value: None) -> str:
        """Gives the next piece, as ``next()`` does: generators have this method.

        Args:
            value: ``None``; there is nobody to receive another one.

        Returns:
            The next piece of the answer.

        Raises:
            StopIteration: the answer is complete.
            TypeError: a value other than ``None`` comes before the first piece.

        Example:
            >>> stream = model.generate("The capital of France is", temp=0, streaming=True)
            >>> stream.send(None)
            ' Paris'
            >>> stream.close()
        """
        return self._pieces.send(value)

    def throw(self, kind: Any, value: BaseException | object = None, traceback: TracebackType | None = None) -> str:
        """Raises an exception where the last piece came from, which stops the engine: generators have this method.

        Args:
            kind: an exception, or its class.
            value: with a class, what it is made with.
            traceback: with a class, where it says that it came from.

        Returns:
            Never: the exception comes back.

        Example:
            >>> stream = model.generate("The capital of France is", temp=0, streaming=True)
            >>> next(stream)
            ' Paris'
            >>> stream.throw(KeyError("enough"))
            Traceback (most recent call last):
            KeyError: 'enough'
        """
        return self._pieces.throw(kind, value, traceback)

    def close(self) -> None:
        """Stops the engine; what has come so far counts as the answer.

        Example:
            >>> stream = model.generate("The capital of France is", temp=0, streaming=True)
            >>> next(stream)
            ' Paris'
            >>> stream.close()
            >>> list(stream)
            []
        """
        self._pieces.close()
