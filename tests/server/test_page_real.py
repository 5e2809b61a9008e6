"""The chat page as ``gpt4all serve`` delivers it, with a real model: from the keyboard to the engine and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import testmodels

from tests.server.test_page import idle, last_answer, message_box
from tests.support.http.served import LONG, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

pytestmark = pytest.mark.model

#: For a model on a machine with other work.
SLOW = 300_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That of a server with SmolLM2 by two names, and an embedding model."""
    pytest.importorskip("gpt4all.server.app", reason="needs the extra server")
    models = tmp_path_factory.mktemp("models")
    for name, model in (("SmolLM2", "smollm2"), ("Second", "smollm2"), ("Vectors", "tiny-bert")):
        (models / f"{name}.gguf").symlink_to(testmodels.ensure(model))
    log = models / "log"
    command = [sys.executable, "-m", "gpt4all", "serve", "--port", "0", "--n-ctx", "1024", "--offline"]
    command += [str(models / f"{name}.gguf") for name in ("SmolLM2", "Second", "Vectors")]
    with open(log, "wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield _listening(process, log)
        finally:
            process.terminate()
            try:
                assert process.wait(60) == 0, log.read_text()
            finally:  # whatever failed, nobody waits for it
                process.kill()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    until(lambda: "listening on " in log.read_text() or process.poll() is not None)
    text = log.read_text()
    assert "listening on " in text, text
    return text.partition("listening on ")[2].split()[0] + "/"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    complaints: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith(address) else None)
    response = page.goto(address)
    assert response is not None
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page.get_by_label("Model").locator("option").first.wait_for(state="attached")
    yield page
    context.close()
    assert complaints == []


def ask(page: Page, question: str) -> Request:
    """Types a question where the cursor is."""
    with page.expect_request("**/v1/chat/completions") as sent:
        page.keyboard.type(question)
        page.keyboard.press("Enter")
    return sent.value


def changed(request: Request, **fields: object) -> str:
    return json.dumps({**json.loads(request.post_data or ""), **fields})


def metric(page: Page, address: str, name: str) -> float:
    lines = page.request.get(f"{address}metrics").text().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"gpt4all_{name} ")))


def test_a_conversation_from_the_keyboard(page: Page, address: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (extra dev)")
    assert page.get_by_label("Model").locator("option").all_inner_texts() == ["SmolLM2", "Second"]
    # An answer that happens to be long would leave no room for a second.
    page.route("**/v1/chat/completions", lambda route: route.continue_(post_data=changed(route.request, max_tokens=60)))
    ask(page, "What is the capital of France?")
    page.locator("article.assistant .note", has_text="tokens/s").wait_for()
    answer = last_answer(page).inner_text()
    assert len(answer.split()) > 1
    ask(page, "And that of Italy?")
    idle(page)
    page.reload()
    page.locator("article").nth(3).wait_for()
    assert page.locator("article").count() == 4
    assert page.locator("article.assistant .text").first.inner_text() == answer
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_model_and_system_prompt_reach_the_server(page: Page) -> None:
    page.get_by_label("Model").select_option("Second")
    page.get_by_text("System prompt").press("Enter")
    page.get_by_role("textbox", name="System prompt").fill("Answer in one word.")
    message_box(page).focus()
    sent = ask(page, "Hello").post_data_json
    assert sent
    assert sent["model"] == "Second"
    assert sent["messages"][0] == {"role": "system", "content": "Answer in one word."}
    page.locator("article.assistant .note", has_text="token").wait_for()
    assert last_answer(page).inner_text().strip()


def test_stop_stops_the_engine(page: Page, address: str) -> None:
    # Without the tokens that would end it, the answer fills the context.
    bias = {"logit_bias": LONG["logit_bias"]}
    page.route("**/v1/chat/completions", lambda route: route.continue_(post_data=changed(route.request, **bias)))
    before = metric(page, address, "completion_tokens_total")
    ask(page, "Tell me a very long story about the sea, a ship and a cat.")
    page.locator("article.assistant").last.locator(".text p").first.wait_for()
    assert metric(page, address, 'answers_in_progress{model="SmolLM2"}') == 1
    page.keyboard.press("Escape")
    page.locator("article.assistant .note", has_text="Stopped").wait_for()
    idle(page)
    until(lambda: metric(page, address, 'answers_in_progress{model="SmolLM2"}') == 0)
    assert metric(page, address, "completion_tokens_total") - before < 900
    page.unroute("**/v1/chat/completions")
    # The next one is answered.
    ask(page, "Thank you!")
    page.locator("article.assistant").last.locator(".note", has_text="token").wait_for()
