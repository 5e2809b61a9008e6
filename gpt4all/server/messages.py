"""The messages of a request, as ``generate`` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpt4all.chat.messages import Message, check_prompt
from gpt4all.server.failures import bad

_ROLES = ("system", "developer", "user", "assistant", "tool")


def read_messages(value: object, name: str, names: Sequence[str] | None = None) -> list[Message]:
    """A conversation whose last message is to be answered.

    Args:
        name: the field of the request.
        names: what the request has at each message's place, where that is not ``name`` with its index.

    Raises:
        ApiError, ValueError, TypeError: it is none; the message names what of it is wrong.
    """
    if not isinstance(value, list):
        raise bad(name, "must be an array of messages")
    if names is None:
        names = [f"{name}[{index}]" for index in range(len(value))]
    return check_prompt([_plain(item, where) for item, where in zip(value, names, strict=True)], name, names)


def _plain(item: Any, name: str) -> Any:
    if not isinstance(item, dict):
        raise bad(name, "must be an object")
    if item.get("role") not in _ROLES:
        raise bad(f"{name}.role", f"must be one of {', '.join(_ROLES)}")
    content = item.get("content")
    if content is None and item["role"] == "assistant":
        content = None if item.get("tool_calls") else ""
    if isinstance(content, list):
        # The same thing has three names.
        content = [_as_text(part) for part in content]
    return {**item, "role": "system" if item["role"] == "developer" else item["role"], "content": content}


def _as_text(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text")}
    return part
