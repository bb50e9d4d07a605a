"""The notebook's widget: a real JupyterLab in a real Chromium shows a run of 16 ranks that print and log metrics.

Measured are how old a line is when it is in the notebook's page (the training's clock and the browser's are one machine's),
and the CPU of the kernel's process meanwhile, as a share of one core; beside it that of the same kernel before.
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Locator, expect, sync_playwright

from tests.sdk.lab import Lab, lab
from tests.studio.browsing import launch
from tests.waiting import wait_for
from tests.widgets.jupyter_site import JupyterSite, Notebook, jupyter

from .result import Result

RANKS = 16
LINES_PER_S = 10
LATENCY_BAR_S = 2.0
CPU_BAR_PERCENT = 5.0
WARM_S = 5.0
START_LIMIT_S = 60.0

TRAINING = f"""
import time
from runyard import Run
run = Run.get_context()
for step in range(10**6):
    print("at", time.time_ns() // 10**6, "step", step, "loss 0.123456 lr 0.0003 grad_norm 1.2345 tok/s 12345", flush=True)
    if step % {LINES_PER_S} == 0:
        for name in ("loss", "accuracy", "lr", "grad_norm"):
            run.log(name, step, step=step)
    time.sleep({1 / LINES_PER_S})
"""
SHOW = f"""
from runyard import Experiment, PyTorchConfiguration, ScriptRunConfig, Workspace
from runyard.widgets import RunDetails
ranks = PyTorchConfiguration(process_count={RANKS})
config = ScriptRunConfig({{code!r}}, "train.py", compute_target="local", distributed_job_config=ranks)
run = Experiment(Workspace.from_config(), "digits").submit(config)
RunDetails(run).show()
"""
# Notes of each line how old it is when it comes into the page.
WATCH = r"""(rows) => {
  const ages = window.ages = [];
  let newest = Infinity;
  const look = () => {
    const now = Date.now();
    let last = newest;
    for (const row of rows.querySelectorAll("[data-start]")) {
      const start = Number(row.dataset.start);
      const at = /^at (\d+) step/.exec(row.querySelector(".text").textContent);
      if (at && start > newest) ages.push(now - Number(at[1]));
      last = newest === Infinity ? start : Math.max(last, start);
    }
    newest = last;
  };
  look();
  new MutationObserver(look).observe(rows, {subtree: true, childList: true});
}"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields the figures; the bars are absolute."""
    del size_bytes
    with lab(folder) as site, jupyter(folder / "jupyter") as notebooks, sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            yield from _shown(site, notebooks, browser, measured_s=6.0 * rounds)
            _end(site)
        finally:
            browser.close()


def _end(site: Lab) -> None:
    """The run would write into the folder for as long as it goes on: all that is of it, and not of ours, is killed."""
    spool = str(site.spool)
    wait_for(lambda: not _killed(spool), "the run's processes have gone")


def _killed(spool: str) -> list[psutil.Process]:
    """Those that have the spool in their environment, but this process and those that it has started itself."""
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_run = process.pid not in ours or "--order" in process.cmdline()  # which the kernel has started
            if is_run and spool in process.environ().values():
                process.kill()
                found.append(process)
    return found


def _shown(site: Lab, notebooks: JupyterSite, browser: Browser, *, measured_s: float) -> Iterator[Result]:
    notebooks.write("widget.ipynb", ["import os; print(os.getpid())", SHOW.format(code=str(site.code(TRAINING)))])
    with notebooks.open(browser, "widget.ipynb") as notebook:
        notebook.wait_for_kernel()
        notebook.run(0)
        kernel = psutil.Process(int(notebook.output(0).locator("pre").inner_text()))
        time.sleep(WARM_S)
        idle = _cpu_percent(kernel, measured_s / 2)
        notebook.run(1)
        rows = _lines(notebook)
        rows.evaluate(WATCH)
        time.sleep(WARM_S)
        rows.evaluate("() => { window.ages.length = 0; }")
        share = _cpu_percent(kernel, measured_s)
        ages_s = sorted(age / 1000 for age in notebook.page.evaluate("window.ages"))
    yield Result("widget.line_to_notebook_p50", statistics.median(ages_s), "s", LATENCY_BAR_S)
    yield Result("widget.line_to_notebook_p99", ages_s[len(ages_s) * 99 // 100], "s", None)
    yield Result("widget.lines", float(len(ages_s)), "lines", None)
    yield Result("widget.cpu_kernel", share, "% of a core", CPU_BAR_PERCENT)
    yield Result("widget.cpu_kernel_before", idle, "% of a core", None)
    yield Result("widget.load_average", os.getloadavg()[0], "", None)


def _lines(notebook: Notebook) -> Locator:
    rows = notebook.output(1).get_by_role("region", name="Lines of the log")
    expect(rows).to_contain_text(re.compile(r"step \d+ loss"), timeout=START_LIMIT_S * 1000)
    return rows


def _cpu_percent(process: psutil.Process, span_s: float) -> float:
    begun_s, before = time.monotonic(), process.cpu_times()
    time.sleep(span_s)
    after = process.cpu_times()
    return round(100 * (after.user + after.system - before.user - before.system) / (time.monotonic() - begun_s), 4)
