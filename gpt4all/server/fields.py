"""The fields of a request, each checked as it is read; ``null`` is the same as leaving a field out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpt4all.server.failures import ApiError, bad


class Fields:
    """A JSON object of a request. What nobody reads is ignored."""

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self.values = values
        self._path = path

    def name(self, name: str) -> str:
        """How errors call a field."""
        return f"{self._path}{name}"

    def raw(self, name: str) -> Any:
        return self.values.get(name)

    def required(self, name: str) -> Any:
        value = self.raw(name)
        if value is None:
            raise ApiError(400, f"{self.name(name)} is missing", param=self.name(name), code="missing_field")
        return value

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        return None if value is None else check_text(self.name(name), value)

    def flag(self, name: str) -> bool | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            raise bad(self.name(name), "must be true or false")
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self.raw(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise bad(self.name(name), f"must be an integer from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise bad(self.name(name), f"must be a number from {low:g} to {high:g}")
        return float(value)

    def choice(self, name: str, *allowed: str) -> str | None:
        value = self.raw(name)
        if value is not None and not (isinstance(value, str) and value in allowed):
            raise bad(self.name(name), f"must be one of {', '.join(allowed)}")
        return None if value is None else str(value)

    def nested(self, name: str) -> Fields | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, dict):
            raise bad(self.name(name), "must be an object")
        return None if value is None else Fields(value, f"{self.name(name)}.")

    def array(self, name: str) -> list[Any] | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, list):
            raise bad(self.name(name), "must be an array")
        return value

    def refuse(self, name: str, why: str, *harmless: object) -> None:
        """For a field that is known and cannot be honoured, unless it asks for what happens anyway."""
        value = self.raw(name)
        if value is not None and not any(value == other and type(value) is type(other) for other in harmless):
            param = self.name(name)
            raise ApiError(400, f"{param} cannot be honoured: {why}", param=param, code="unsupported_value")


def check_text(name: str, value: object) -> str:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise bad(name, "must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad(name, "holds half of a surrogate pair, which is no character") from None
    return value


def check_finite(value: str) -> float:
    """Numbers as ``json`` reads them: 1e999 is none that JSON could write again."""
    number = float(value)
    if not math.isfinite(number):
        # NaN and Infinity have no digits.
        raise ValueError("a number is too large" if value[-1].isdigit() else f"{value} is no number of JSON's")
    return number
