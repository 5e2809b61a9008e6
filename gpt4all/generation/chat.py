"""A conversation as an object of its own, which any thread or task may have."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from gpt4all._native.outcome import Outcome
from gpt4all.chat.history import ChatSession
from gpt4all.chat.messages import Message, Prompt
from gpt4all.checks import check_flag, refuse_unknown
from gpt4all.generation.asynchronous import AsyncGeneration
from gpt4all.generation.streaming import Generation
from gpt4all.options import GenerateArguments

if sys.version_info >= (3, 11):
    from typing import Self, Unpack
else:
    from typing_extensions import Self, Unpack

if TYPE_CHECKING:
    from gpt4all.generation.call import Call
else:
    # With the engine, which importing the package leaves out; hints of the class can be had all the same.
    Call = Any


class Chat:
    """What ``GPT4All.new_chat`` returns: a conversation that belongs to whoever has it, and to no ``with`` block.

    Conversations of one model are answered together where it was loaded with ``n_parallel``; the calls of one
    conversation come one after the other. ``close`` it, or use it in a ``with`` statement, when it is over; its model
    stays.

    Attributes:
        last_generation: how its last call ended, ``None`` before the first.

    Example:
        >>> chat = model.new_chat("You are brief.")
        >>> text = chat.generate("What is the capital of France?", max_tokens=20, temp=0)
        >>> [message["role"] for message in chat.messages]
        ['system', 'user', 'assistant']
    """

    last_generation: Outcome | None

    def __init__(
        self, new_call: Callable[..., Call], on_outcome: Callable[[Outcome], None], session: ChatSession
    ) -> None:
        self._new_call = new_call
        self._on_outcome = on_outcome
        self._session = session
        self._closed = False
        self.last_generation = None

    @property
    def messages(self) -> list[Message]:
        """A copy of the messages so far, the system prompt first. Assign a list to go on from another history."""
        return self._session.conversation.snapshot()

    @messages.setter
    def messages(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self._session.replace(messages)

    @overload
    def generate(
        self, prompt: Prompt, *, streaming: Literal[False] = ..., **arguments: Unpack[GenerateArguments]
    ) -> str: ...

    @overload
    def generate(
        self, prompt: Prompt, *, streaming: Literal[True], **arguments: Unpack[GenerateArguments]
    ) -> Generation: ...

    @overload
    def generate(
        self, prompt: Prompt, *, streaming: bool, **arguments: Unpack[GenerateArguments]
    ) -> str | Generation: ...

    def generate(
        self, prompt: Prompt, *, streaming: bool = False, **arguments: Unpack[GenerateArguments]
    ) -> str | Generation:
        """Answers a message, and adds both to the conversation.

        Args:
            prompt: the user's message, or a list of messages to add.
            streaming: returns an iterator of pieces instead of the whole text.
            **arguments: as for ``GPT4All.generate``.

        Returns:
            The answer, or an iterator over its pieces.

        Raises:
            ValueError, TypeError: an argument makes no sense, or the conversation is closed.
                The rest is as for ``GPT4All.generate``.

        Example:
            >>> with model.new_chat() as chat:
            ...     text = chat.generate("Say hello.", max_tokens=8, temp=0)
        """
        call = self._call(prompt, arguments)
        return Generation(call) if check_flag("streaming", streaming) else call.text()

    def agenerate(self, prompt: Prompt, **arguments: Unpack[GenerateArguments]) -> AsyncGeneration:
        """``generate`` for asyncio: ``await`` it for the whole text, or ``async for`` its pieces.

        Args:
            prompt: the user's message, or a list of messages to add.
            **arguments: as for ``GPT4All.generate``.

        Returns:
            What is awaited or iterated, once.

        Raises:
            ValueError, TypeError: an argument makes no sense, or the conversation is closed.

        Example:
            >>> import asyncio
            >>> async def main():
            ...     with model.new_chat() as chat:
            ...         await chat.agenerate("Say hello.", max_tokens=8, temp=0)
            ...         return len(chat.messages)
            >>> asyncio.run(main())
            3
        """
        return AsyncGeneration(self._call(prompt, arguments))

    def close(self) -> None:
        """Ends the conversation: a later call is a ``ValueError``. Its messages can still be read.

        Example:
            >>> chat = model.new_chat()
            >>> chat.close()
        """
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Chat of {len(self._session.conversation.messages)} messages{', closed' if self._closed else ''}>"

    def _call(self, prompt: Prompt, arguments: Any) -> Call:
        if self._closed:
            raise ValueError("this chat is closed; go on with new_chat(messages=...)")
        refuse_unknown(Chat.generate, arguments, ("prompt", *GenerateArguments.__annotations__))
        return self._new_call(self._session, self._remember, prompt, **arguments)

    def _remember(self, outcome: Outcome) -> None:
        self.last_generation = outcome
        self._on_outcome(outcome)
