"""The messages of a conversation in the shape of OpenAI's chat completions: checked, copied, and their text."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpt4all.checks import check_text

#: ``role`` and ``content``; what else there may be depends on the role.
Message = dict[str, Any]

#: What is to be answered: a text, or messages.
Prompt = str | Sequence[Mapping[str, Any]]

_CHECKED_APART = ("content", "tool_calls")

#: Lists and objects in each other; the engine takes a few more.
_MAX_NESTING = 50

#: Roles of messages that say how to answer; at the beginning of a conversation they are always sent.
SYSTEM_ROLES = ("system", "developer")


def check_messages(messages: object, name: str = "messages", names: Sequence[str] | None = None) -> list[Message]:
    """A copy of a conversation if it is a list of messages as OpenAI's interface has them.

    Args:
        names: what to call each of them, where the caller has them elsewhere than at their index in ``name``.

    Raises:
        ValueError, TypeError: it is none; the message says which of ``name`` is wrong.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        raise TypeError(f"{name} must be a list of dicts, not {type(messages).__name__}")
    checked: list[Message] = []
    asked: set[str] = set()
    for index, message in enumerate(messages):
        where = f"{name}[{index}]" if names is None else names[index]
        checked.append(_checked(message, where))
        asked.update(call["id"] for call in checked[-1].get("tool_calls", ()) if "id" in call)
        answered = checked[-1].get("tool_call_id")
        # A list may be the continuation of another one, which has the calls.
        if answered is not None and asked and answered not in asked:
            raise ValueError(f"{where} answers the call {answered!r}, but no message before it makes a call of that id")
    return checked


def check_prompt(messages: object, name: str = "messages", names: Sequence[str] | None = None) -> list[Message]:
    """The same for messages to be answered.

    Raises:
        ValueError, TypeError: they are none, or the last one is nothing to answer.
    """
    if not isinstance(messages, (list, tuple)):
        raise TypeError(f"{name} must be a str or a list of messages, not {type(messages).__name__}")
    checked = check_messages(messages, name, names)
    if not checked:
        raise ValueError(f"{name} has no message, so there is nothing to answer")
    if checked[-1]["role"] not in ("user", "tool"):
        where = f"{name}[{len(checked) - 1}]" if names is None else names[-1]
        raise ValueError(f"{where}, the last message, is neither the user's nor a tool's answer")
    return checked


def copied(message: Mapping[str, Any]) -> Message:
    """A copy that shares nothing that can be changed."""
    found = dict(message)
    return found | {key: copy.deepcopy(value) for key, value in found.items() if not isinstance(value, str)}


def text_of(message: Mapping[str, Any]) -> str:
    """What a message says, its parts a line each."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content)
    return content or ""


def size_of(message: Mapping[str, Any]) -> int:
    """About how many bytes of text a message makes."""
    calls = message.get("tool_calls")
    return len(text_of(message).encode()) + (len(json.dumps(calls)) if calls else 0)


def _checked(message: object, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise TypeError(f"{where} must be a dict, not {type(message).__name__}")
    if "role" not in message:
        raise ValueError(f"{where} has no 'role'")
    role = check_text(f"{where}['role']", message["role"])
    # Content and calls are looked at more closely below.
    found = {
        check_text(f"{where}'s key", key): value if key in _CHECKED_APART else _plain(value, f"{where}[{key!r}]")
        for key, value in message.items()
    }
    # As others write what is not there.
    for key in ("name", "tool_calls", "tool_call_id", "reasoning_content"):
        if key in found and not found[key]:
            del found[key]
    for key in ("name", "tool_call_id", "reasoning_content"):
        if key in found:
            check_text(f"{where}[{key!r}]", found[key])
    if "tool_calls" in found:
        if role != "assistant":
            raise ValueError(f"{where} has tool_calls, which only an assistant's message can have, not one of {role!r}")
        found["tool_calls"] = _checked_calls(found["tool_calls"], f"{where}['tool_calls']")
        found.setdefault("content", None)
    if "content" not in found:
        raise ValueError(f"{where} has no 'content'")
    found["content"] = _checked_content(found, f"{where}['content']")
    return found


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of a value of JSON, which is all that a template can be given."""
    if depth > _MAX_NESTING:
        raise ValueError(f"{where[:100]}... is nested too deeply")
    if isinstance(value, str):
        return check_text(where, value)
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {check_text(f"{where}'s key", key): _plain(value[key], f"{where}[{key!r}]", depth + 1) for key in value}
    shown = repr(value) if isinstance(value, float) else type(value).__name__
    raise TypeError(f"{where} must be a value of JSON, not {shown}")


def _checked_content(message: Message, where: str) -> Any:
    content = message["content"]
    if content is None and "tool_calls" in message:
        return None
    if not isinstance(content, (list, tuple)):
        return check_text(where, content)
    for index, part in enumerate(content):
        at = f"{where}[{index}]"
        if not isinstance(part, Mapping):
            raise TypeError(f"{at} must be a dict such as {{'type': 'text', 'text': '...'}}, not {type(part).__name__}")
        if part.get("type", "text") != "text":
            raise ValueError(f"{at} is of type {part['type']!r}, and this model reads nothing but text")
        if "text" not in part:
            raise ValueError(f"{at} has no 'text'")
        check_text(f"{at}['text']", part["text"])
    return [_plain({**part, "type": "text"}, f"{where}[{index}]") for index, part in enumerate(content)]


def _checked_calls(calls: object, where: str) -> list[dict[str, Any]]:
    if not isinstance(calls, (list, tuple)):
        raise TypeError(f"{where} must be a list of dicts, not {type(calls).__name__}")
    return [_checked_call(call, f"{where}[{index}]") for index, call in enumerate(calls)]


def _checked_call(call: object, where: str) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise TypeError(f"{where} must be a dict, not {type(call).__name__}")
    if call.get("type", "function") != "function":
        raise ValueError(f"{where} is of type {call['type']!r}; the only one is 'function'")
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise ValueError(f"{where} has no 'function', a dict with 'name' and 'arguments'")
    if "name" not in function:
        raise ValueError(f"{where}['function'] has no 'name'")
    check_text(f"{where}['function']['name']", function["name"])
    text = arguments_text(function.get("arguments", "{}"), f"{where}['function']['arguments']")
    identity = {"id": check_text(f"{where}['id']", call["id"])} if call.get("id") is not None else {}
    return {**identity, "type": "function", "function": {"name": function["name"], "arguments": text}}


def arguments_text(arguments: object, where: str) -> str:
    """A call's arguments as JSON, which is how they are stored.

    Raises:
        ValueError, TypeError: they are none; the message begins with ``where``.
    """
    try:
        if isinstance(arguments, Mapping):
            return check_text(where, json.dumps(arguments, ensure_ascii=False, allow_nan=False))
        text = check_text(where, arguments) or "{}"
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a JSON object, not {text[:50]}")
    _plain(value, where)
    return text
