"""The part of ``GPT4All`` that has to do with conversations."""

from __future__ import annotations

import io
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from gpt4all.chat.history import ChatSession
from gpt4all.chat.history_copy import HistoryCopy
from gpt4all.chat.messages import Message
from gpt4all.chat.template import split_legacy
from gpt4all.checks import refuse_unknown, unknown_hidden
from gpt4all.notices import warn_deprecated

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

if TYPE_CHECKING:
    from gpt4all.engine.loaded_model import LoadedModel
else:
    # With the engine, which importing the package leaves out; hints of the class can be had all the same.
    LoadedModel = Any


#: The sessions entered in this context, of any model and perhaps left since; the innermost is the last.
_entered: ContextVar[tuple[weakref.ref[ChatContext], ...]] = ContextVar("gpt4all_chat_sessions", default=())


# IOBase for its __exit__, which is C and calls close(), C too: no Ctrl-C can come between the end of the block and that
# of the session. Nor does one leave a session open that is being entered: only the with statement holds it.
class ChatContext(io.IOBase):
    """What ``GPT4All.chat_session`` returns, for one ``with``."""

    def __init__(self, model: ChatMethods, chat: ChatSession) -> None:
        self.model = model
        self.chat = chat
        #: The session of the same model around this one.
        self.outer: ChatContext | None = None

    def __enter__(self) -> Any:
        if self.closed or self in self.model._contexts:
            raise RuntimeError("a chat session can be entered once; call chat_session() again")
        own = self.model._own_contexts()
        self.outer = own[-1] if own else None
        me = weakref.ref(self)
        _entered.set((*(other for other in _entered.get() if _is_open(other)), me))
        self.model._entered_contexts = [*filter(_is_open, self.model._entered_contexts), me]
        return self.model


def _is_open(context: weakref.ref[ChatContext]) -> bool:
    there = context()
    return there is not None and not there.closed


