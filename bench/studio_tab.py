"""A tab of a real Chromium that has logged in, and what the browser's own performance timeline says of it.

Reads from the browser; writes nothing. What a person waits to see is given as a JavaScript expression; the moment at which it
has been painted becomes a mark on that timeline.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from tests.studio.browsing import launch

LIMIT_S = 60.0
# Runs in each document before the page does. A click or key that is to be timed begins where the browser has received it.
_WATCH = """
  window.bench = {frames: [], shift: 0, paint: 0, begun: 0, seen: null};
  const told = (type, take) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({type, buffered: true});
  told("long-animation-frame", (entry) => bench.frames.push([entry.startTime, entry.duration]));
  told("layout-shift", (entry) => { if (!entry.hadRecentInput) bench.shift += entry.value; });
  told("largest-contentful-paint", (entry) => { bench.paint = entry.startTime; });
  for (const kind of ["click", "keydown"]) addEventListener(kind, (event) => { bench.begun = event.timeStamp; }, true);
  bench.await = (is_there) => {
    const look = () => {
      if (!is_there()) return;
      watcher.disconnect();
      // The frame that shows it, and then what comes after it.
      requestAnimationFrame(() => setTimeout(() => { bench.seen = performance.mark("seen").startTime; }));
    };
    bench.seen = null;
    const watcher = new MutationObserver(look);
    watcher.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
    look();
  };
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """How a page came to be: milliseconds since the navigation began, but for `shift`, the sum of its layouts' jumps."""

    seen_ms: float
    first_paint_ms: float
    largest_paint_ms: float
    shift: float
    compressed_bytes: int
    cpu_ms: float  # of the tab's process and the collector until it was seen: holds on a machine that others use, too


class Tab:
    """One tab. `Tab.page` is Playwright's."""

    def __init__(self, browser: Browser, url: str, collector_pid: int, page: Page) -> None:
        self._browser, self._url, self.page = browser, url, page
        self._collector = psutil.Process(collector_pid)
        self._session = page.context.new_cdp_session(page)
        self._session.send("Page.enable")

    def visit(self, path: str, is_there: str) -> Visit:
        """Goes to an address as if it were typed, and waits until that is seen."""
        script = {"source": f"{{{_WATCH} bench.await(() => {is_there});}}"}
        cpu_s = self._all_cpu_s()
        added = self._session.send("Page.addScriptToEvaluateOnNewDocument", script)
        self.page.goto(self._url + path)
        self._session.send("Page.removeScriptToEvaluateOnNewDocument", added)
        seen_ms = self._seen()
        cpu_s = self._all_cpu_s() - cpu_s
        self.page.wait_for_timeout(500)  # largest paint and layout shifts are told later
        told: Any = self.page.evaluate(
            """() => ({
              paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
              largest: bench.paint,
              shift: bench.shift,
              files: [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
                .filter((entry) => !entry.name.includes("/api/")).map((entry) => entry.encodedBodySize),
            })"""
        )
        return Visit(seen_ms, told["paint"], told["largest"], told["shift"], sum(told["files"]), cpu_s * 1000)

    def expect(self, is_there: str) -> None:
        """From now on that is waited for; `elapsed_ms` says how long it took after the next click or key."""
        self.page.evaluate(f"bench.await(() => {is_there})")

    def elapsed_ms(self) -> float:
        """From the last click or key until what was expected has been painted."""
        seen_ms = self._seen()
        return seen_ms - float(self.page.evaluate("bench.begun"))

    def longest_frame_ms(self, since_ms: float) -> float:
        """Of the frames since then those of more than 50 ms are known to the browser; 50 where there was none."""
        frames: Any = self.page.evaluate("bench.frames")
        return max([float(took) for at, took in frames if at >= since_ms], default=50.0)

    def now_ms(self) -> float:
        """The timeline's now."""
        return float(self.page.evaluate("performance.now()"))

    def cpu_s(self) -> float:
        """CPU time that the tab's process has taken, as the browser counts it."""
        return float(self._renderer()["cpuTime"])

    def _all_cpu_s(self) -> float:
        times = self._collector.cpu_times()
        return self.cpu_s() + times.user + times.system

    def memory_bytes(self) -> int:
        """Memory that is the tab's process's alone."""
        return int(psutil.Process(self._renderer()["id"]).memory_full_info().uss)

    def _renderer(self) -> Any:
        """The process that shows the page: of those of the browser the one that has done most."""
        session = self._browser.new_browser_cdp_session()
        try:
            told: Any = session.send("SystemInfo.getProcessInfo")
        finally:
            session.detach()
        return max((one for one in told["processInfo"] if one["type"] == "renderer"), key=lambda one: one["cpuTime"])

    def _seen(self) -> float:
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            seen: Any = self.page.evaluate("window.bench?.seen ?? null")
            if seen is not None:
                return float(seen)
            self.page.wait_for_timeout(20)
        shown = self.page.inner_text("body")[:800]
        raise AssertionError(f"{self.page.url} has not shown what is waited for within {LIMIT_S:.0f} s, but: {shown}")


@contextmanager
def open_tab(url: str, code: str, collector_pid: int, *, width: int = 1280, height: int = 860) -> Iterator[Tab]:
    """A browser of its own with one tab that has logged in by `code`, and holds nothing of the page yet but that."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"{url}/login#code={code}")
            page.get_by_role("navigation", name="Main").wait_for()
            yield Tab(browser, url, collector_pid, page)
        finally:
            browser.close()
