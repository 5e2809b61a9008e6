"""Checks of single arguments, each with an error that names the argument."""

from __future__ import annotations

import math
import operator
import os

INT32_MAX = 2**31 - 1
#: What the engine computes with.
FLOAT32_MAX = (2 - 2**-23) * 2.0**127
_FLOAT32_MIN = 2.0**-126


def check_text(name: str, text: object) -> str:
    """``text`` if it is a ``str`` that can be written as UTF-8."""
    if not isinstance(text, str):
        # What other libraries take for a conversation.
        messages = name == "prompt" and isinstance(text, (list, tuple, dict))
        hint = "; give earlier messages to chat_session(messages=...), and the last one's text here" if messages else ""
        raise TypeError(f"{name} must be a str, not {type(text).__name__}{hint}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} holds a lone surrogate at index {error.start}, which is no character") from None
    return text


def check_path(name: str, value: object) -> str:
    """``value`` as text: file names of bytes are not taken."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or a path, not {type(value).__name__}")
    return value


def check_flag(name: str, value: object) -> bool:
    """``value`` as a ``bool``: 0 and 1 will do, but a text such as ``"False"`` is an accident."""
    if isinstance(value, int) or type(value).__name__ in ("bool", "bool_"):  # NumPy's
        return bool(value)
    raise TypeError(f"{name} must be a bool, not {type(value).__name__}")


def check_callback(name: str, callback: object) -> None:
    if not callable(callback):
        raise TypeError(f"{name} must be callable, not {type(callback).__name__}")


def check_integer(name: str, value: object, low: int, high: int = INT32_MAX) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        # Arrays have the method, but only those of one number can do it.
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {number}")
    return number


def check_number(name: str, value: object, low: float, high: float = FLOAT32_MAX) -> float:
    number = check_float(name, value)
    # NaN compares false with everything, so it fails here too.
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, not {number}")
    return number


def check_probability(name: str, value: object) -> float:
    """Any number: one below 0 means 0, one above 1 means 1."""
    number = check_float(name, value)
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, not {number}")
    return min(max(number, 0.0), 1.0)


def check_positive(name: str, value: object) -> float:
    number = check_number(name, value, 0.0)
    if number < _FLOAT32_MIN:
        raise ValueError(f"{name} must be more than 0, not {number}")
    return number


def check_float(name: str, value: object) -> float:
    try:
        if isinstance(value, (bool, str, bytes, bytearray)):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a number, not {type(value).__name__}") from None
    except OverflowError:
        # An integer beyond what even a double holds.
        raise ValueError(f"{name} is too large") from None
