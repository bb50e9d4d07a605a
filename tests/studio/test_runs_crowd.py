"""100,000 runs in the table: the first rows at once, the last ones as soon, and never more in the page than what is seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.collector_process import CollectorProcess, running_collector
from tests.studio import crowd, table_scenes
from tests.studio.browsing import Browsing, needs_browser, shoot
from tests.studio.conftest import BUILT

pytestmark = pytest.mark.timeout(300)
COUNT = 100_000
# Loose: the machines that tests run on are busy. The bars are those of `make bench-studio`.
FIRST_ROWS_LIMIT_MS = 10_000
MOST_ROWS_IN_PAGE = 120
_WATCH = """
window.frames = []; window.longest = 0;
let before = performance.now();
(function frame(now) { window.frames.push(now - before); before = now; requestAnimationFrame(frame); })(before);
new PerformanceObserver(list => list.getEntries().forEach(one => window.longest = Math.max(window.longest, one.duration)))
  .observe({type: 'longtask'});
new MutationObserver(() => {
  if (!window.firstRows && document.querySelector('[role="row"][aria-rowindex="2"] a')) window.firstRows = performance.now();
}).observe(document, {childList: true, subtree: true});
"""
_SCROLL = """
async (steps) => {
  const grid = document.querySelector('[role="treegrid"]');
  window.frames.length = 0; window.longest = 0;
  for (let step = 0; step < steps; step += 1) {
    grid.scrollTop += step % 40 === 39 ? 40000 : 180;
    await new Promise(requestAnimationFrame);
  }
  const sorted = [...window.frames].sort((a, b) => a - b);
  return {median_ms: sorted[sorted.length >> 1], longest_frame_ms: sorted.at(-1), longest_task_ms: window.longest};
}
"""

# The table hears of it with the next frame.
_SCROLL_TO = """
async (grid, share) => {
  grid.scrollTop = grid.scrollHeight * share;
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
}
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that has them from its start."""
    folder = tmp_path_factory.mktemp("crowd")
    crowd.fill(folder / "collector", COUNT)
    with running_collector(folder, environ=BUILT) as process:
        yield process


def in_page(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('[role=\"row\"]').length"))


def expect_right(page: Page) -> None:
    """Each row that is seen is the one that belongs there."""
    expect(page.locator('[role="row"][aria-busy]')).to_have_count(0)
    script = "all => all.map(one => [+one.ariaRowIndex, one.querySelector('a')?.textContent])"
    shown = page.get_by_role("row").filter(has=page.get_by_role("gridcell")).evaluate_all(script)
    assert shown
    assert shown == [[row, crowd.name_of(COUNT + 1 - row)] for row, _ in shown]


@needs_browser
@pytest.mark.row("C1")
def test_a_hundred_thousand_runs_are_scrolled_without_paging(browsing: Browsing) -> None:
    with browsing.context() as context:
        context.add_init_script(_WATCH)
        page = context.new_page()
        code = browsing.collector.client().json("POST", "/session-codes")["code"]
        page.goto(f"{browsing.collector.url}/login#code={code}")
        page.get_by_role("navigation", name="Main").wait_for()
        page.goto(f"{browsing.collector.url}/runs")
        expect(page.get_by_text("100,000 runs")).to_be_visible()
        first_rows_ms = page.evaluate("window.firstRows")
        assert first_rows_ms < FIRST_ROWS_LIMIT_MS
        expect_right(page)
        grid = page.get_by_role("treegrid")
        assert grid.get_attribute("aria-rowcount") == str(COUNT + 1)
        measured = page.evaluate(_SCROLL, 240)
        print(json.dumps({"first_rows_ms": first_rows_ms} | measured))
        expect_right(page)
        for share in (0.5, 0.123, 0.987):
            grid.evaluate(_SCROLL_TO, share)
            expect_right(page)
            assert in_page(page) < MOST_ROWS_IN_PAGE
        grid.focus()
        page.keyboard.press("Control+End")
        expect(page.get_by_role("row", name=crowd.name_of(0))).to_be_visible()
        expect_right(page)
        assert in_page(page) < MOST_ROWS_IN_PAGE
        shoot(page, "runs_crowd_end")


@needs_browser
@pytest.mark.row("C1")
def test_what_one_reads_stays_where_it_is_while_runs_come(browsing: Browsing) -> None:
    with browsing.page("/runs") as page:
        grid = page.get_by_role("treegrid")
        expect(page.get_by_text(re.compile("^100,00[0-9] runs"))).to_be_visible()
        grid.evaluate("one => { one.scrollTop = 32 * 5000; }")
        name = crowd.name_of(COUNT - 1 - 5003)
        row = page.get_by_role("row", name=name)
        expect(row).to_be_visible()
        before, index = row.bounding_box(), row.get_attribute("aria-rowindex")
        table_scenes.training(browsing.collector, "a new one", ago_s=0)
        expect(row).not_to_have_attribute("aria-rowindex", index or "")
        assert row.bounding_box() == before
        grid.evaluate("one => { one.scrollTop = 0; }")
        expect(page.get_by_role("row", name="a new one")).to_be_visible()


@needs_browser
@pytest.mark.row("C3")
def test_a_hundred_thousand_runs_are_sorted_by_a_metric(browsing: Browsing) -> None:
    with browsing.page("/runs?columns=name,m.loss.last&sort=m.loss.last&filter=experiment%20!%3D%20'mnist'") as page:
        best = min(range(COUNT), key=crowd.loss_of)
        worst = max(range(COUNT), key=crowd.loss_of)
        expect(page.locator('[role="row"][aria-rowindex="2"]')).to_contain_text(crowd.name_of(best))
        page.get_by_role("treegrid").focus()
        page.keyboard.press("Control+End")
        expect(page.locator(f'[role="row"][aria-rowindex="{COUNT + 1}"]')).to_contain_text(crowd.name_of(worst))
