"""Chat history, template choice, and the prompt a conversation becomes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any

from gpt4all.checks import check_text
from gpt4all.errors import CancellationError, ContextWindowExceededError
from gpt4all.notices import warn_deprecated

if TYPE_CHECKING:
    from gpt4all._native.backend import CancelFlag
    from gpt4all.engine.loaded_model import ModelSession

Message = dict[str, str]
#: Text, and whether control tokens written in it are read as such.
Part = tuple[str, bool]

DEFAULT_PROMPT_TEMPLATE = "### Human:\n{0}\n\n### Assistant:\n"

#: Once turns must be left out, so many are that the rest fills only this much
#: of the context: leaving out one a time would shift, and so compute again,
#: everything after it on every later turn.
REFILL = 0.75


@dataclass(frozen=True)
class ChatTemplate:
    """A template and how to read it.

    Attributes:
        text: the template; ``None`` for the one in the model file.
        legacy: 2.8's style with ``{0}`` and ``{1}``, otherwise Jinja.
    """

    text: str | None
    legacy: bool


def choose_template(
    argument: str | None, config: Mapping[str, Any], model_template: str | None
) -> tuple[ChatTemplate, str]:
    """The template of a session and the system prompt that belongs to it.

    1. The argument.
    2. The catalogue's ``chatTemplate``, with its ``systemMessage``.
    3. The catalogue's ``promptTemplate``, with its ``systemPrompt``.
    4. The model file's own.
    5. 2.8's default, with a ``DeprecationWarning``.
    """
    if argument is not None:
        template = _read_template("prompt_template", argument)
        return template, str(config.get("systemPrompt" if template.legacy else "systemMessage") or "")
    if config.get("chatTemplate"):
        return _read_template("the catalogue's chatTemplate", config["chatTemplate"]), str(
            config.get("systemMessage") or ""
        )
    if config.get("promptTemplate"):
        return _read_template("the catalogue's promptTemplate", config["promptTemplate"]), str(
            config.get("systemPrompt") or ""
        )
    if model_template:
        return ChatTemplate(None, legacy=False), ""
    warn_deprecated(
        "this model brings no chat template, so gpt4all 2.8's default is used; pass prompt_template= to chat_session()"
    )
    return ChatTemplate(DEFAULT_PROMPT_TEMPLATE, legacy=True), ""


def _read_template(name: str, text: str) -> ChatTemplate:
    check_text(name, text)
    if not text:
        raise ValueError(f"{name} is empty, so the model would not see the conversation")
    if re.search(r"(?<!\{)%1(?![0-9])", text):
        raise ValueError(f"{name} holds a literal '%1'; write '{{0}}' where the user's message goes")
    legacy = "{0}" in text
    if legacy:
        split_legacy(text)
    elif not re.search(r"\{[{%]", text):
        raise ValueError(
            f"{name} holds neither {{0}} nor a Jinja expression, so the model would not see the conversation; write "
            "{0} where the user's message goes"
        )
    return ChatTemplate(text, legacy)


def split_legacy(template: str) -> tuple[str, str, str | None]:
    """What stands before the user's text, between it and the reply, and after the reply (``None`` without ``{1}``).

    Raises:
        ValueError: it holds something else in braces, which ``str.format`` might make gigabytes of, or not these once.
    """
    rule = "it may hold {0} once and then {1} once, and other braces doubled"
    texts, places = [""], list[str]()
    try:
        for text, place, spec, conversion in Formatter().parse(template):
            texts[-1] += text
            if place is None:
                continue
            if place not in ("0", "1") or spec or conversion:
                written = place + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
                raise ValueError(f"it holds {{{written}}}")
            texts.append("")
            places.append(place)
    except ValueError as error:
        raise ValueError(f"prompt_template cannot be filled in: {error}; {rule}") from None
    if places not in (["0"], ["0", "1"]):
        raise ValueError(f"prompt_template holds {' '.join(f'{{{place}}}' for place in places) or 'no {0}'}; {rule}")
    return texts[0], texts[1], texts[2] if len(texts) == 3 else None


def check_messages(messages: object) -> list[Message]:
    """A copy of a history if it is a list of ``{"role": str, "content": str}``."""
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        raise TypeError(f"messages must be a list of dicts, not {type(messages).__name__}")
    checked = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise TypeError(f"messages[{index}] must be a dict, not {type(message).__name__}")
        for key in ("role", "content"):
            if key not in message:
                raise ValueError(f"messages[{index}] has no {key!r}")
            check_text(f"messages[{index}][{key!r}]", message[key])
        checked.append(dict(message))
    return checked


def check_template_args(arguments: object) -> dict[str, Any]:
    """A copy of a template's variables if they are a dict with names for keys."""
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise TypeError(f"template_args must be a dict, not {type(arguments).__name__}")
    for name in arguments:
        check_text("a name in template_args", name)
    return dict(arguments)


#: By index after the system prompt: a user's message, and what a subclass has formatted it to.
Formatted = dict[int, tuple[str, str]]


