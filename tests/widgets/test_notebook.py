"""The widget in a real JupyterLab and Chromium: what a person sees of a run, whatever becomes of kernel and collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from runyard import Run
from tests.sdk.lab import LIMIT_S, LOG, Lab
from tests.sdk.shown import is_shown, sections
from tests.studio.browsing import AXE, CHROMIUM, faults_of_access, shoot
from tests.waiting import wait_for
from tests.widgets.jupyter_site import JupyterSite, Notebook

PAGE = Path(__file__).parents[2] / "runyard" / "widgets" / "static" / "widget.js"

pytestmark = [
    pytest.mark.needs_system("chromium"),
    pytest.mark.skipif(
        not CHROMIUM.exists() or not AXE.exists() or not PAGE.exists(),
        reason="there is no Chromium, or the widget is not built; `make studio` builds it",
    ),
]

# Goes on whenever the next of the files 1, 2, … is there; ends with the file `end`.
TRAINING = """
import pathlib, sys, time
from runyard import Run
run = Run.get_context()
folder, number = pathlib.Path(sys.argv[1]), 0
for line in range(3000):
    print("an early line", line)
while not (folder / "end").exists():
    if (folder / str(number)).exists():
        run.log("loss", 1 / (number + 1), step=number)
        run.log("accuracy", number / 10, step=number)
        print(f"\\x1b[32mstep {number}\\x1b[0m\\rloss of step {number}", flush=True)
        number += 1
    time.sleep(0.02)
print("told to end", flush=True)
"""
SUBMIT = """
from runyard import Experiment, Run, ScriptRunConfig, Workspace
from runyard.widgets import RunDetails
experiment = Experiment(Workspace.from_config(), "digits")
run = experiment.submit(ScriptRunConfig({code!r}, "train.py", [{steps!r}], compute_target="local"))
RunDetails(run).show()
"""
SHOW = """
from runyard import Experiment, Run, Workspace
from runyard.widgets import RunDetails
run = Run(Experiment(Workspace.from_config(), "digits"), {run_id!r})
RunDetails(run).show()
"""


class Steps:
    """The files by which a training goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0

    def go(self) -> str:
        """One step; the line that it prints."""
        (self.folder / str(self.number)).touch()
        self.number += 1
        return f"loss of step {self.number - 1}"

    def end(self) -> None:
        (self.folder / "end").touch()


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    made = Steps(tmp_path)
    yield made
    made.end()


@contextmanager
def opened(
    browser: Browser, jupyter_site: JupyterSite, name: str, cells: list[str], **how: Any
) -> Iterator[tuple[Notebook, Locator]]:
    """A new notebook whose first cell is run; and the widget in its output."""
    jupyter_site.write(name, cells)
    with jupyter_site.open(browser, name, **how) as notebook:
        notebook.wait_for_kernel()
        notebook.run(0)
        yield notebook, notebook.widget(0)


def log(widget: Locator) -> Locator:
    return widget.get_by_role("region", name="Lines of the log")


@pytest.mark.row("B2")
def test_a_run_is_seen_while_it_runs_and_as_it_completes(
    browser: Browser, jupyter_site: JupyterSite, site: Lab, steps: Steps
) -> None:
    submit = SUBMIT.format(code=str(site.code(TRAINING)), steps=str(steps.folder))
    threads = "import threading; print([one.name for one in threading.enumerate() if run.id in one.name])"
    with opened(browser, jupyter_site, "one.ipynb", [submit, threads]) as (notebook, widget):
        line = steps.go()
        expect(log(widget)).to_contain_text(line)
        expect(widget.get_by_text("Running", exact=True).first).to_be_visible()
        expect(widget.get_by_role("region", name="State")).to_contain_text("Driver")
        assert "step 0\x1b" not in log(widget).inner_text()
        steps.go()
        expect(widget.get_by_role("slider", name="loss: cursor")).to_be_visible()
        expect(widget.get_by_role("heading", name="accuracy 0.1")).to_be_visible()
        shoot(notebook.page, "notebook_running")

        run_id = widget.get_by_role("heading", level=2).first.inner_text()
        link = widget.get_by_role("link", name="Open in Studio")
        expect(link).to_have_attribute("href", f"{site.collector.url}/runs/{run_id}")
        widget.get_by_text("Processes and nodes (1 running)").click()
        expect(widget.get_by_role("grid", name="Processes")).to_contain_text("70_driver_log.txt")
        widget.get_by_label("Which log").select_option(label=f"65_job_prep-{_node(site, run_id)}.txt")
        expect(log(widget)).to_contain_text("Job preparation is complete")
        widget.get_by_role("grid", name="Processes").get_by_role("link", name="70_driver_log.txt").click()
        expect(log(widget)).to_contain_text("loss of step 1")
        log(widget).evaluate("box => box.scrollTop = 0")
        widget.get_by_role("button", name="Load earlier").click()
        expect(log(widget)).to_contain_text("an early line 1000")

        steps.end()
        expect(widget.get_by_text("Completed", exact=True).first).to_be_visible()
        expect(widget.get_by_role("region", name="State")).to_contain_text("every file is here and sealed")
        wait_for(lambda: _printed(notebook, 1) == "[]", "the widget's threads have ended")
        notebook.save()
        shoot(notebook.page, "notebook_completed")
    text = (jupyter_site.folder / "one.ipynb").read_text()
    assert site.collector.token not in text
    assert "loss, last" in text


