"""What is looked for in logs that still grow, and in files whose lines have no times, as a person sees it."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from runyard import timeindex
from tests.collector.node import LOG, Node
from tests.collector_process import CollectorProcess
from tests.studio.browsing import Browsing, needs_browser
from tests.studio.test_logs import lines

# What a browser does when one turns to another tab, and back.
SET_HIDDEN = """(isHidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def found(page: Page) -> Locator:
    return page.get_by_role("region", name="Lines that were found")


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


@needs_browser
@pytest.mark.row("C5")
def test_a_choice_of_lines_of_a_growing_log_says_how_far_it_goes_and_can_go_on(
    browsing: Browsing, collector: CollectorProcess
) -> None:
    node = Node(collector)
    stream = node.open_one()
    sent = b"fine\n" * 500
    node.send(stream, 0, sent)
    node.put_state("Running", started_ns=time.time_ns())
    with browsing.page(f"/runs/{node.run_id}/logs?level=error&only=1") as page:
        expect(found(page)).to_have_text("No line of this file is such a line.")
        node.send(stream, len(sent), b"ERROR it broke\n")
        expect(found(page)).to_have_text("No line of the first 2.4 KiB is such a line; more has been written since.")
        page.get_by_role("button", name="Search again").click()
        expect(found(page)).to_contain_text("ERROR it broke")
        expect(page.get_by_role("button", name="Search again")).to_have_count(0)


@needs_browser
@pytest.mark.row("C5")
def test_lines_from_a_moment_on_are_of_that_moment_for_whoever_opens_the_link(
    browsing: Browsing, collector: CollectorProcess
) -> None:
    node = Node(collector)
    moment_ms = 1767600000000  # 2026-01-05 08:00:00 UTC, 09:00:00 in the browser's time zone
    data = b"before\nafter\n"
    node.send(node.open_one(), 0, data)
    ends = ((7, moment_ms - 1000), (13, moment_ms + 1000))
    index = b"".join(timeindex.pack(end, ms * 10**6, ms * 10**6, timeindex.STDOUT) for end, ms in ends)
    node.send(node.open_one(f".runyard/index/{LOG}.idx"), 0, index)
    node.send(node.open_one("logs/without_times.txt"), 0, data)
    with browsing.page(f"/runs/{node.run_id}/logs?file={LOG}") as page:
        page.get_by_text("Filters").click()
        page.get_by_label("From", exact=True).fill("2026-01-05T09:00:00")
        expect(found(page).locator(".text")).to_have_text(["after"])
        assert f"since={moment_ms}" in page.url
        address = page.url
    with browsing.page(address.removeprefix(browsing.collector.url)) as other:
        expect(other.get_by_label("From", exact=True)).to_have_value("2026-01-05T09:00")
        expect(found(other).locator(".text")).to_have_text(["after"])
        other.get_by_role("link", name="without_times.txt").click()
        expect(found(other)).to_contain_text("The lines of this file have no times")
        other.get_by_label("Search in").select_option("in all files")
        results = other.get_by_role("complementary", name="Results")
        expect(results.get_by_role("status")).to_have_text(
            "1 line in 1 file; the lines of 1 file have no times, so it was passed over"
        )


@needs_browser
@pytest.mark.row("C5")
def test_times_are_told_when_the_index_could_not_be_read_at_first(browsing: Browsing, collector: CollectorProcess) -> None:
    node = Node(collector)
    data = b"a line\n"
    stream = node.open_one()
    node.send(stream, 0, data)
    index = timeindex.pack(len(data), 1767600000 * 10**9, 0, timeindex.STDERR)
    node.send(node.open_one(f".runyard/index/{LOG}.idx"), 0, index)
    with browsing.page() as page:
        failed: list[str] = []

        def fail(route: Route) -> None:
            failed.append(route.request.url)
            route.fulfill(status=503, json={"code": "busy", "detail": "try again"})

        page.route(re.compile(r"/\.runyard/index/"), fail, times=1)
        page.goto(f"{collector.url}/runs/{node.run_id}/logs?file={LOG}&times=1")
        expect(lines(page).locator(".when")).to_have_text("09:00:00.000")
        assert len(failed) == 1


@needs_browser
@pytest.mark.row("C5")
def test_a_file_that_was_written_anew_and_longer_while_nobody_looked_is_shown_as_it_is(
    browsing: Browsing, collector: CollectorProcess
) -> None:
    node = Node(collector)
    name = "logs/notes.txt"
    node.send(node.open_one(name), 0, b"".join(b"old %d\n" % n for n in range(20)))
    node.put_state("Running", started_ns=time.time_ns())
    with browsing.page(f"/runs/{node.run_id}/logs?file={name}") as page:
        expect(lines(page)).to_contain_text("old 19")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        page.evaluate(SET_HIDDEN, True)
        node.send(node.open_one(name, generation=1), 0, b"".join(b"new %d\n" % n for n in range(60)))
        page.evaluate(SET_HIDDEN, False)
        expect(lines(page)).to_contain_text("new 59")
        expect(lines(page).locator(".text")).to_have_text([f"new {n}" for n in range(60)])
