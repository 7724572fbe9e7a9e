"""Promise: the pages of a served store work in a real browser, with programs and without.

Nothing is asked of another server, no policy is hurt, no error is told; what a store says is text.
Needs playwright and a browser of the Chromium family (`MGIT_BROWSER`, or in the path); each test
says why it is skipped where they are missing. `MGIT_SCREENSHOTS=FOLDER` keeps pictures.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Served, folder, safetensors, serve, tool

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

HOSTILE = '</script><img src=x onerror="window.hurt=1">\'&<b>'
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]


def browser_path() -> str | None:
    """The browser of this machine."""
    return os.environ.get("MGIT_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """A browser without a window."""
    path = browser_path()
    if path is None:
        pytest.skip("no browser of the Chromium family is installed")
    with playwright.sync_playwright() as engine:
        started = engine.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def model(value: int) -> bytes:
    """A file of two tensors, one of which is that of its parent."""
    same, own = bytes(64), bytes([value]) * 64
    return safetensors({"embed": ("F32", [4, 4], same), "head.weight": ("F32", [4, 4], own)})


def add(store: Path, at: Path, name: str, value: int, *more: object) -> None:
    """Adds a folder with a card."""
    source = folder(at / f"source-{value}", model(value), {"README.md": HOSTILE.encode()})
    tool("import", store, source, "--name", name, *more)


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Served]:
    """A store of five models, served."""
    store = tmp_path / "family.mgit"
    tool("init", store)
    add(store, tmp_path, "base", 1, "--kind", HOSTILE, "--meta", f"note={HOSTILE}")
    add(store, tmp_path, "team/sst2/tuned", 2, "--parent", "base")
    add(store, tmp_path, "team/mnli", 3, "--parent", "base", "--how", "prune")
    add(store, tmp_path, "last", 4, "--parent", "team/sst2/tuned")
    add(store, tmp_path, "base", 5)
    tool("tag", store, "best", "team/sst2/tuned")
    server = serve(store)
    yield server
    server.stop()


@dataclass
class Watched:
    """A page, and what it told and asked for."""

    page: playwright.Page
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def watch(browser: playwright.Browser, **settings: object) -> Watched:
    """A new page. A policy that is hurt is told on the console."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, **settings)
    watched = Watched(page)
    page.on("console", lambda message: watched.told.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: watched.told.append(f"error: {error}"))
    page.on("request", lambda request: watched.asked.append(request.url))
    return watched


def check(watched: Watched, endpoint: str) -> None:
    """All was well."""
    assert watched.told == []
    assert all(url.startswith(endpoint) for url in watched.asked), watched.asked
    assert watched.page.locator("img").count() == 0


def picture(page: playwright.Page, name: str) -> None:
    """Keeps a picture where somebody wants them."""
    if kept := os.environ.get("MGIT_SCREENSHOTS"):
        page.screenshot(path=Path(kept) / f"{name}.png")


