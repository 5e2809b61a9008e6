"""One server for the tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import testmodels
from openai import OpenAI

from tests.support.http.served import Running, running


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    with running("--n-ctx", "1024") as found:
        yield found


@pytest.fixture(scope="session")
def client(server: Running) -> OpenAI:
    return server.client()


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    return testmodels.ensure("smollm2")
