"""A real Chromium in front of a real collector, for the tests of the web page.

`Browsing` logs in as a person does and gives out pages. Whatever page a test opens, at its end it is held against what holds
for all of them: no request went to another host, and nothing failed in the browser's console.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect

from tests.collector_process import CollectorProcess

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = ROOT / ".cache" / "screenshots"
AXE = ROOT / "studio" / "node_modules" / "axe-core" / "axe.min.js"
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
LIMIT_S = 15.0
# How pages are looked at by those that check what holds for everyone: both themes, a wide screen and a narrow one.
LOOKS = (("light", 1280), ("dark", 400))

expect.set_options(timeout=LIMIT_S * 1000)


def needs_browser(test: Any) -> Any:
    """Marks a test that looks at the page with Chromium."""
    marked = pytest.mark.needs_system("chromium")(test)
    is_there = CHROMIUM.exists() and AXE.exists() and (ROOT / "collector" / "static" / "index.html").exists()
    return pytest.mark.skipif(not is_there, reason="there is no Chromium, or Studio is not built; `make studio` builds it")(
        marked
    )


def launch(playwright: Playwright) -> Browser:
    """The browser; the caller closes it."""
    return playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=_FLAGS)


class Browsing:
    """One person's browser, logged in at one collector."""

    def __init__(self, browser: Browser, collector: CollectorProcess) -> None:
        self.browser = browser
        self.collector = collector
        self.foreign: list[str] = []
        self.complaints: list[str] = []

    @contextmanager
    def page(self, path: str = "/", *, theme: str = "light", width: int = 1280, height: int = 860) -> Iterator[Page]:
        """A page of a new browser that has logged in, at `path`."""
        with self.context(theme=theme, width=width, height=height) as context:
            code = self.collector.client().json("POST", "/session-codes")["code"]
            page = context.new_page()
            page.goto(f"{self.collector.url}/login#code={code}")
            page.get_by_role("navigation", name="Main").wait_for()
            page.goto(self.collector.url + path)
            yield page

    @contextmanager
    def context(self, *, theme: str = "light", width: int = 1280, height: int = 860) -> Iterator[BrowserContext]:
        """A new browser without cookies, whose requests and complaints are kept."""
        scheme: Any = theme
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="Europe/Berlin", locale="en-GB"
        )
        context.on("request", lambda request: self._look_at(request.url))
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        try:
            yield context
        finally:
            context.close()

    def check(self) -> None:
        """Nothing went elsewhere, and nothing failed."""
        assert self.foreign == []
        assert self.complaints == []

    def _look_at(self, url: str) -> None:
        if not url.startswith((self.collector.url, "data:", "blob:")):
            self.foreign.append(url)

    def _hear(self, message: ConsoleMessage) -> None:
        # A refused request is told by the page; the browser's line about it says nothing more.
        if message.type == "error" and not re.match(r"Failed to load resource", message.text):
            self.complaints.append(message.text)


def shoot(page: Page, name: str) -> Path:
    """A screenshot for people to look at, in .cache/screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=str(path))
    return path


def faults_of_access(page: Page, within: str = "body") -> list[str]:
    """What axe finds that is serious or critical in the first element of that CSS selector: one line each."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        "(within) => axe.run(within === 'body' ? document : document.querySelector(within), {resultTypes: ['violations']})",
        within,
    )
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
