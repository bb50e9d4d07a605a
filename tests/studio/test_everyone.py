"""What holds for every page, whoever looks at it: by keyboard, by screen reader, in the dark, on a narrow screen, from afar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.agent_process import CLUSTER, running_agent
from tests.collector_process import CollectorProcess
from tests.studio import run_scenes
from tests.studio.browsing import LOOKS, Browsing, faults_of_access, needs_browser, shoot

FAILED, WELL, MEASURED, SWEEP, CROWD = "one-of-four-fails", "all-went-well", "it-was-measured", "a-sweep", "a-crowd"
# Address and title of each page; "{node}" is the one node of the cluster.
PAGES = (
    ("/runs", "Runs · Runyard"),
    ("/experiments", "Experiments · Runyard"),
    ("/experiments/sweeps", "sweeps · Experiments · Runyard"),
    (f"/runs/{FAILED}", f"{FAILED} · Runs · Runyard"),
    (f"/runs/{FAILED}/logs", f"logs · {FAILED} · Runs · Runyard"),
    (f"/runs/{FAILED}/processes", f"processes · {FAILED} · Runs · Runyard"),
    (f"/runs/{SWEEP}_3/metrics", f"metrics · {SWEEP}_3 · Runs · Runyard"),
    (f"/runs/{MEASURED}/monitoring", f"monitoring · {MEASURED} · Runs · Runyard"),
    (f"/runs/{SWEEP}/children", f"children · {SWEEP} · Runs · Runyard"),
    (f"/runs/{CROWD}", f"{CROWD} · Runs · Runyard"),
    (f"/runs/{WELL}", f"{WELL} · Runs · Runyard"),
    (f"/compare?run={SWEEP}_1&run={SWEEP}_2", "Compare · Runyard"),
    ("/compute", "Compute · Runyard"),
    (f"/compute/{CLUSTER}", f"{CLUSTER} · Compute · Runyard"),
    (f"/compute/{CLUSTER}/{{node}}", f"{{node}} · {CLUSTER} · Compute · Runyard"),
    ("/new", "New run · Runyard"),
    ("/runs/there-is-none", "there-is-none · Runs · Runyard"),
)
STOPS = 25  # of the Tab key, from the top of the page
MOST_SHIFT = 0.1  # what the makers of browsers call good
SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  const add = (one) => { if (!one.hadRecentInput) sum += one.value; };
  const watcher = new PerformanceObserver((list) => list.getEntries().forEach(add));
  watcher.observe({type: "layout-shift", buffered: true});
  setTimeout(() => resolve(sum), 300);
})"""
# The element that has the focus, or the cell that it stands for: how it is called, and whether one sees that it has it.
FOCUS = """() => {
  const focused = document.activeElement;
  const element = document.getElementById(focused.getAttribute("aria-activedescendant") ?? "") ?? focused;
  const is_marked = (one) => {
    const style = getComputedStyle(one);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  };
  const is_seen = element.closest("label") ? [element, element.closest("label")].some(is_marked) : is_marked(element);
  return [focused === document.body, is_seen || is_marked(focused), element.outerHTML.slice(0, 120)];
}"""


@pytest.fixture(scope="module")
def node(collector: CollectorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node of a cluster, and all the runs that the pages are about."""
    folder = tmp_path_factory.mktemp("everyone")
    run_scenes.failed(collector, folder)
    run_scenes.completed(collector, folder)
    run_scenes.measured(collector)
    run_scenes.sweep(collector)
    run_scenes.crowd(collector, nodes=2, ranks=16)
    with running_agent(folder / "agent", collector) as agent:
        yield agent.node_id


def settled(page: Page) -> None:
    """Waits until the page shows what it is about."""
    expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
    expect(page.locator("main .booting, main [aria-busy=true]")).to_have_count(0)


def overhang(page: Page) -> Any:
    """By how many pixels the page is wider than the window, and what is."""
    return page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth, over = document.documentElement.scrollWidth - wide;
          const is_cut = (one) => one && (getComputedStyle(one).overflowX !== "visible" || is_cut(one.parentElement));
          const sticks_out = (one) => one.getBoundingClientRect().right > wide + 1 && !is_cut(one.parentElement);
          const found = over > 0 ? [...document.querySelectorAll("body *")].filter(sticks_out) : [];
          return [Math.max(0, over), found.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))];
        }"""
    )


def unseen_focus(page: Page) -> list[str]:
    """What the Tab key comes to without that one sees it."""
    unseen = []
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        is_over, is_seen, what = page.evaluate(FOCUS)
        if is_over:
            break
        unseen += [] if is_seen else [what]
    return unseen


@needs_browser
@pytest.mark.parametrize(("path", "title"), PAGES, ids=[path for path, _ in PAGES])
def test_everyone_can_use_the_page(browsing: Browsing, node: str, path: str, title: str) -> None:
    faults: list[object] = []
    with browsing.page(path.format(node=node)) as page:
        settled(page)
        expect(page).to_have_title(title.format(node=node))
        shift = page.evaluate(SHIFT)
        faults += [("the layout jumps by", shift)] if shift > MOST_SHIFT else []
        faults += [("one does not see the focus on", what) for what in unseen_focus(page)]
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        name = "everyone-" + path.strip("/").replace("/", "-").replace("{node}", "node").partition("?")[0]
        for theme, width in LOOKS:
            scheme: Any = theme
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 860})
            settled(page)
            shoot(page, f"{name}-{theme}-{width}")
            faults += [(theme, width, fault) for fault in faults_of_access(page)]
            over, what = overhang(page)
            faults += [(theme, width, f"{over} px too wide", what)] if over else []
    assert faults == []


@needs_browser
def test_no_page_has_to_be_loaded_anew_after_the_collector_was_away(
    browser: Any, collector_of_its_own: CollectorProcess, tmp_path: Path
) -> None:
    collector = collector_of_its_own
    run_scenes.sweep(collector)
    person = Browsing(browser, collector)
    with person.page("/runs") as page:
        settled(page)
        page.evaluate("window.isStillThisOne = true")
        collector.kill()
        expect(page.get_by_text("not reachable")).to_be_visible()
        page.get_by_role("link", name="Compute").click()
        page.get_by_role("link", name="Runs", exact=True).click()
        collector.restart()
        expect(page.get_by_text("not reachable")).to_have_count(0)
        expect(page.get_by_text("Learning rates").first).to_be_visible()
        for name, heading in (("Experiments", "Experiments"), ("Compute", "Compute")):
            page.get_by_role("link", name=name, exact=True).click()
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        assert page.evaluate("window.isStillThisOne") is True
    person.check()
