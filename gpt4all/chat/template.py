"""The template of a conversation: which one, and 2.8's style of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from gpt4all.checks import check_text
from gpt4all.notices import warn_deprecated

DEFAULT_PROMPT_TEMPLATE = "### Human:\n{0}\n\n### Assistant:\n"


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


def check_template_args(arguments: object) -> dict[str, Any]:
    """A copy of a template's variables if they are a dict with names for keys."""
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise TypeError(f"template_args must be a dict, not {type(arguments).__name__}")
    for name in arguments:
        check_text("a name in template_args", name)
    return dict(arguments)
