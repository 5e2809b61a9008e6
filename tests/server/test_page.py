"""The chat page by what a person sees, hears from a screen reader, and types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.http.chat_api import Answer, ChatServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize

WIDE: ViewportSize = {"width": 1100, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 700}
Open = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser, server: ChatServer) -> Iterator[Open]:
    """Opens the page in a fresh browser profile; at the end no script failed and nothing broke the policy."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def judge(right: bool, what: str) -> None:
        if not right:
            complaints.append(what)

    def opened(*, dark: bool = False, phone: bool = False, ready: bool = True) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else WIDE, color_scheme="dark" if dark else "light", has_touch=phone
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: judge(False, str(error)))
        page.on("dialog", lambda dialog: judge(False, dialog.message))
        page.on("console", lambda line: judge("Failed to load resource" in line.text, line.text))
        page.on("request", lambda request: judge(request.url.startswith((server.url, "blob:")), request.url))
        page.goto(server.url)
        if ready:
            page.get_by_label("Model").locator("option").first.wait_for(state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_page: Open) -> Page:
    return open_page()


def message_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message", exact=True)


def ask(page: Page, server: ChatServer, text: str = "Hello") -> Answer:
    message_box(page).fill(text)
    page.keyboard.press("Enter")
    return server.answer()


def exchange(page: Page, server: ChatServer, question: str = "Hello", reply: str = "Hi there") -> Answer:
    answer = ask(page, server, question)
    answer.send(reply)
    answer.finish()
    idle(page)
    return answer


def idle(page: Page) -> None:
    page.get_by_role("button", name="Send").wait_for()


def last_answer(page: Page) -> Locator:
    return page.locator("article.assistant").last.locator(".text")


def choose(page: Page, action: str) -> None:
    page.get_by_role("button", name="This conversation").click()
    page.get_by_role("button", name=action, exact=True).click()


# ---- answers


def test_an_answer_is_seen_while_it_is_written(page: Page, server: ChatServer) -> None:
    answer = ask(page, server, "Name a colour")
    answer.send("Blue")
    page.get_by_text("Blue", exact=True).wait_for()
    assert page.get_by_role("button", name="Stop").is_visible()
    answer.send(" as the sea")
    page.get_by_text("Blue as the sea", exact=True).wait_for()
    answer.finish(tokens=4)
    idle(page)
    assert re.search(r"^4 tokens( · [\d.]+ tokens/s)?$", page.locator("article.assistant .note").inner_text())
    assert answer.request["model"] == "small-model"
    assert answer.request["messages"] == [{"role": "user", "content": "Name a colour"}]
    assert message_box(page).input_value() == ""
    assert message_box(page).evaluate("box => box === document.activeElement")


def test_characters_and_events_may_come_in_pieces(page: Page, server: ChatServer) -> None:
    answer = ask(page, server)
    event = 'data: {"choices": [{"delta": {"content": "Grüße 🎉"}}]}\r\n\r\n'.encode()
    answer.raw(b": a comment\n\n")
    for byte in event:
        answer.raw(bytes([byte]))
    answer.finish()
    idle(page)
    assert last_answer(page).inner_text() == "Grüße 🎉"


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_ends_the_request_and_keeps_what_came(page: Page, server: ChatServer, how: str) -> None:
    answer = ask(page, server)
    answer.send("Once upon")
    page.get_by_text("Once upon").wait_for()
    if how == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    assert answer.left.wait(30)
    idle(page)
    assert last_answer(page).inner_text() == "Once upon"
    assert page.locator("article.assistant .note").inner_text() == "Stopped"
    assert message_box(page).evaluate("box => box === document.activeElement")


def test_reasoning_is_folded_away_and_not_sent_back(page: Page, server: ChatServer) -> None:
    answer = ask(page, server, "2 + 2")
    answer.send("Two and two", kind="reasoning_content")
    page.get_by_text("Thinking…").wait_for()
    assert not page.get_by_text("Two and two").is_visible()
    answer.send("4")
    page.get_by_text("Thoughts").wait_for()
    answer.finish()
    idle(page)
    page.get_by_text("Thoughts").click()
    assert page.get_by_text("Two and two").is_visible()
    assert last_answer(page).inner_text() == "4"
    assert exchange(page, server, "And 3").request["messages"][1] == {"role": "assistant", "content": "4"}


