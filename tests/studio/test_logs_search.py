"""What is looked for in logs that still grow, and in files whose lines have no times, as a person sees it."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.collector.node import Node
from tests.collector_process import CollectorProcess
from tests.studio.browsing import Browsing, needs_browser
from tests.studio.test_logs import lines


@needs_browser
@pytest.mark.row("C5")
def test_a_line_that_was_found_is_shown_and_stays_while_a_log_grows(browsing: Browsing, collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    sent = b"".join(b"line %d\n" % n for n in range(500))
    node.send(stream, 0, sent)
    node.put_state("Running", started_ns=time.time_ns())
    with browsing.page(f"/runs/{node.run_id}/logs?q=line+(205|405|495)&regex=1") as page:
        follow = page.get_by_role("button", name="Follow")
        expect(follow).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".steps").get_by_role("status")).to_have_text("3 found")
        # above the rows that are on the page, above what is in sight, and in sight
        for n in (205, 405, 495):
            page.get_by_role("button", name="Next line that was found").click()
            expect(lines(page).get_by_text(f"line {n}")).to_be_in_viewport()
            expect(follow).to_have_attribute("aria-pressed", "false")
        node.send(stream, len(sent), b"nobody looks at this\n" * 300)
        expect(page.get_by_text("10 KiB").first).to_be_visible()
        expect(lines(page).get_by_text("line 495")).to_be_in_viewport()
        expect(follow).to_have_attribute("aria-pressed", "false")
