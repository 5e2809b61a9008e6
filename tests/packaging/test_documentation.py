"""The documentation's site: what its links are held to, and that it is read without a network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docsite.links import problems

from gpt4all import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

pytest.importorskip("zensical", reason="needs zensical (extra docs)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``scripts/dev docs`` builds it, of a copy: a build writes into its folder."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "gpt4all", "scripts/docsite"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("lib", "__pycache__"))
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "docs"


def _linked(entries: list[Any]) -> list[str]:
    """The pages of a navigation, those of its sections too."""
    pages: list[str] = []
    for entry in entries:
        for value in entry.values():
            pages += _linked(value) if isinstance(value, list) else [value]
    return pages


def test_every_page_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    there = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(_linked(config["project"]["nav"])) == there


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_repository_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            text = (ROOT / path).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert not anchor or anchor in [re.sub(r"[^\w-]", "", line.lower().replace(" ", "-")) for line in headings]


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_a_section(name: str) -> None:
    """Under the address that its note has."""
    more = (9, 8, 7) if name == "ContextWindowExceededError" else ("what happened",)
    error = getattr(errors, name)(*more)
    assert "\n" not in str(error)
    (note,) = error.__notes__
    page, _, anchor = note.rpartition("#")
    assert page.endswith("/docs/troubleshooting.md")
    headings = re.findall(r"^### (\w+)$", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings


@pytest.mark.slow
def test_links_lead_somewhere(site: Path) -> None:
    assert len(list(site.glob("*.html"))) > 3
    assert problems(site) == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_read_and_searched_from_a_disk(site: Path, browser: Browser, dark: bool) -> None:
    context = browser.new_context(color_scheme="dark" if dark else "light", offline=True)
    page = context.new_page()
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.get_by_role("button", name="Search").first.click()
    page.get_by_role("combobox").fill("ContextWindowExceededError")
    page.get_by_role("option", name="ContextWindowExceededError").first.click()
    page.wait_for_url("**/troubleshooting.html*#contextwindowexceedederror")
    assert page.url.startswith(site.as_uri())
    assert failed == []
    assert [address for address in asked if not address.startswith(("file:", "about:", "data:"))] == []
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index", "structured-output", "reference"])
@pytest.mark.parametrize("dark", [False, True])
def test_no_barrier(site: Path, browser: Browser, dark: bool, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (extra dev)")
    page = browser.new_page(color_scheme="dark" if dark else "light")
    page.goto((site / f"{name}.html").as_uri())
    found = axe.Axe().run(page).response["violations"]
    # The theme gives each button that copies a landmark of its own.
    assert [kind["id"] for kind in found if kind["id"] != "landmark-unique"] == []
    page.close()


def test_what_is_wrong_with_links(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there"></a><a href="b.html#gone"></a><a href="c.html"></a>')
    (tmp_path / "b.html").write_text('<h1 id="there"></h1><a href="https://example.org"></a><a href="#"></a>')
    (tmp_path / "d.html").write_text('<script src="https://example.org/x.js"></script><img src="e.png">')
    assert problems(tmp_path) == [
        "a.html: b.html#gone has no such place",
        "a.html: there is no c.html",
        "d.html: fetches https://example.org/x.js",
        "d.html: there is no e.png",
    ]
