"""The part of :class:`gpt4all.GPT4All` that has to do with conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpt4all.chat import DEFAULT_PROMPT_TEMPLATE, ChatSession, Message
from gpt4all.conversation import ChatTurn, PromptTurn
from gpt4all.deprecation import warn_deprecated

if TYPE_CHECKING:
    from typing_extensions import Self

    from gpt4all.options import GenerationOptions, ReasoningCallback
    from gpt4all.session import ModelSession


class ChatMethods:
    """Sessions, and what subclasses written for 2.8 override."""

    config: dict[str, Any]
    model: ModelSession

    def __init__(self) -> None:
        #: The innermost session is the last one. All threads of a model see it.
        self._chats: list[ChatSession] = []

    @contextmanager
    def chat_session(
        self,
        system_prompt: str | None = None,
        prompt_template: str | None = None,
        *,
        messages: Sequence[Mapping[str, str]] | None = None,
        template_args: Mapping[str, Any] | None = None,
    ) -> Iterator[Self]:
        """A conversation: inside, every :meth:`generate` sends all of it so far and adds a turn.

        Args:
            system_prompt: what the model is told first; without it the
                catalogue's, or none.
            prompt_template: a Jinja chat template, or one of 2.8's style with
                ``{0}`` for the message and optionally ``{1}`` for the reply.
                Without it the catalogue's, or else the one in the model file.
            messages: a stored conversation to go on with, as
                :attr:`current_chat_session` gave it.
            template_args: variables for a Jinja template, such as
                ``{"enable_thinking": False}``.

        Control tokens written in a message are plain text. Plain-text marks
        such as ``[/INST]`` cannot be told from text and do end a message.

        Raises:
            ValueError, TypeError: a template or a message makes no sense.
        """
        self.model.check_open()
        chat = ChatSession.create(
            self.config, self.model.info.chat_template, system_prompt, prompt_template, messages, template_args
        )
        self._chats.append(chat)
        try:
            yield self
        finally:
            # By identity: another thread may have opened one since.
            self._chats[:] = [other for other in self._chats if other is not chat]

    @property
    def current_chat_session(self) -> list[Message] | None:
        """A copy of the history, ``None`` outside a session. Inside one, assign a list of messages to replace it."""
        chat = self._current_chat()
        return None if chat is None else chat.snapshot()

    @current_chat_session.setter
    def current_chat_session(self, history: Sequence[Mapping[str, str]]) -> None:
        chat = self._current_chat()
        if chat is None:
            raise ValueError("current_chat_session can only be assigned inside chat_session()")
        chat.replace(history)

    @property
    def _current_prompt_template(self) -> str:
        """The text of the session's template, for subclasses written for 2.8."""
        chat = self._current_chat()
        if chat is None:
            return DEFAULT_PROMPT_TEMPLATE
        return chat.template.text or self.model.info.chat_template or DEFAULT_PROMPT_TEMPLATE

    def _format_chat_prompt_template(
        self, messages: list[Message], default_prompt_header: str = "", default_prompt_footer: str = ""
    ) -> str:
        """Deprecated; a subclass that overrides it formats each of the user's messages by itself.

        Args:
            messages: one message of the user.
            default_prompt_header: the system prompt with the first message, else empty.
            default_prompt_footer: always empty.
        """
        header = f"{default_prompt_header}\n\n" if default_prompt_header else ""
        footer = f"\n\n{default_prompt_footer}" if default_prompt_footer else ""
        template = self._current_prompt_template
        bodies = []
        for message in messages:
            text = message["content"]
            if message["role"] == "user" and "{0}" in template:
                text = template.format(text, "")
            bodies.append(f"{text}\n")
        return header + "".join(bodies) + footer

    def _current_chat(self) -> ChatSession | None:
        chats = self._chats
        return chats[-1] if chats else None

    def _turn(
        self,
        chat: ChatSession | None,
        prompt: str,
        options: GenerationOptions,
        parse_special: bool,
        reasoning_callback: ReasoningCallback | None,
    ) -> ChatTurn | PromptTurn:
        if chat is None:
            return PromptTurn(self.model, prompt, options, parse_special)
        return ChatTurn(self.model, chat, prompt, options, reasoning_callback, self._own_format())

    def _own_format(self) -> Callable[[list[Message], str], str] | None:
        """A subclass's formatting, with the warning it deserves."""
        if type(self)._format_chat_prompt_template is ChatMethods._format_chat_prompt_template:
            return None
        warn_deprecated("_format_chat_prompt_template is deprecated; pass prompt_template= to chat_session()")
        return lambda messages, header: self._format_chat_prompt_template(messages, header)