def _node(site: Lab, run_id: str) -> str:
    node: str = site.collector.client().json("GET", f"/runs/{run_id}")["nodes"][0]["node_id"]
    return node


def _printed(notebook: Notebook, number: int) -> str:
    """What a cell prints when it is run now."""
    notebook.run(number)
    output = notebook.output(number).locator(".jp-OutputArea-output")
    notebook.wait_for_kernel()
    return output.inner_text().strip() if output.count() else ""


@pytest.mark.row("B4")
def test_children_are_a_table_and_a_chart_and_a_click_opens_one(browser: Browser, jupyter_site: JupyterSite, site: Lab) -> None:
    parent = site.experiment.start_logging(name="search")
    parent.set_goal("loss", "minimize")
    for number in range(19):
        child(parent, number)
    parent.flush()
    with opened(browser, jupyter_site, "sweep.ipynb", [SHOW.format(run_id=parent.id)], theme="dark") as (notebook, widget):
        table = widget.get_by_role("grid", name="Children")
        expect(table).to_have_attribute("aria-rowcount", "20")
        child(parent, 19)
        expect(table).to_have_attribute("aria-rowcount", "21")
        expect(widget.locator(".trials-chart circle")).to_have_count(20)
        expect(widget.locator(".best-so-far")).to_have_count(1)
        for head in ("Iteration", "Status", "loss", "Best loss so far", "lr", "Duration"):
            expect(table.get_by_role("columnheader", name=head, exact=True)).to_be_attached()
        shoot(notebook.page, "notebook_children_dark")
        assert faults_of_access(notebook.page, within=".jp-OutputArea-output") == []

        table.get_by_role("link", name="trial 7", exact=True).click()
        expect(widget.get_by_role("heading", name="trial 7")).to_be_visible()
        expect(widget.get_by_role("slider", name="loss: cursor")).to_be_visible()
        shoot(notebook.page, "notebook_child_dark")
        widget.get_by_role("navigation", name="Where this run is a child").get_by_role("button", name=parent.id).click()
        expect(table).to_have_attribute("aria-rowcount", "21")
        widget.locator(".trials-chart circle").nth(3).click()
        expect(widget.get_by_role("heading", name="trial 3")).to_be_visible()
        parent.complete()


def child(parent: Run, number: int) -> None:
    with parent.child_run(name=f"trial {number}", run_id=f"{parent.id}_{number}") as made:
        made.log_param("lr", 0.1 * number)
        for step in range(3):
            made.log("loss", 1.0 + ((number * 7) % 20) / 20 - 0.1 * step, step=step)


def test_a_kernel_that_is_busy_shows_the_run_and_one_that_is_gone_is_told(
    browser: Browser, jupyter_site: JupyterSite, site: Lab, steps: Steps
) -> None:
    submit = SUBMIT.format(code=str(site.code(TRAINING)), steps=str(steps.folder))
    busy = f"import os, pathlib, time\nwhile not pathlib.Path({str(steps.folder / 'idle')!r}).exists(): sum(range(10**5))"
    cells = [submit, busy, "os.kill(os.getpid(), 19)"]
    with opened(browser, jupyter_site, "busy.ipynb", cells) as (notebook, widget):
        expect(log(widget)).to_contain_text("an early line 2999")
        notebook.run(1)
        expect(notebook.page.locator(".jp-Notebook-ExecutionIndicator[data-status='busy']")).to_be_visible()
        for _ in range(2):
            expect(log(widget)).to_contain_text(steps.go())
        widget.get_by_label("Which log").select_option(index=1)
        expect(log(widget)).to_contain_text("Job preparation is complete")
        (steps.folder / "idle").touch()
        notebook.wait_for_kernel()
        notebook.run(2)
        expect(widget.get_by_text("Nothing was heard from the notebook's kernel")).to_be_visible(timeout=30_000)
        shoot(notebook.page, "notebook_silent")