def test_an_answer_that_was_cut_off_says_so(page: Page, server: ChatServer) -> None:
    answer = ask(page, server)
    answer.send("One two")
    answer.finish(reason="length", tokens=2)
    page.get_by_text("Cut off at the limit of tokens").wait_for()


def test_regenerate_and_edit_take_the_place_of_the_last_exchange(page: Page, server: ChatServer) -> None:
    exchange(page, server, "First", "One")
    exchange(page, server, "Secnd", "Two")
    before = [{"role": "user", "content": "First"}, {"role": "assistant", "content": "One"}]
    assert page.get_by_role("button", name="Regenerate").count() == page.get_by_role("button", name="Edit").count() == 1
    page.get_by_role("button", name="Regenerate").click()
    again = server.answer()
    assert again.request["messages"] == [*before, {"role": "user", "content": "Secnd"}]
    again.send("Two, again")
    again.finish()
    idle(page)
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Edit the message").fill("Second")
    page.keyboard.press("Enter")
    edited = server.answer()
    assert edited.request["messages"] == [*before, {"role": "user", "content": "Second"}]
    edited.send("Zwei")
    edited.finish()
    idle(page)
    assert page.locator("article .text").all_inner_texts() == ["First", "One", "Second", "Zwei"]
    page.get_by_role("button", name="Edit").click()
    page.keyboard.press("Escape")
    assert page.locator("article .text").nth(2).inner_text() == "Second"


def test_model_and_system_prompt_are_a_conversation_s_own(page: Page, server: ChatServer) -> None:
    page.get_by_label("Model").select_option("large-model")
    page.get_by_text("System prompt").click()
    page.get_by_role("textbox", name="System prompt").fill("Be brief.")
    request = exchange(page, server, "Hello").request
    assert request["model"] == "large-model"
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    page.get_by_role("link", name="New conversation").click()
    page.get_by_label("Model").select_option("small-model")
    assert exchange(page, server, "Bye").request["messages"] == [{"role": "user", "content": "Bye"}]
    page.get_by_role("link", name="Hello").click()
    assert page.get_by_label("Model").input_value() == "large-model"
    assert page.get_by_text("System prompt: Be brief.").is_visible()


# ---- typing


def test_shift_enter_begins_a_line_and_an_input_method_keeps_its_enter(page: Page, server: ChatServer) -> None:
    message_box(page).fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    message_box(page).evaluate(
        "box => box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, cancelable: true}))"
    )
    assert page.locator("article").count() == 0
    page.keyboard.press("Enter")
    assert server.answer().request["messages"][0]["content"] == "one\ntwo"


def test_nothing_is_sent_twice_or_empty(page: Page, server: ChatServer) -> None:
    message_box(page).fill("  \n ")
    page.keyboard.press("Enter")
    answer = ask(page, server)
    message_box(page).fill("too early")
    page.keyboard.press("Enter")
    answer.finish()
    idle(page)
    assert message_box(page).input_value() == "too early"
    assert server.requested.count("/v1/chat/completions") == 1


# ---- conversations


def test_conversations_outlive_the_page(page: Page, server: ChatServer) -> None:
    exchange(page, server, "First question", "**bold** words")
    page.get_by_role("link", name="New conversation").click()
    exchange(page, server, "Second question", "Other words")
    assert page.get_by_role("listitem").all_inner_texts() == ["Second question", "First question"]
    page.reload()
    page.get_by_text("Other words").wait_for()
    page.get_by_role("link", name="First question").click()
    assert page.locator("strong").inner_text() == "bold"
    assert page.get_by_role("heading", level=1).inner_text() == "First question"
    page.go_back()
    page.get_by_text("Other words").wait_for()