class ChatMethods:
    """Sessions, and what subclasses written for 2.8 override."""

    config: dict[str, Any]
    _loaded: LoadedModel

    def __init__(self) -> None:
        self._entered_contexts: list[weakref.ref[ChatContext]] = []

    @unknown_hidden
    def chat_session(
        self,
        system_prompt: str | None = None,
        prompt_template: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        template_args: Mapping[str, Any] | None = None,
        **unknown: NoReturn,
    ) -> AbstractContextManager[Self]:
        """A conversation: inside, every ``generate`` sends all of it so far and adds a turn.

        It belongs to the context (``contextvars``) that enters it: tasks and
        threads with sessions of their own do not see each other's. Where only
        one is open, all threads see it. Inside another one it comes first
        until it is left.

        Control tokens written in a message are plain text. Plain-text marks
        such as ``[/INST]`` cannot be told from text and do end a message.

        Args:
            system_prompt: what the model is told first; without it the
                catalogue's, or none.
            prompt_template: a Jinja chat template, or one of 2.8's style with
                ``{0}`` for the message and optionally ``{1}`` for the reply.
                Without it the catalogue's, or else the one in the model file.
            messages: a stored conversation to go on with, as
                ``current_chat_session`` gave it.
            template_args: variables for a Jinja template, such as
                ``{"enable_thinking": False}``.

        Returns:
            A context manager, entered once, that gives the model itself.

        Raises:
            ValueError, TypeError: a template or a message makes no sense. A Jinja
                template is read at the first ``generate``, and that raises a
                ``ChatTemplateError``.

        Example:
            >>> with model.chat_session("You are a helpful assistant."):
            ...     answer = model.generate("What is the capital of Italy?", temp=0, max_tokens=16)
            ...     conversation = model.current_chat_session
            >>> [message["role"] for message in conversation]
            ['system', 'user', 'assistant']
            >>> with model.chat_session(messages=conversation):  # later, go on
            ...     answer = model.generate("How many people live there?", max_tokens=16)
        """
        refuse_unknown(ChatMethods.chat_session, unknown)
        chat = self._new_session(system_prompt, prompt_template, messages, template_args)
        return cast("AbstractContextManager[Self]", ChatContext(self, chat))

    def _new_session(
        self,
        system_prompt: str | None,
        prompt_template: str | None,
        messages: Sequence[Mapping[str, Any]] | None,
        template_args: Mapping[str, Any] | None,
    ) -> ChatSession:
        self._loaded.check_open()
        return ChatSession.create(
            self.config, self._loaded.info.chat_template, system_prompt, prompt_template, messages, template_args
        )

    @property
    def current_chat_session(self) -> list[Message] | None:
        """A copy of the history, ``None`` outside a session. Inside one, assign a list of messages to replace it.

        Each message is a dict with ``role`` (``"system"``, ``"user"`` or ``"assistant"``) and ``content``. A change of
        the copy changes nothing here, and warns while the session is open.

        Raises:
            ValueError, TypeError: what is assigned is no list of messages, or there is no session.
        """
        context = self._current_context()
        if context is None:
            return None
        return HistoryCopy(context.chat.conversation.snapshot(), partial(_is_open, weakref.ref(context)))

    @current_chat_session.setter
    def current_chat_session(self, history: Sequence[Mapping[str, Any]]) -> None:
        chat = self._current_chat()
        if chat is None:
            raise ValueError("current_chat_session can only be assigned inside chat_session()")
        chat.replace(history)

    @property
    def _current_prompt_template(self) -> str:
        """The text of the session's template, ``{0}`` outside one, for subclasses written for 2.8."""
        chat = self._current_chat()
        if chat is None:
            return "{0}"
        return chat.template.text or self._loaded.info.chat_template or ""

    def _format_chat_prompt_template(
        self, messages: list[Message], default_prompt_header: str = "", default_prompt_footer: str = ""
    ) -> str:
        """Deprecated; a subclass that overrides it formats each of the user's messages by itself.

        Args:
            messages: those of the user, which the template is put around, and of the assistant; others do not count.
                Sessions give one of the user.
            default_prompt_header: the system prompt with the first message, else empty.
            default_prompt_footer: always empty.
        """
        template = self._current_prompt_template
        before, between, after = split_legacy(template) if "{0}" in template else ("", "", None)
        parts = [f"{default_prompt_header}\n\n" if default_prompt_header else ""]
        for message in messages:
            if message["role"] == "user":
                parts += [before, message["content"], between, after or ""]
            elif message["role"] == "assistant":
                parts += [message["content"], "\n"]
        parts.append(f"\n\n{default_prompt_footer}" if default_prompt_footer else "")
        return "".join(parts)

    @property
    def _contexts(self) -> list[ChatContext]:
        """The open ones, in the order they were entered."""
        contexts = [reference() for reference in self._entered_contexts]
        return [context for context in contexts if context is not None and not context.closed]

    def _own_contexts(self) -> list[ChatContext]:
        """Those that this context has entered, or inherited."""
        open_ones = self._contexts
        return [
            context for reference in _entered.get() if (context := reference()) is not None and context in open_ones
        ]

    def _current_chat(self) -> ChatSession | None:
        context = self._current_context()
        return None if context is None else context.chat

    def _current_context(self) -> ChatContext | None:
        contexts = self._own_contexts()
        if contexts:
            return contexts[-1]
        open_ones = self._contexts
        around = [context.outer for context in open_ones]
        innermost = [context for context in open_ones if context not in around]
        return innermost[0] if len(innermost) == 1 else None

    def _own_format(self) -> Callable[[list[Message], str], str] | None:
        """A subclass's formatting, with the warning it deserves."""
        if type(self)._format_chat_prompt_template is ChatMethods._format_chat_prompt_template:
            return None
        warn_deprecated("_format_chat_prompt_template is deprecated; pass prompt_template= to chat_session()")
        return lambda messages, header: self._format_chat_prompt_template(messages, header)