def test_a_collector_that_is_away_is_told_and_waited_for(
    browser: Browser, jupyter_site: JupyterSite, site: Lab, steps: Steps
) -> None:
    submit = SUBMIT.format(code=str(site.code(TRAINING)), steps=str(steps.folder))
    with opened(browser, jupyter_site, "away.ipynb", [submit]) as (_, widget):
        expect(log(widget)).to_contain_text(steps.go())
        site.collector.kill()
        expect(widget.get_by_text("cannot be reached")).to_be_visible()
        line = steps.go()
        site.collector.start()
        expect(log(widget)).to_contain_text(line)
        expect(widget.get_by_text("cannot be reached")).to_have_count(0)


@pytest.mark.row("B2")
def test_a_notebook_that_is_opened_without_its_kernel_shows_how_the_run_was(
    browser: Browser, jupyter_site: JupyterSite, site: Lab, steps: Steps
) -> None:
    submit = SUBMIT.format(code=str(site.code(TRAINING)), steps=str(steps.folder))
    with opened(browser, jupyter_site, "kept.ipynb", [submit]) as (notebook, widget):
        expect(log(widget)).to_contain_text(steps.go())
        expect(widget.get_by_role("slider", name="loss: cursor")).to_be_visible()
        notebook.save()
    with jupyter_site.open(browser, "kept.ipynb") as notebook:
        # The kernel is still there: the page that was loaded again is live.
        expect(log(notebook.widget(0))).to_contain_text(steps.go())
        notebook.save()
    jupyter_site.end_kernels()
    with jupyter_site.open(browser, "kept.ipynb") as notebook:
        widget = notebook.widget(0)
        expect(log(widget)).to_contain_text("loss of step 0")
        expect(widget.get_by_role("slider", name="loss: cursor")).to_be_visible()
        expect(widget.get_by_text("The notebook's kernel does not run")).to_be_visible(timeout=40_000)
        shoot(notebook.page, "notebook_without_kernel")
    kept = jupyter_site.read("kept.ipynb")
    del kept["metadata"]["widgets"]  # as a front end leaves it that does not save widgets, JupyterLab's default
    jupyter_site.put("plain.ipynb", kept)
    with jupyter_site.open(browser, "plain.ipynb") as notebook:
        expect(notebook.output(0).get_by_role("link", name="Open in Studio")).to_be_visible()
        expect(notebook.output(0)).to_contain_text("digits #")
        shoot(notebook.page, "notebook_summary")


@pytest.mark.row("B5")
def test_output_streams_into_a_cell_and_an_interrupt_leaves_the_run_alone(
    browser: Browser, jupyter_site: JupyterSite, site: Lab, steps: Steps
) -> None:
    submit = SUBMIT.format(code=str(site.code(TRAINING)), steps=str(steps.folder)).replace("RunDetails(run).show()", "")
    wait = "run.wait_for_completion(show_output=True)['status']"
    with opened(browser, jupyter_site, "waiting.ipynb", [submit, wait, "run.get_status()"]) as (notebook, _):
        notebook.wait_for_kernel()
        notebook.run(1)
        output = notebook.output(1)
        expect(output).to_contain_text(f"Streaming {LOG}")
        expect(output).to_contain_text(steps.go())
        notebook.page.keyboard.press("Escape")
        notebook.page.keyboard.press("i")
        notebook.page.keyboard.press("i")
        expect(output).to_contain_text("goes on. To come back: Run.get(workspace, ")
        expect(output).to_contain_text("KeyboardInterrupt")
        notebook.wait_for_kernel()
        notebook.run(2)
        expect(notebook.output(2)).to_contain_text("Running")
        notebook.run(1)
        steps.end()
        expect(output).to_contain_text("Execution Summary", timeout=LIMIT_S * 1000)
        expect(output).to_contain_text("'Completed'")


FLOOD = "for number in range(36_000): print(number, 'x' * 100)"  # more than a notebook's server passes on at once
FLOODED = "".join(f"{number} {'x' * 100}\n" for number in range(36_000))


def test_a_flood_of_output_is_whole_in_a_cell(browser: Browser, jupyter_site: JupyterSite, site: Lab) -> None:
    submit = SUBMIT.format(code=str(site.code(FLOOD)), steps="").replace("RunDetails(run).show()", "")
    wait = "run.wait_for_completion(show_output=True)['status']"
    with opened(browser, jupyter_site, "flood.ipynb", [submit + wait]) as (notebook, _):
        shown = notebook.output(0)
        notebook.wait_for_kernel()
        expect(shown.locator(".jp-OutputArea-executeResult")).to_contain_text("'Completed'", timeout=LIMIT_S * 1000)
        assert is_shown(sections(shown.evaluate("output => output.textContent")), LOG, FLOODED)