def test_rename_delete_and_undo(page: Page, server: ChatServer) -> None:
    exchange(page, server, "Hello", "Kept words")
    choose(page, "Rename")
    page.get_by_role("textbox", name="Name of the conversation").fill("Greetings")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Greetings").wait_for()
    choose(page, "Delete")
    page.get_by_text("Deleted “Greetings”.").wait_for()
    assert page.get_by_role("listitem").count() == 0
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Kept words", exact=True).wait_for()
    choose(page, "Delete")
    page.reload()
    page.get_by_label("Model").locator("option").first.wait_for(state="attached")
    assert page.get_by_role("listitem").count() == 0


def test_exported_conversations_come_in_elsewhere_once(open_page: Open, server: ChatServer, tmp_path: Path) -> None:
    page = open_page()
    exchange(page, server, "Keep <b>me</b>?", "Kept")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export all").click()
    file = tmp_path / "chats.json"
    download.value.save_as(file)
    assert json.loads(file.read_text("utf-8"))["conversations"][0]["messages"][1]["content"] == "Kept"
    other = open_page()
    for notice in ("Imported 1 conversation.", "All of these conversations are here already."):
        other.locator("#file").set_input_files(file)
        other.get_by_text(notice).wait_for()
    other.get_by_role("link", name="Keep <b>me</b>?").click()
    other.get_by_text("Kept", exact=True).wait_for()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "This file is not JSON."),
        ("[1]", "This file has no conversations of this page in it."),
        (
            '{"format": "gpt4all-conversations", "conversations": [{"messages": [{"role": "tool", "content": ""}]}]}',
            "A conversation in this file is damaged: a message has no known role.",
        ),
        (
            '{"format": "gpt4all-conversations", "conversations": [{"messages": [{"role": "user", "content": 1}]}]}',
            "A conversation in this file is damaged: a message has no text.",
        ),
    ],
)
def test_a_wrong_file_is_named_as_such(page: Page, content: str, said: str) -> None:
    page.locator("#file").set_input_files(
        {"name": "x.json", "mimeType": "application/json", "buffer": content.encode()}
    )
    page.get_by_text(said).wait_for()
    assert page.get_by_role("listitem").count() == 0


def test_answers_go_on_out_of_sight(page: Page, server: ChatServer) -> None:
    answer = ask(page, server, "Slow")
    answer.send("Begun")
    page.get_by_text("Begun").wait_for()
    page.get_by_role("link", name="New conversation").click()
    exchange(page, server, "Quick", "Done")
    answer.send(" and ended")
    page.get_by_role("link", name="Slow").click()
    page.get_by_text("Begun and ended").wait_for()
    answer.send(".")
    answer.finish()
    idle(page)
    assert last_answer(page).inner_text() == "Begun and ended."


def test_what_had_come_when_the_page_was_closed_is_kept(page: Page, server: ChatServer) -> None:
    answer = ask(page, server)
    answer.send("Half an answer")
    page.get_by_text("Half an answer").wait_for()
    page.reload()
    page.get_by_text("Broken off when the page was closed").wait_for()
    assert last_answer(page).inner_text() == "Half an answer"
    assert answer.left.wait(30)


def test_two_tabs_show_the_same_conversations(page: Page, server: ChatServer) -> None:
    other = page.context.new_page()
    other.goto(server.url)
    exchange(page, server, "Shared")
    other.get_by_role("link", name="Shared").wait_for()


def test_full_storage_is_said(page: Page, server: ChatServer) -> None:
    page.evaluate("""() => {
        for (let size = 1 << 23; size; size >>= 1)
            try { localStorage.setItem(`filler${size}`, "x".repeat(size)) } catch {}
    }""")
    answer = ask(page, server)
    page.get_by_text("its storage for this page is full").wait_for()
    answer.send("Still answered")
    answer.finish()
    page.get_by_text("Still answered", exact=True).wait_for()


# ---- failures