def test_a_team_finds_a_model_and_its_parent(browser: playwright.Browser, shown: Served) -> None:
    watched = watch(browser)
    page = watched.page
    answer = page.goto(f"{shown.endpoint}/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page.wait_for_selector("html[data-ready=yes]")
    assert page.locator("#canvas .node").count() == 5
    picture(page, "family")

    # Searching: the hits are listed, Enter goes to the first.
    page.keyboard.press("/")
    page.keyboard.type("tuned")
    assert page.locator("#hits button").all_inner_texts() == ["team/sst2/tuned@1"]
    page.keyboard.press("Enter")
    assert page.locator("#panel h2").inner_text() == "team/sst2/tuned@1"
    assert page.locator("#panel .tag").inner_text() == "best"
    assert page.locator("#found").inner_text() == "1 of 1"
    assert page.locator(".node.chosen.hit").count() == 1
    assert page.url.endswith("#team%2Fsst2%2Ftuned%401")
    page.keyboard.press("Escape")

    # Colours by what is picked, with a legend.
    for way in ["kind", "size", "age", "how", "tests", "first", "depth"]:
        page.select_option("#colours", way)
        assert page.locator("#legend button").count() > 0, way
    assert page.locator("#legend").inner_text().split("\n")[0].startswith("0 (1)")

    # The list, sorted by its heads.
    page.click("#to-list")
    page.click("#list th:first-child")
    names = page.locator("#list tbody td:first-child").all_inner_texts()
    assert names == ["base", "last", "team/mnli", "team/sst2/tuned"]
    page.click("#to-picture")

    # The model's page, and from there to its parent.
    page.click("#panel .open")
    page.wait_for_selector("html[data-ready=yes]")
    assert page.locator("main h2").inner_text() == "team/sst2/tuned@1"
    assert "hf download team/sst2.tuned --revision 1" in page.locator("#get").inner_text()
    assert page.locator("#changes .told").inner_text() == (
        "1 layer changed, 0 added, 0 removed, 1 the same; 1 tensor differs"
    )
    assert HOSTILE in page.locator("#card pre").inner_text()
    page.fill("#tensors input", "head")
    assert page.locator("#all-tensors tbody tr:visible").count() == 1
    assert page.locator(".ways .copy").count() == 5
    picture(page, "model")
    page.click("#lineage a >> text=base@1")
    page.wait_for_selector("html[data-ready=yes]")
    assert page.locator("main h2").inner_text() == "base@1"
    assert HOSTILE in page.locator("#facts").inner_text()

    # Back in the picture, with the model that was looked at.
    page.click("nav >> text=In the picture")
    page.wait_for_selector("html[data-ready=yes]")
    assert page.locator("#panel h2").inner_text() == "base@1"
    assert page.evaluate("typeof window.hurt") == "undefined"
    check(watched, shown.endpoint)
    page.close()


def test_a_file_that_is_linked_is_the_file(browser: playwright.Browser, shown: Served) -> None:
    watched = watch(browser)
    page = watched.page
    page.goto(f"{shown.endpoint}/last")
    with page.expect_download() as download:
        page.click("#files a >> text=model.safetensors")
    assert Path(download.value.path()).read_bytes() == model(4)
    page.close()


def test_a_new_commit_is_offered_and_drawn(
    browser: playwright.Browser, shown: Served, tmp_path: Path
) -> None:
    watched = watch(browser)
    page = watched.page
    page.goto(f"{shown.endpoint}/#last%401")
    page.wait_for_selector("#panel h2")
    add(shown.store, tmp_path, "newer", 6, "--parent", "last")
    page.click("#news button", timeout=30_000)
    page.wait_for_selector("#news", state="hidden")
    assert page.locator("#canvas .node").count() == 6
    # What was chosen still is.
    assert page.locator("#panel h2").inner_text() == "last@1"
    assert page.locator(".node.chosen").get_attribute("aria-label") == "last@1"
    check(watched, shown.endpoint)
    page.close()


def test_all_of_it_can_be_read_without_programs(browser: playwright.Browser, shown: Served) -> None:
    watched = watch(browser, java_script_enabled=False)
    page = watched.page
    page.goto(f"{shown.endpoint}/")
    assert page.locator("#canvas .node").count() == 5
    assert page.locator("#search").is_hidden()
    page.click("#list a >> text=team/mnli")
    assert page.locator("main h2").inner_text() == "team/mnli@1"
    page.fill("#tensors input", "head")
    page.click("#tensors button")
    assert re.search(r"[?&]find=head", page.url)
    assert page.locator("#all-tensors tbody tr").count() == 1
    page.click("#lineage a >> text=base@1")
    assert page.locator("main h2").inner_text() == "base@1"
    page.click("header h1 a")
    node = page.locator("#canvas a.node[href$='/last/tree/1']")
    node.click()
    assert page.locator("main h2").inner_text() == "last@1"
    check(watched, shown.endpoint)
    page.close()
