"""Several tabs of one browser, which share its few connections to the collector."""

from __future__ import annotations

import time

from playwright.sync_api import Locator, Page, expect

from tests.collector.node import Node
from tests.studio.browsing import Browsing, needs_browser

MOST_CONNECTIONS = 6  # of a browser to one host, by HTTP/1.1
TURN = """(isHidden) => {
  Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
  Object.defineProperty(document, "visibilityState", {value: isHidden ? "hidden" : "visible", configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def lines(page: Page) -> Locator:
    return page.get_by_role("region", name="Lines of the file")


@needs_browser
def test_tabs_with_live_logs_that_nobody_looks_at_leave_the_collector_to_the_others_and_go_on_when_looked_at(
    browsing: Browsing,
) -> None:
    node = Node(browsing.collector, run_id="many-tabs")
    stream = node.open_one()
    begun, meanwhile = b"the training has begun\n", b"written meanwhile\n"
    node.send(stream, 0, begun)
    node.put_state("Running", started_ns=time.time_ns())
    path = f"/runs/{node.run_id}/logs"
    with browsing.page(path) as first:
        tabs = [first]
        while True:
            expect(tabs[-1].get_by_text("Live", exact=True)).to_be_visible()
            expect(lines(tabs[-1]).get_by_text("the training has begun")).to_be_visible()
            if len(tabs) > MOST_CONNECTIONS:
                break
            tabs[-1].evaluate(TURN, True)  # headless, every tab is a visible one
            tabs.append(first.context.new_page())
            tabs[-1].goto(browsing.collector.url + path)
        node.send(stream, len(begun), meanwhile)
        expect(lines(tabs[-1]).get_by_text("written meanwhile")).to_be_visible()
        expect(lines(first).get_by_text("written meanwhile")).to_have_count(0)
        first.evaluate(TURN, False)
        expect(lines(first).get_by_text("written meanwhile")).to_be_visible()
        node.send(stream, len(begun + meanwhile), b"and goes on\n")
        expect(lines(first).get_by_text("and goes on")).to_be_visible()
