"""A machine without a network: opening any socket fails the test."""

from __future__ import annotations

import socket

import pytest


def forbid_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test's end."""

    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
