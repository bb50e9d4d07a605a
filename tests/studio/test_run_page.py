"""The page of one run, as a person uses it who has to find out what became of it."""

from __future__ import annotations

import re
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, CDPSession, Locator, Page, expect

from tests.collector.node import LOG, Node
from tests.collector_process import CollectorProcess, running_collector
from tests.studio import chart_scenes, run_scenes
from tests.studio.browsing import LOOKS, Browsing, faults_of_access, needs_browser, shoot
from tests.studio.conftest import BUILT
from tests.waiting import wait_for

SCROLLS = 20
# Far above what was measured on a machine that did much else: it tells whether rows that nobody sees are in the page.
MOST_BUSY_MS = 300
WAITING = "import os, sys, time\nprint('begun', flush=True)\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.05)\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spool and files of the runs of this module."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def failed(collector: CollectorProcess, folder: Path) -> str:
    return run_scenes.failed(collector, folder)


@pytest.fixture(scope="module")
def completed(collector: CollectorProcess, folder: Path) -> str:
    return run_scenes.completed(collector, folder)


@pytest.fixture(scope="module")
def crowd(collector: CollectorProcess) -> list[Node]:
    return run_scenes.crowd(collector)


@pytest.fixture(scope="module")
def measured(collector: CollectorProcess) -> list[Node]:
    return run_scenes.measured(collector)


@pytest.fixture(scope="module")
def sweep(collector: CollectorProcess) -> str:
    return run_scenes.sweep(collector)


