"""A history and a new message as the tokens of a prompt that fits the context."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt4all._native.backend import CancelFlag
from gpt4all._native.chat import PreparedChat
from gpt4all.chat.history import ChatSession, Formatted, split_system
from gpt4all.chat.messages import Message, size_of, text_of
from gpt4all.chat.template import split_legacy
from gpt4all.engine.loaded_model import LoadedModel
from gpt4all.errors import CancellationError, ContextWindowExceededError

#: Text, and whether control tokens written in it are read as such.
Part = tuple[str, bool]

#: Once turns must be left out, so many are that the rest fills only this much
#: of the context: leaving out one a time would shift, and so compute again,
#: everything after it on every later turn.
REFILL = 0.75


@dataclass(frozen=True)
class ChatPrompt:
    """A prompt that fits.

    Attributes:
        tokens: to continue.
        n_keep: how many of the first must survive a full context.
        ending: the prompt's last text.
        left_out: messages after the system prompt that it does not hold.
        prepared: how an answer that may call tools is written and read.
    """

    tokens: list[int]
    n_keep: int
    ending: str
    left_out: int
    prepared: PreparedChat | None = None


class PromptBuilder:
    """Turns a history and a new message into a prompt that fits the context.

    ``tools`` is what the engine is told of those that may be called.
    """

    def __init__(
        self,
        model: LoadedModel,
        chat: ChatSession,
        cancel: CancelFlag | None = None,
        tools: Mapping[str, Any] | None = None,
    ) -> None:
        self._model = model
        self._chat = chat
        self._conversation = chat.conversation
        self._cancel = cancel
        self._tools = tools
        self._prepared: PreparedChat | None = None
        self._formatted: Formatted = {}

    def build(self, added: list[Message], formatted: Formatted | None = None, *, whole: bool = False) -> ChatPrompt:
        """Leaves out the oldest whole turns where the conversation is too long.

        Args:
            added: what comes after the history: a message, or a turn as far as it got.
            formatted: what a subclass has formatted by itself.
            whole: leaves nothing out.

        Raises:
            ContextWindowExceededError: system prompt and the last turn alone don't fit; with ``whole``, all of it.
            CancellationError: the flag was set meanwhile.
        """
        self._formatted = formatted or {}
        system, rest = split_system(self._conversation.snapshot())
        rest += added
        limit = self._model.prompt_limit
        begin = min(self._conversation.left_out, len(rest) - 1)
        starts = [0] if whole else [begin, *(start for start in turn_starts(rest) if start > begin)]
        texts: dict[int, tuple[list[int], str, PreparedChat | None]] = {}

        def size(index: int) -> int:
            if index not in texts:
                tokens, ending = self._tokens(system, rest[starts[index] :], starts[index])
                texts[index] = tokens, ending, self._prepared
            return len(texts[index][0])

        index = first_that_fits(_bytes_from(rest, starts), size, limit)
        tokens, ending, prepared = texts[index]
        if len(tokens) > limit:
            raise ContextWindowExceededError(len(tokens), limit, self._model.info.n_ctx, longest_result(rest, added))
        keep = self._keep(system, tokens)
        return ChatPrompt(tokens or [self._model.begin_token()], keep, ending, starts[index], prepared)

    def _tokens(self, system: list[Message], messages: list[Message], offset: int) -> tuple[list[int], str]:
        """The tokens of a conversation, and its last text."""
        if self._cancel is not None and self._cancel.is_set():
            raise CancellationError("the call was stopped while its prompt was made")
        parts = self._parts(system, messages, offset)
        return self._model.tokenize_parts(parts, self._cancel), parts[-1][0] if parts else ""

    def _keep(self, system: list[Message], tokens: list[int]) -> int:
        """Tokens of the begin mark and the system prompt: what another first message would share."""
        probe, _ = self._tokens(system, [{"role": "user", "content": "\x1a"}], 0)
        shared = 0
        for ours, theirs in zip(probe, tokens, strict=False):
            if ours != theirs:
                break
            shared += 1
        # A system prompt that fills the context leaves no room to slide in.
        return min(shared, self._model.info.n_ctx // 2)

    def _parts(self, system: list[Message], messages: list[Message], offset: int) -> list[Part]:
        template = self._chat.template
        if template.legacy:
            header = "\n\n".join(filter(None, map(text_of, system)))
            return legacy_parts(template.text or "", header, messages, self._formatted_from(offset))
        conversation = [message for message in system if text_of(message)] + messages
        if self._tools is not None:
            parts, self._prepared = self._model.prepare_chat(
                conversation, self._tools, template.text, self._chat.template_args, self._cancel
            )
            return parts
        return self._model.render_chat(conversation, template.text, self._chat.template_args, self._cancel)

    def _formatted_from(self, offset: int) -> dict[int, str]:
        return {index - offset: text for index, (_, text) in self._formatted.items() if index >= offset}


def first_that_fits(lengths: Sequence[int], size: Callable[[int], int], limit: int) -> int:
    """Where to begin a conversation of which each beginning gives a shorter one than the one before it.

    That is the first beginning if ``limit`` tokens hold what follows. If not, the
    first one with which a part of the context, ``REFILL``, stays free; else the last.

    Args:
        lengths: bytes of the messages from each beginning on.
        size: tokens of the prompt from a beginning on; costly, so it is asked
            about few beginnings, and about none that gives a prompt much longer
            than one it has to be asked about.
    """
    last = len(lengths) - 1
    # Texts have about four bytes a token: what has fewer than twice as many may well fit, and is a good place to begin.
    at = next((index for index in range(last) if lengths[index] <= 8 * limit), last)
    fits = size(at) <= limit
    while fits and at > 0:
        # Twice as many turns each time.
        at = max(0, at - (last - at + 1))
        fits = size(at) <= limit
    if fits:
        return 0
    too_long, enough = at, last
    while enough - too_long > 1:
        middle = (too_long + enough) // 2
        if size(middle) <= int(limit * REFILL):
            enough = middle
        else:
            too_long = middle
    size(enough)
    return enough


def _bytes_from(messages: list[Message], starts: list[int]) -> list[int]:
    sums = list(itertools.accumulate(map(size_of, reversed(messages))))
    return [sums[len(messages) - 1 - start] for start in starts]


def longest_result(messages: list[Message], added: list[Message]) -> str | None:
    """The tool whose result is the longest of what was ``added`` to ``messages``; ``None`` where another text is."""
    longest = max(added, key=size_of, default=None)
    if longest is None or longest["role"] != "tool":
        return None
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    # Messages of the caller's own may have neither.
    names = [call["function"]["name"] for call in calls if call.get("id") == longest.get("tool_call_id")]
    return longest.get("name") or (names[-1] if names else None)


def without_long_results(added: list[Message]) -> list[Message]:
    """The same with a note in place of the longest result, and of others that are about as long."""
    longest = max(size_of(message) for message in added if message["role"] == "tool")
    note = "Error: the result was too long for the context: {} characters."
    return [
        {**message, "content": note.format(len(text_of(message)))}
        if message["role"] == "tool" and 2 * size_of(message) >= longest
        else message
        for message in added
    ]


def turn_starts(messages: list[Message]) -> list[int]:
    """Indices at which a turn begins: those of the user's messages."""
    return [index for index, message in enumerate(messages) if message["role"] == "user"]


def legacy_parts(template: str, system: str, messages: list[Message], formatted: Mapping[int, str]) -> list[Part]:
    """The prompt of a ``{0}`` template: control tokens count in the template and the system text only.

    ``formatted`` holds, by index, user messages that a subclass has formatted by itself.
    """
    before, between, after = split_legacy(template)
    after = "\n\n" if after is None else after
    parts: list[Part] = [(system, True)] if system else []
    replied = True
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            parts += [(text_of(message), False), (after, True)]
            replied = True
            continue
        if not replied:
            # A message that was never answered.
            parts.append((after, True))
        if index in formatted:
            parts.append((formatted[index], False))
        else:
            parts += [(before, True), (text_of(message), False), (between, True)]
        replied = False
    return [part for part in parts if part[0]]
