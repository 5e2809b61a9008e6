"""Headless Chromium, for what people see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

__all__ = ["browser"]

#: Debian's packages, the small one first, and what other systems call the same program.
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


# For one module at a time: while Playwright is open, its event loop counts as the main thread's.
@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    program = os.environ.get("GPT4ALL_TEST_BROWSER") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not program:
        pytest.skip("needs Chromium: apt-get install chromium-headless-shell, or GPT4ALL_TEST_BROWSER=PROGRAM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