def _region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def _top(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def _tab(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Run").get_by_role("link", name=name).click()


def _everywhere(browsing: Browsing, path: str, name: str, sign: str) -> None:
    """Screenshots of a page, once `sign` can be seen; it can be used by everyone, in either theme, and fits a narrow screen."""
    for theme, width in LOOKS:
        with browsing.page(path, theme=theme, width=width) as page:
            expect(page.get_by_text(sign).first).to_be_visible()
            shoot(page, f"run-{name}-{theme}-{width}")
            assert faults_of_access(page) == []
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


@needs_browser
@pytest.mark.row("C5")
def test_a_person_finds_why_one_of_four_ranks_failed(browsing: Browsing, failed: str) -> None:
    with browsing.page(f"/runs/{failed}") as page:
        why = _region(page, "Why it failed")
        expect(why).to_contain_text("Rank 3 on 127.0.0.1 failed first")
        expect(why).to_contain_text("ZeroDivisionError: division by zero")
        # It is the first thing on the page.
        state = _region(page, "State")
        assert _top(why) < _top(state)
        expect(state.get_by_role("listitem").filter(has_text="Driver")).to_contain_text("failed")
        rows = why.get_by_role("table").get_by_role("row")
        expect(rows.filter(has_text="failed first")).to_contain_text("exit code 1")
        expect(rows.filter(has_text="followed")).to_have_count(3)
        why.get_by_role("link", name="Show in 70_driver_log_3.txt").click()
        page.wait_for_url(re.compile(rf"/runs/{failed}/logs\?"))
        asked = parse_qs(urlsplit(page.url).query)
        assert asked["file"] == ["azureml-logs/70_driver_log_3.txt"]
        expect(page.get_by_role("main")).to_contain_text("ZeroDivisionError: division by zero")
        told = browsing.collector.client().json("GET", f"/runs/{failed}/verdict")["evidence"]
        assert int(asked["at"][0]) == next(one["start"] for one in told if one["what"] == "traceback")
        page.go_back()
        _tab(page, "Processes")
        page.get_by_label("State").select_option("failed")
        grid = page.get_by_role("grid", name="Processes")
        expect(grid.get_by_role("row")).to_have_count(5)
        expect(grid.get_by_role("link", name="70_driver_log_3.txt")).to_be_visible()


@needs_browser
def test_the_overview_of_a_failure_is_for_everyone(browsing: Browsing, failed: str) -> None:
    _everywhere(browsing, f"/runs/{failed}", "failed", "failed first")


@needs_browser
@pytest.mark.row("C5")
def test_a_run_changes_before_ones_eyes_also_over_a_restart_of_the_collector(
    browser: Browser, collector_of_its_own: CollectorProcess, tmp_path: Path
) -> None:
    collector, browsing, end = collector_of_its_own, Browsing(browser, collector_of_its_own), tmp_path / "end"
    run = run_scenes.real_run(collector, tmp_path, "it-goes-on", sys.executable, "-c", WAITING, str(end))
    process = run.start()
    try:
        with browsing.page("/runs/it-goes-on") as page:
            now = _region(page, "State").locator("[aria-current=step]")
            expect(now).to_contain_text("Driver")
            expect(page.get_by_text("Running", exact=True).first).to_be_visible()
            shoot(page, "run-goes-on")
            collector.kill()
            expect(page.get_by_text("Collector not reachable")).to_be_visible()
            expect(now).to_contain_text("Driver")  # what was known stays
            collector.start()
            expect(page.get_by_text("Collector not reachable")).to_be_hidden()
            end.touch()
            expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
            expect(_region(page, "State")).to_contain_text("exit code 0")
            expect(_region(page, "State")).to_contain_text("every file is here and sealed")
    finally:
        end.touch()
        process.communicate(timeout=30)
    browsing.check()


@needs_browser
@pytest.mark.row("C5")
def test_what_a_finished_run_is_asked_for_once_comes_as_soon_as_the_collector_is_back(
    browser: Browser, collector_of_its_own: CollectorProcess, tmp_path: Path
) -> None:
    collector, browsing = collector_of_its_own, Browsing(browser, collector_of_its_own)
    run_id = run_scenes.completed(collector, tmp_path)
    chart_scenes.record(collector, run_id, [["m", "", "loss", 0.25, 1, 1_000]])
    with browsing.page(f"/runs/{run_id}/logs") as page:
        expect(page.get_by_text("the training has begun")).to_be_visible()
        _tab(page, "Metrics")
        expect(page.get_by_role("row", name=re.compile("^loss"))).to_be_visible()
        _tab(page, "Overview")
        for tab, sign in (("Metrics", "0.25"), ("Outputs + logs", "the training has begun")):
            collector.kill()
            _tab(page, tab)
            expect(page.get_by_role("main").get_by_text("goes on as soon as it does")).to_be_visible()
            collector.start()
            expect(page.get_by_role("main").get_by_text(sign).first).to_be_visible()
            expect(page.get_by_text("not reachable")).to_have_count(0)
    browsing.check()


@needs_browser
def test_a_part_of_the_page_that_could_not_be_loaded_is_loaded_when_the_collector_is_back(
    browser: Browser, collector_of_its_own: CollectorProcess, tmp_path: Path
) -> None:
    collector, browsing = collector_of_its_own, Browsing(browser, collector_of_its_own)
    run_id = run_scenes.sweep(collector)
    with browsing.page(f"/runs/{run_id}") as page:
        expect(_region(page, "State")).to_be_visible()
        collector.kill()
        _tab(page, "Children")
        expect(page.get_by_role("main").get_by_text("could not be loaded")).to_be_visible()
        collector.start()
        expect(page.get_by_role("main").get_by_text("could not be loaded")).to_have_count(0)
        expect(page.get_by_role("main").get_by_text("lr").first).to_be_visible()
    browsing.check()


@needs_browser
@pytest.mark.row("C5")
def test_download_all_is_a_zip_of_what_the_run_left(browsing: Browsing, completed: str) -> None:
    client = browsing.collector.client()
    with browsing.page(f"/runs/{completed}") as page:
        expect(_region(page, "Parameters")).to_contain_text("lr0.1")
        expect(_region(page, "Tags")).to_contain_text("stagefirst")
        expect(_region(page, "Environment")).to_contain_text("host")
        with page.expect_download() as waited:
            page.get_by_role("link", name="Download all").click()
        assert waited.value.suggested_filename == f"{completed}.zip"
        listed = client.json("GET", f"/runs/{completed}/artifacts", params={"recursive": 1})["files"]
        with zipfile.ZipFile(waited.value.path()) as archive:
            assert archive.read("outputs/model.bin") == run_scenes.MODEL
            assert b"the training has begun" in archive.read(LOG)
            assert sorted(archive.namelist()) == sorted(one["path"] for one in listed)
        with page.expect_download() as waited:
            _region(page, "Files").get_by_role("link", name=re.compile("Download")).click()
        with tarfile.open(waited.value.path()) as code:
            assert [name for name in code.getnames() if name.endswith("train.py")]
    _everywhere(browsing, f"/runs/{completed}", "completed", "every file is here and sealed")


@needs_browser
@pytest.mark.row("C5")
def test_a_run_that_goes_on_can_be_downloaded_too(browsing: Browsing, crowd: list[Node]) -> None:
    with browsing.page(f"/runs/{crowd[0].run_id}") as page:
        with page.expect_download() as waited:
            page.get_by_role("link", name="Download all").click()
        with zipfile.ZipFile(waited.value.path()) as archive:
            names = archive.namelist()
        assert any(name.startswith("10.77.0.11/logs/azureml/stacks/") for name in names)


@needs_browser
@pytest.mark.row("C5")
def test_among_a_thousand_processes_the_one_that_hangs_is_found(browsing: Browsing, crowd: list[Node]) -> None:
    with browsing.page(f"/runs/{crowd[0].run_id}/processes") as page:
        grid = page.get_by_role("grid", name="Processes")
        expect(page.get_by_text("1 stalled · 998 running · 1 failed")).to_be_visible()
        expect(grid).to_have_attribute("aria-rowcount", "1001")
        assert grid.get_by_role("row").count() < 100  # the others are not in the page
        assert _busy_ms(page, grid) < MOST_BUSY_MS
        page.get_by_label("State").select_option("stalled")
        row = grid.get_by_role("row").nth(1)
        expect(row).to_contain_text("10.77.0.11")
        expect(row).to_contain_text("120/1000")
        assert parse_qs(urlsplit(page.url).query)["state"] == ["stalled"]  # another person sees the same
        stacks = _region(page, "Stacks")
        expect(stacks).to_contain_text("rank 3 has written nothing for 600 s")
        expect(stacks.get_by_text("Ranks 0–2: main thread")).to_be_visible()
        expect(stacks).to_contain_text("read_block (data.py:41)")
        shoot(page, "run-stalled")
        page.get_by_label("State").select_option("")
        page.get_by_role("columnheader", name="Exit").click()
        expect(grid.get_by_role("row").nth(1)).to_contain_text("SIGKILL (9)")


def _busy_ms(page: Page, grid: Locator) -> float:
    """How long the page's thread works for each step of scrolling through all rows, whatever else the machine does."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _task_s(cdp)
    grid.hover()
    for _ in range(SCROLLS):
        page.mouse.wheel(0, 1700)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(grid.get_by_role("row").last).to_contain_text("999")
    busy_ms = (_task_s(cdp) - before) * 1000 / SCROLLS
    print(f"scrolling 1,000 processes: {busy_ms:.1f} ms of work for 50 rows")
    grid.evaluate("(element) => { element.scrollTop = 0; }")
    return busy_ms


def _task_s(cdp: CDPSession) -> float:
    found = cdp.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


@needs_browser
def test_stacks_are_taken_when_one_asks_for_them(browsing: Browsing, crowd: list[Node]) -> None:
    with browsing.page(f"/runs/{crowd[0].run_id}/processes") as page:
        _region(page, "Stacks").get_by_role("button", name="Take them now").click()
        expect(_region(page, "Stacks")).to_contain_text("Waiting for the nodes")
        wanted = run_scenes.tell_running(crowd[1], range(250, 500), time.time_ns())["want_stacks"]
        assert wanted >= 1
        text = run_scenes.stacks_text(300, crowd[1].node_id, "asked (train.py:1)", request=wanted)
        name = f"logs/azureml/stacks/{crowd[1].node_id}/2026-09-21T150000.000Z-rank300.txt"
        run_scenes.put_file(crowd[1], name, text.encode())
        expect(_region(page, "Stacks")).to_contain_text("asked (train.py:1)")


@needs_browser
def test_the_processes_are_for_everyone(browsing: Browsing, crowd: list[Node]) -> None:
    _everywhere(browsing, f"/runs/{crowd[0].run_id}/processes", "processes", "Ranks 0–2")


@needs_browser
@pytest.mark.row("C5")
def test_what_a_run_used_stands_on_one_time_axis(browsing: Browsing, measured: list[Node]) -> None:
    with browsing.page(f"/runs/{measured[0].run_id}/monitoring") as page:
        for title in ("CPU of the run", "Memory of the run", "GPU utilisation", "GPU memory", "GPU power", "Disk of the run"):
            expect(_region(page, title)).to_be_visible()
        expect(_region(page, "Xid events")).to_contain_text("Xid 79 on GPU 1 (a process of this run)")
        expect(_region(page, "GPU utilisation").get_by_role("button", name="10.77.0.12 GPU 1")).to_be_visible()
        sliders = page.get_by_role("slider", name=re.compile("cursor"))
        spans = [_span(sliders.nth(place)) for place in range(sliders.count())]
        assert len(set(spans)) == 1
        sliders.first.focus()
        page.keyboard.press("+")
        page.get_by_role("button", name="Whole run").wait_for()
        expect(sliders.last).not_to_have_attribute("aria-valuemin", spans[0][0])
        zoomed = {_span(sliders.nth(place)) for place in range(sliders.count())}
        assert len(zoomed) == 1  # all have zoomed
        page.get_by_role("button", name="Whole run").click()
        expect(sliders.last).to_have_attribute("aria-valuemin", spans[0][0])
        page.get_by_label("CPU and memory per").select_option("process")
        expect(_region(page, "Memory of the run").get_by_role("button", name="10.77.0.12 rank 3")).to_be_visible()
        page.get_by_label(re.compile("^Node")).select_option(measured[0].node_id)
        expect(_region(page, "Xid events")).to_be_hidden()
        # More is measured: it comes by itself.
        data = run_scenes.telemetry(0, range(400, 402), time.time_ns() - 403 * 5 * run_scenes.S)
        stream = measured[0].open(f"logs/azureml/telemetry-{measured[0].node_id}.jsonl")[0]
        before = _span(sliders.first)[1]
        measured[0].send(stream["id"], stream["offset"], data)
        expect(sliders.first).not_to_have_attribute("aria-valuemax", before)


def _span(slider: Locator) -> tuple[str, str]:
    return slider.get_attribute("aria-valuemin") or "", slider.get_attribute("aria-valuemax") or ""


@needs_browser
def test_monitoring_is_for_everyone(browsing: Browsing, measured: list[Node]) -> None:
    _everywhere(browsing, f"/runs/{measured[0].run_id}/monitoring", "monitoring", "GPU power")


@needs_browser
def test_where_nothing_was_measured_the_page_says_what_would(browsing: Browsing, completed: str) -> None:
    with browsing.page(f"/runs/{completed}/monitoring") as page:
        expect(page.get_by_role("heading", name="Nothing was measured")).to_be_visible()


@needs_browser
@pytest.mark.row("C5")
def test_the_best_child_is_found(browsing: Browsing, sweep: str) -> None:
    with browsing.page(f"/runs/{sweep}/children") as page:
        grid = page.get_by_role("grid", name="Children")
        expect(grid.get_by_role("row").filter(has_text="best").last).to_contain_text("trial 12")
        chart = page.get_by_role("img", name=re.compile("loss of 30 children by iteration; the best is 0.1, of iteration 12"))
        expect(chart).to_be_visible()
        page.get_by_role("columnheader", name="loss", exact=True).click()
        page.get_by_role("columnheader", name="loss", exact=True).click()
        expect(grid.get_by_role("row").nth(1)).to_contain_text("trial 12")
        page.get_by_role("columnheader", name="lr").click()
        expect(grid.get_by_role("row").nth(1)).to_contain_text("trial 0")
        run_scenes.add_trial(browsing.collector, sweep, 30, 0.05)
        better = re.compile("loss of 31 children by iteration; the best is 0.05, of iteration 30")
        expect(page.get_by_role("img", name=better)).to_be_visible()  # live
        grid.get_by_role("link", name="trial 1", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("trial 1")
        page.get_by_role("main").get_by_role("link", name=sweep).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Learning rates")
    _everywhere(browsing, f"/runs/{sweep}/children", "children", "best so far")


@needs_browser
def test_restarts_warnings_and_what_a_run_waits_for_are_told(browsing: Browsing) -> None:
    node = Node(browsing.collector, name="Second try")
    at_ms = time.time_ns() // 10**6
    node.client.send(
        "POST", f"/runs/{node.run_id}/records", f'["wa","","a metric was left out",{at_ms}]\n'.encode(), "application/x-ndjson"
    )
    earlier = [
        {"attempt": 0, "status": "Failed", "exit_code": 7, "cause": "out of luck", "started_ns": 10**18, "ended_ns": 2 * 10**18}
    ]
    node.put_state("Running", attempt=1, earlier=earlier, phase="driver")
    with browsing.page(f"/runs/{node.run_id}") as page:
        expect(_region(page, "Warnings")).to_contain_text("a metric was left out")
        expect(_region(page, "Earlier attempts")).to_contain_text("this is attempt 1")
        expect(_region(page, "Earlier attempts").get_by_role("row").last).to_contain_text("out of luck")


@needs_browser
def test_a_run_that_is_not_there_is_said_to_be_none(browsing: Browsing) -> None:
    with browsing.page("/runs/nobody-has-this") as page:
        expect(page.get_by_role("heading", name="There is no run nobody-has-this")).to_be_visible()


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[CollectorProcess]:
    """A collector that keeps runs for a moment only."""
    soon = {"REMOVE_INTERVAL_S": "0.2", "LOST_CONTACT_S": "1", "GIVE_UP_LOST_S": "1", "KEEP_RUNS_S": "1.5"}
    environ = {f"RUNYARD_COLLECTOR__{name}": value for name, value in soon.items()}
    with running_collector(tmp_path, environ=environ | BUILT) as process:
        yield process


@needs_browser
@pytest.mark.row("C5")
def test_of_a_removed_run_the_page_says_since_when_and_why(browser: Browser, forgetful: CollectorProcess) -> None:
    browsing, node = Browsing(browser, forgetful), Node(forgetful)
    stream = node.open_one()
    node.send(stream, 0, b"words\n")
    node.seal(stream, b"words\n")
    node.complete()
    wait_for(lambda: node.run()["removed_ns"], "the files are removed")
    with browsing.page(f"/runs/{node.run_id}") as page:
        told = page.get_by_text("The files of this run were removed")
        expect(told).to_contain_text(node.run()["removed_why"])
        expect(told.get_by_role("time")).to_be_visible()
        expect(page.get_by_role("link", name="Download all")).to_be_hidden()
        shoot(page, "run-removed")
        assert faults_of_access(page) == []
    browsing.check()
