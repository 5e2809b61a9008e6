"""The chat page in headless Chromium, with a server whose answers the test writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import browser as browser
from tests.support.http.chat_api import ChatServer, chat_server


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server