class Conversation:
    """Messages and what is known of them, which are replaced together. Each change is one step."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        #: Messages after the system prompt that are no longer sent.
        self.left_out = 0
        self.formatted: Formatted = {}

    def snapshot(self) -> list[Message]:
        return [dict(message) for message in list(self.messages)]

    def add(self, entry: tuple[Message, Message], left_out: int | None, formatted: Formatted) -> None:
        """Adds a message of the user and its answer, and what was found out about the messages for them."""
        self.messages += entry
        if left_out is not None:
            self.left_out = left_out
        self.formatted.update(formatted)

    def format(self, prompt: str, format_message: Callable[[list[Message], str], str]) -> Formatted:
        """Has a subclass format each user message it has not formatted yet, the system prompt before the first."""
        system, messages = split_system(self.snapshot())
        formatted = dict(self.formatted)
        for index, message in enumerate([*messages, {"role": "user", "content": prompt}]):
            known = formatted.get(index)
            if message["role"] == "user" and (known is None or known[0] != message["content"]):
                text = format_message([message], system if index == 0 else "")
                formatted[index] = (message["content"], text)
        return formatted


@dataclass
class ChatSession:
    """One conversation."""

    template: ChatTemplate
    template_args: dict[str, Any]
    conversation: Conversation

    @classmethod
    def create(
        cls,
        config: Mapping[str, Any],
        model_template: str | None,
        system_prompt: str | None,
        prompt_template: str | None,
        messages: Sequence[Mapping[str, str]] | None,
        template_args: Mapping[str, Any] | None,
    ) -> ChatSession:
        template, default_system = choose_template(prompt_template, config, model_template)
        history = [] if messages is None else check_messages(messages)
        if system_prompt is not None:
            check_text("system_prompt", system_prompt)
        if not history or history[0]["role"] != "system":
            history.insert(0, {"role": "system", "content": default_system if system_prompt is None else system_prompt})
        elif system_prompt is not None:
            history[0]["content"] = system_prompt
        return cls(template, check_template_args(template_args), Conversation(history))

    def replace(self, messages: object) -> None:
        """Goes on with another history; a call that is under way belongs to the old one."""
        self.conversation = Conversation(check_messages(messages))


@dataclass(frozen=True)
class ChatPrompt:
    """A prompt that fits.

    Attributes:
        tokens: to continue.
        n_keep: how many of the first must survive a full context.
        ending: the prompt's last text.
        left_out: messages after the system prompt that it does not hold.
    """

    tokens: list[int]
    n_keep: int
    ending: str
    left_out: int


class PromptBuilder:
    """Turns a history and a new message into a prompt that fits the context."""

    def __init__(self, session: ModelSession, chat: ChatSession, cancel: CancelFlag | None = None) -> None:
        self._session = session
        self._chat = chat
        self._conversation = chat.conversation
        self._cancel = cancel
        self._formatted: Formatted = {}

    def build(self, prompt: str, formatted: Formatted | None = None) -> ChatPrompt:
        """Leaves out the oldest whole turns where the conversation is too long.

        Raises:
            ContextWindowExceededError: system prompt and ``prompt`` alone don't fit.
            CancellationError: the flag was set meanwhile.
        """
        self._formatted = formatted or {}
        system, rest = split_system(self._conversation.snapshot())
        rest.append({"role": "user", "content": prompt})
        limit = self._session.prompt_limit
        begin = min(self._conversation.left_out, len(rest) - 1)
        starts = [begin, *(start for start in turn_starts(rest) if start > begin)]
        texts: dict[int, tuple[list[int], str]] = {}

        def size(index: int) -> int:
            if index not in texts:
                texts[index] = self._tokens(system, rest[starts[index] :], starts[index])
            return len(texts[index][0])

        index = first_that_fits(_bytes_from(rest, starts), size, limit)
        tokens, ending = texts[index]
        if len(tokens) > limit:
            raise ContextWindowExceededError(len(tokens), limit, self._session.info.n_ctx)
        keep = self._keep(system, tokens)
        return ChatPrompt(tokens or [self._session.begin_token()], keep, ending, starts[index])

    def _tokens(self, system: str, messages: list[Message], offset: int) -> tuple[list[int], str]:
        """The tokens of a conversation, and its last text."""
        if self._cancel is not None and self._cancel.is_set():
            raise CancellationError("the call was stopped while its prompt was made")
        parts = self._parts(system, messages, offset)
        return self._session.tokenize_parts(parts, self._cancel), parts[-1][0] if parts else ""

    def _keep(self, system: str, tokens: list[int]) -> int:
        """Tokens of the begin mark and the system prompt: what another first message would share."""
        probe, _ = self._tokens(system, [{"role": "user", "content": "\x1a"}], 0)
        shared = 0
        for ours, theirs in zip(probe, tokens, strict=False):
            if ours != theirs:
                break
            shared += 1
        # A system prompt that fills the context leaves no room to slide in.
        return min(shared, self._session.info.n_ctx // 2)

    def _parts(self, system: str, messages: list[Message], offset: int) -> list[Part]:
        template = self._chat.template
        if template.legacy:
            return legacy_parts(template.text or "", system, messages, self._formatted_from(offset))
        conversation = ([{"role": "system", "content": system}] if system else []) + messages
        return self._session.render_chat(conversation, template.text, self._chat.template_args, self._cancel)

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
    lengths = [len(message["content"].encode()) for message in messages]
    sums = list(itertools.accumulate(reversed(lengths)))
    return [sums[len(messages) - 1 - start] for start in starts]


def split_system(history: list[Message]) -> tuple[str, list[Message]]:
    if history and history[0]["role"] == "system":
        return history[0]["content"], history[1:]
    return "", list(history)


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
            parts += [(message["content"], False), (after, True)]
            replied = True
            continue
        if not replied:
            # A message that was never answered.
            parts.append((after, True))
        if index in formatted:
            parts.append((formatted[index], False))
        else:
            parts += [(before, True), (message["content"], False), (between, True)]
        replied = False
    return [part for part in parts if part[0]]
