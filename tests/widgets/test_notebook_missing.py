"""What the widget in a notebook shows where something is missing: its kernel, bytes of a log, a run's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.collector.node import Node, gap_frame
from tests.collector.removed import WHY, forgetful_collector, removed_run
from tests.sdk.lab import Lab
from tests.studio.browsing import shoot
from tests.widgets.jupyter_site import JupyterSite
from tests.widgets.test_notebook import SHOW, child, log, opened
from tests.widgets.test_notebook import pytestmark as pytestmark


@pytest.mark.row("B2")
def test_a_click_that_no_kernel_answers_costs_nothing_of_the_last_state(
    browser: Browser, jupyter_site: JupyterSite, site: Lab
) -> None:
    parent = site.experiment.start_logging(name="search")
    for number in range(2):
        child(parent, number)
    parent.complete()
    with opened(browser, jupyter_site, "over.ipynb", [SHOW.format(run_id=parent.id)]) as (notebook, widget):
        expect(widget.get_by_text("Completed", exact=True).first).to_be_visible()
        expect(widget.get_by_role("grid", name="Children")).to_have_attribute("aria-rowcount", "3")
        notebook.save()
    jupyter_site.end_kernels()
    with jupyter_site.open(browser, "over.ipynb") as notebook:
        widget = notebook.widget(0)
        widget.get_by_role("link", name="trial 1", exact=True).click()
        expect(widget.get_by_text(f"Opening run {parent.id}_1")).to_be_visible()
        expect(widget.get_by_text("The notebook's kernel has not answered for")).to_be_visible(timeout=20_000)
        expect(widget.get_by_text("This is how the run was on")).to_be_visible()
        expect(widget.get_by_role("heading", name="search")).to_be_visible()
        expect(widget.get_by_role("grid", name="Children")).to_have_attribute("aria-rowcount", "3")
        shoot(notebook.page, "notebook_unanswered")


def test_what_is_missing_of_a_log_is_seen(browser: Browser, jupyter_site: JupyterSite, site: Lab, tmp_path: Path) -> None:
    node = Node(site.collector, experiment="digits")
    stream = node.open_one()
    node.send(stream, 0, b"before\nhalf of")
    node.ingest(gap_frame(stream, 14, 4110))
    node.send(stream, 4110, b" a line\nbehind\n")
    with forgetful_collector(tmp_path) as forgetful:
        gone = removed_run(forgetful, experiment="digits")
        elsewhere = (
            f"import os\nos.environ |= {{'RUNYARD_COLLECTOR_URL': {forgetful.url!r}, 'RUNYARD_TOKEN': {forgetful.token!r}}}"
        )
        cells = [SHOW.format(run_id=node.run_id), elsewhere + SHOW.format(run_id=gone.run_id)]
        with opened(browser, jupyter_site, "missing.ipynb", cells) as (notebook, widget):
            expect(log(widget)).to_contain_text("behind")
            expect(log(widget)).to_contain_text("before")
            expect(log(widget).get_by_text("4.0 KiB were dropped by the node")).to_be_visible()
            shoot(notebook.page, "notebook_gap")
            notebook.wait_for_kernel()
            notebook.run(1)
            removed = notebook.widget(1).get_by_text("The files of this run were removed")
            expect(removed).to_contain_text(WHY)
            expect(notebook.widget(1).get_by_text("Nothing has been written yet.")).to_have_count(0)
            shoot(notebook.page, "notebook_removed")
