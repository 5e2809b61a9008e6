"""The page's Markdown: what becomes which element, that pieces come out as the whole does, and that text stays text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.http.chat_api import chat_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RENDER = """async ([text, size]) => {
    const { MarkdownStream } = await import("/markdown.js");
    const target = document.createElement("div");
    document.body.replaceChildren(target);
    const stream = new MarkdownStream(target);
    for (let at = 0; at < text.length; at += size) stream.append(text.slice(at, at + size));
    return target.innerHTML;
}"""
LINK = 'rel="noopener noreferrer" target="_blank"'

CASES = {
    "one\ntwo\n\nthree": "<p>one<br>two</p><p>three</p>",
    "# One\n###### Six #": "<h3>One</h3><h6>Six</h6>",
    "#no heading": "<p>#no heading</p>",
    "**bold** __bold__ *it* _it_ ***both*** ~~gone~~": "<p><strong>bold</strong> <strong>bold</strong> <em>it</em> "
    "<em>it</em> <em><strong>both</strong></em> <del>gone</del></p>",
    "**a *b* c**": "<p><strong>a <em>b</em> c</strong></p>",
    "snake_case_name 2 * 3 * 4 ~5": "<p>snake_case_name 2 * 3 * 4 ~5</p>",
    "**open *and": "<p>**open *and</p>",
    "`a*b*` ``a ` b`` `open": "<p><code>a*b*</code> <code>a ` b</code> `open</p>",
    r"\*not\* \(x\)": r"<p>*not* \(x\)</p>",
    "- a\n- b\n  - c\n\n  more\n- d": "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul><p>more</p></li>"
    "<li><p>d</p></li></ul>",
    "3. c\n4. d": '<ol start="3"><li><p>c</p></li><li><p>d</p></li></ol>',
    "1. a\n  - b\n2. c": '<ol start="1"><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>c</p></li></ol>',
    "- a\n\nb": "<ul><li><p>a</p></li></ul><p>b</p>",
    "- a\n1. b": '<ul><li><p>a</p></li></ul><ol start="1"><li><p>b</p></li></ol>',
    "> a\n> > b\n\nc": "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote><p>c</p>",
    "a\n\n---\n***\n_ _ _\nb": "<p>a</p><hr><hr><hr><p>b</p>",
    '[a *b*](https://x.org/y "t")': f'<p><a href="https://x.org/y" {LINK}>a <em>b</em></a></p>',
    "**[a](http://x.org)**": f'<p><strong><a href="http://x.org" {LINK}>a</a></strong></p>',
    "<https://x.org> https://x.org/a_(b). (https://x.org)": f'<p><a href="https://x.org" {LINK}>https://x.org</a> '
    f'<a href="https://x.org/a_(b)" {LINK}>https://x.org/a_(b)</a>. (<a href="https://x.org" {LINK}>https://x.org</a>)</p>',
    "![alt](https://x.org/i.png)": f'<p><a href="https://x.org/i.png" {LINK}>alt</a></p>',
    "[a](b.html) [1] [x]: y": "<p>[a](b.html) [1] [x]: y</p>",
    "[a [b](http://x.org)](http://y.org)": f'<p>[a <a href="http://x.org" {LINK}>b</a>](<a href="http://y.org" {LINK}>'
    "http://y.org</a>)</p>",
    "| a | b |\n|:-:|--:|\n| 1 | `x\\|y` |\n| 2 |": '<div class="table" tabindex="0" role="group" aria-label="Table">'
    "<table>"
    '<thead><tr><th class="center">a</th><th class="right">b</th></tr></thead><tbody><tr><td class="center">1</td>'
    '<td class="right"><code>x|y</code></td></tr><tr><td class="center">2</td><td class="right"></td></tr></tbody>'
    "</table></div>",
    "a | b\nno table": "<p>a | b<br>no table</p>",
    "&lt; &amp;": "<p>&amp;lt; &amp;amp;</p>",
}

LONG = "\n\n".join(
    [
        *CASES,
        "```python\ndef f(x):\n\treturn '`' * x\n\n# end\n```\nafter\n~~~\n```\n~~~",
        "1. a\n   ```\n   code\n   ```\n2. b",
        "````md\n```\ninner\n```\n````",
        "```\nnever closed\n<b>",
    ]
)


# One page for all: nothing here leaves a trace in it.
@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with chat_server() as server:
        page = browser.new_page()
        page.goto(server.url)
        page.get_by_label("Model").locator("option").first.wait_for(state="attached")
        yield page
        page.close()


@pytest.mark.parametrize("text", CASES)
def test_markdown_becomes_elements(page: Page, text: str) -> None:
    assert page.evaluate(RENDER, [text, 1_000_000]) == CASES[text]


def test_code_is_shown_as_it_is(page: Page) -> None:
    page.evaluate(RENDER, ["```python title\n  a = '**b**'\n\n\tc\n```", 1_000_000])
    assert page.locator("pre code").evaluate("node => node.textContent") == "  a = '**b**'\n\n\tc"
    assert page.locator(".code span").inner_text() == "python"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_come_out_as_the_whole_does(page: Page, size: int) -> None:
    assert page.evaluate(RENDER, [LONG, size]) == page.evaluate(RENDER, [LONG, 1_000_000])


HOSTILE = [
    "<script>hit()</script>",
    "<img src=x onerror=hit()>",
    "<svg/onload=hit()>",
    "<iframe srcdoc='<script>hit()</script>'></iframe>",
    "[a](javascript:hit())",
    "[a](JaVaScRiPt:hit())",
    "[a](\tjavascript:hit())",
    "[a](<javascript:hit()>)",
    "[a](data:text/html,<script>hit()</script>)",
    "![a](javascript:hit())",
    '![x](x" onerror="hit())',
    '[a](https://x.org/" onclick="hit())',
    "<javascript:hit()>",
    '```"><script>hit()</script>\n</code><script>hit()</script>\n```',
    "| <img src=x onerror=hit()> |\n|-|\n| <script>hit()</script> |",
    "# <b onmouseover=hit()>x</b>",
    "`<script>hit()</script>`",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_writes_stays_text(page: Page, text: str) -> None:
    page.evaluate("() => { window.hits = 0; window.hit = () => hits++ }")
    page.evaluate(RENDER, [text, 5])
    allowed = {"A", "BLOCKQUOTE", "BR", "BUTTON", "CODE", "DEL", "DIV", "EM", "H3", "HR", "LI", "OL", "P", "PRE"}
    allowed |= {"SPAN", "STRONG", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL"}
    assert set(page.evaluate("[...document.body.querySelectorAll('*')].map((node) => node.tagName)")) <= allowed
    attributes = page.evaluate("[...document.body.querySelectorAll('*')].flatMap((node) => node.getAttributeNames())")
    assert set(attributes) <= {"class", "href", "rel", "role", "target", "tabindex", "type", "aria-label"}
    assert all(
        link.startswith(("https://", "http://"))
        for link in page.evaluate("[...document.body.querySelectorAll('a')].map((node) => node.href)")
    )
    assert page.evaluate("hits") == 0


@pytest.mark.parametrize(
    "piece",
    ["*", "**a ", "*a _b ", "a* ", "[", "](", "[a](b ", "> ", "- ", "`", "`` ` ", "|", "| - ", "~~a", "http://)", "\\"],
)
def test_hostile_repetition_is_only_text(page: Page, piece: str) -> None:
    """Nothing nests without end, and nothing is lost."""
    page.evaluate(RENDER, [piece * 10_000, 1_000_000])
    depth = page.evaluate("""() => {
        let most = 0;
        for (let node of document.body.querySelectorAll("*")) {
            let depth = 0;
            for (; node !== document.body; node = node.parentNode) depth++;
            most = Math.max(most, depth);
        }
        return most;
    }""")
    assert depth < 100
    letters = [letter for letter in piece if letter.isalpha()]
    shown = page.evaluate("document.body.textContent")
    assert all(shown.count(letter) >= 10_000 for letter in letters)