@pytest.mark.parametrize(
    ("status", "error", "headers", "advice"),
    [
        (429, {"message": "The queue is full."}, {"Retry-After": "3"}, "Try again in 3 seconds."),
        (400, {"message": "Too long.", "code": "context_length_exceeded"}, {}, "Begin a new conversation"),
        (404, {"message": "No such model."}, {}, "Choose another model"),
        (500, {"message": "It broke."}, {}, "The server's own output may say more."),
    ],
)
def test_a_refusal_says_what_to_do(
    page: Page, server: ChatServer, status: int, error: dict[str, object], headers: dict[str, str], advice: str
) -> None:
    server.refusal = (status, error, headers)
    message_box(page).fill("Hello")
    page.keyboard.press("Enter")
    page.locator(".problem").filter(has_text=str(error["message"])).filter(has_text=advice).wait_for()
    page.get_by_role("button", name="Try again").click()
    answer = server.answer()
    assert answer.request["messages"] == [{"role": "user", "content": "Hello"}]
    answer.send("Better now")
    answer.finish()
    idle(page)
    assert page.locator("article .text").all_inner_texts() == ["Hello", "Better now"]
    assert not page.locator(".problem").filter(visible=True).count()


@pytest.mark.parametrize("how", ["error", "cut"])
def test_a_stream_that_breaks_keeps_what_came(page: Page, server: ChatServer, how: str) -> None:
    answer = ask(page, server)
    answer.send("Half an ")
    if how == "error":
        answer.event({"error": {"message": "The memory is full.", "type": "server_error"}})
    answer.hang_up()
    said = "The memory is full." if how == "error" else "The connection ended before the answer did."
    page.locator(".problem").filter(has_text=said).wait_for()
    assert last_answer(page).inner_text() == "Half an"


def test_a_question_without_an_answer_is_joined_by_the_next(page: Page, server: ChatServer) -> None:
    server.refusal = (500, {"message": "No."}, {})
    message_box(page).fill("One")
    page.keyboard.press("Enter")
    page.locator(".problem").filter(has_text="No.").wait_for()
    assert ask(page, server, "Two").request["messages"] == [{"role": "user", "content": "One\n\nTwo"}]


def test_a_server_that_is_gone_or_has_no_model_is_said(page: Page, server: ChatServer) -> None:
    server.models = []
    page.reload()
    page.get_by_text("This server offers no model to talk with.").wait_for()
    server.models = ["late-model"]
    page.get_by_role("button", name="Try again").click()
    page.get_by_label("Model").locator("option", has_text="late-model").wait_for(state="attached")
    server.close()
    message_box(page).fill("Anyone?")
    page.keyboard.press("Enter")
    page.locator(".problem").filter(has_text="Is gpt4all serve still running?").wait_for()


def test_the_api_key_is_asked_for_once(open_page: Open, server: ChatServer) -> None:
    server.key = "sesame"
    page = open_page(ready=False)
    box = page.get_by_role("textbox", name="API key")
    box.fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("The server did not accept this key.").wait_for()
    box.fill("sesame")
    page.keyboard.press("Enter")
    page.get_by_label("Model").locator("option").first.wait_for(state="attached")
    assert exchange(page, server).authorization == "Bearer sesame"
    page.reload()
    page.get_by_label("Model").locator("option").first.wait_for(state="attached")
    assert exchange(page, server).authorization == "Bearer sesame"
    assert "sesame" not in page.evaluate("JSON.stringify(localStorage)")


def test_without_the_key_the_page_says_what_is_missing(open_page: Open, server: ChatServer) -> None:
    server.key = "sesame"
    page = open_page(ready=False)
    page.get_by_role("textbox", name="API key").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("wrong API key Reload the page to enter another key.").wait_for()


# ---- long conversations


def test_only_the_last_block_is_made_anew_while_an_answer_grows(page: Page, server: ChatServer) -> None:
    for i in range(3):
        exchange(page, server, f"Question {i}", "A *paragraph*.\n\n- with\n- a list")
    answer = ask(page, server, "More")
    answer.send("First block.\n\n```text\nline 0\n")
    page.get_by_text("line 0").wait_for()
    page.evaluate("""() => {
        window.changed = new Set();
        const earlier = document.querySelectorAll("article:not(:last-child)");
        const watch = (node, name) => new MutationObserver(() => changed.add(name)).observe(
            node, {subtree: true, childList: true, characterData: true, attributes: true});
        earlier.forEach((node) => watch(node, "an earlier message"));
        watch(document.querySelector("article:last-child .text > p"), "a block that was complete");
        watch(document.querySelector("#list"), "the list of conversations");
        window.code = document.querySelector("article:last-child pre").firstChild.firstChild;
    }""")
    for i in range(1, 30):
        answer.send(f"line {i}\n")
        page.get_by_text(f"line {i}\n").wait_for()
    assert page.evaluate("[...changed]") == []
    assert page.evaluate("code.isConnected && code.data.endsWith('line 29\\n')"), "the code was not made anew"
    answer.finish()
    idle(page)


