"""The engine's strings as Python's."""

from __future__ import annotations


def to_str(value: bytes | None) -> str:
    """What is no UTF-8 becomes U+FFFD, and a missing string an empty one."""
    return (value or b"").decode("utf-8", "replace")