def test_the_end_stays_in_sight_unless_one_looks_up(page: Page, server: ChatServer) -> None:
    answer = ask(page, server)
    rest = """() => {
        const log = document.querySelector("#log");
        return log.scrollHeight - log.scrollTop - log.clientHeight;
    }"""
    answer.send("\n\n".join(f"Paragraph {i}" for i in range(60)))
    page.get_by_text("Paragraph 59").wait_for()
    page.wait_for_function(f"({rest})() < 2")
    page.locator("#log").hover()
    page.mouse.wheel(0, -900)
    page.get_by_role("button", name="Latest").wait_for()
    answer.send("\n\nOne more\n\nand the last")
    page.get_by_text("and the last").wait_for(state="attached")
    assert page.evaluate(rest) > 500
    page.get_by_role("button", name="Latest").click()
    page.wait_for_function(f"({rest})() < 2")
    answer.finish()
    idle(page)


# ---- access


def test_screen_readers_hear_an_answer_once_and_whole(page: Page, server: ChatServer) -> None:
    page.evaluate("""() => {
        window.said = [];
        for (const node of document.querySelectorAll("[role=status], [role=alert], [role=log], [aria-live]"))
            new MutationObserver(() => node.textContent && said.push(node.textContent)).observe(
                node, {subtree: true, childList: true, characterData: true});
    }""")
    answer = ask(page, server)
    for word in ("One", " two", " three"):
        answer.send(word)
        page.get_by_text(word.strip()).first.wait_for()
    answer.finish()
    idle(page)
    assert page.evaluate("said") == ["The answer is being written.", "Answer: One two three"]


def test_the_page_works_from_the_keyboard(page: Page, server: ChatServer) -> None:
    exchange(page, server, "Hello", "```text\ncode\n```")
    names = []
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        names.append(page.evaluate("(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()"))
    wanted = ["Regenerate", "Copy", "code", "Edit", "System prompt", "Messages", "This conversation", "Model"]
    wanted += ["Export all", "Import", "Hello", "New conversation"]
    assert [name for name in wanted if name not in names] == []


def test_a_phone_has_no_sideways_scrolling_and_the_list_behind_a_button(open_page: Open, server: ChatServer) -> None:
    page = open_page(phone=True)
    wide = "w" * 300 + "\n\n| a | b |\n|---|---|\n| " + "x" * 200 + " | y |\n\n```text\n" + "z" * 300 + "\n```"
    exchange(page, server, "q" * 300, wide)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('#log').scrollWidth <= document.querySelector('#log').clientWidth")
    assert not page.get_by_role("link", name="New conversation").is_visible()
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("link", name="New conversation").click()
    page.get_by_text("Conversations stay in this browser").wait_for()
    assert not page.get_by_role("link", name="New conversation").is_visible()


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, False), (False, True)])
def test_axe_finds_no_barrier(open_page: Open, server: ChatServer, dark: bool, phone: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (extra dev)")
    page = open_page(dark=dark, phone=phone)
    answer = ask(page, server)
    answer.send("Why not?", kind="reasoning_content")
    answer.send(
        "# Title\n\nA [link](https://example.org), `code`\n\n> quote\n\n```text\nx\n```\n\n|a|b|\n|-|-|\n|1|2|\n"
    )
    answer.event({"error": {"message": "It broke."}})
    answer.hang_up()
    idle(page)
    page.get_by_text("Thoughts").click()
    for dialog in (False, True):
        if dialog:
            choose(page, "Rename")
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
