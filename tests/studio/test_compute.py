"""Compute: clusters, their nodes and their runs, as a person watches them and takes a node out of use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from runyard.errors import CollectorRefused
from tests.agent_process import CLUSTER, AgentProcess, node_of, running_agent, status_of, submit
from tests.collector_process import CollectorProcess
from tests.studio.browsing import LOOKS, Browsing, faults_of_access, needs_browser, shoot
from tests.waiting import wait_for

WAIT = "until [ -e {} ]; do sleep 0.1; done"
SAMPLED = {"RUNYARD_AGENT__SAMPLE_S": "0.5"}


@pytest.fixture(scope="module")
def agents(
    tmp_path_factory: pytest.TempPathFactory, collector: CollectorProcess
) -> Iterator[tuple[AgentProcess, AgentProcess]]:
    """Two nodes of one cluster."""
    folder = tmp_path_factory.mktemp("nodes")
    with (
        running_agent(folder / "a", collector, environ=SAMPLED) as first,
        running_agent(folder / "b", collector, environ=SAMPLED) as second,
    ):
        yield first, second


@pytest.fixture(autouse=True)
def nothing_is_left(collector: CollectorProcess) -> Iterator[None]:
    """What a test has left running would keep the nodes from those after it."""
    yield
    client = collector.client()
    for one in client.json("GET", f"/clusters/{CLUSTER}/runs")["runs"]:
        with suppress(CollectorRefused):  # it has ended meanwhile
            client.json("POST", f"/runs/{one['run']['run_id']}/cancel", {})
    wait_for(lambda: not client.json("GET", f"/clusters/{CLUSTER}/runs")["runs"], "all runs have ended")
    for node in client.json("GET", "/nodes")["nodes"]:
        client.json("POST", f"/nodes/{node['node_id']}/resume")


class Held:
    """A run that goes on until it is let go."""

    def __init__(self, collector: CollectorProcess, folder: Path, run_id: str, **wanted: Any) -> None:
        self.run_id, self._gate, self._collector = run_id, folder / run_id, collector
        submit(collector, run_id, ["sh", "-c", WAIT.format(self._gate)], **wanted)

    def let_go(self) -> None:
        """From now on it ends."""
        self._gate.touch()

    def comes_to(self, status: str) -> None:
        """Waits until it is `status`."""
        wait_for(lambda: status_of(self._collector, self.run_id) == status, f"{self.run_id} is {status}")


def rows(page: Page, region: str) -> Locator:
    """The rows below the head of a table."""
    return page.get_by_role("region", name=region).get_by_role("row").filter(has=page.get_by_role("rowheader"))


@pytest.mark.row("C6")
@needs_browser
def test_a_cluster_shows_the_runs_that_are_active_and_queued_and_one_that_completes_leaves(
    browsing: Browsing, agents: tuple[AgentProcess, AgentProcess], tmp_path: Path
) -> None:
    collector = browsing.collector
    parent = Held(collector, tmp_path, "c6-parent", request={"cpus": 0.1})
    child = Held(collector, tmp_path, "c6-child", request={"cpus": 0.1, "memory_bytes": 1 << 20}, parent_run_id="c6-parent")
    for run in (parent, child):
        run.comes_to("Running")
    wide = Held(collector, tmp_path, "c6-wide", request={}, node_count=2, priority=3)
    last = Held(collector, tmp_path, "c6-last", request={}, node_count=2)
    with browsing.page("/compute") as page:
        row = rows(page, "Clusters")
        expect(row).to_contain_text(["running"])
        shoot(page, "compute-light")
        page.get_by_role("link", name=CLUSTER, exact=True).click()
        expect(rows(page, "Table of active runs")).to_have_count(2)
        expect(rows(page, "Table of active runs").nth(1)).to_contain_text("child of c6-parent")
        queued = rows(page, "Table of queued runs")
        expect(queued.nth(0)).to_contain_text("c6-wide")
        expect(queued.nth(0).get_by_role("cell").first).to_have_text("1")
        expect(queued.nth(0)).to_contain_text("2 nodes: 1 of 2 free now")
        expect(queued.nth(1).get_by_role("cell").first).to_have_text("2")
        nodes = rows(page, "Table of nodes")
        expect(nodes).to_have_count(2)
        expect(page.get_by_role("region", name="Table of nodes").get_by_role("link", name="c6-child")).to_be_visible()
        expect(page.get_by_role("region", name="Table of nodes")).to_contain_text(re.compile(r"\d+ %"))
        shoot(page, "compute-cluster-light")
        child.let_go()
        expect(rows(page, "Table of active runs")).to_have_count(1)
        expect(page.get_by_text("child of")).to_have_count(0)
        last_row = rows(page, "Table of queued runs").filter(has_text="c6-last")
        last_row.get_by_role("button", name="Cancel c6-last").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
        expect(last_row).to_have_count(0)
        parent.let_go()
        expect(rows(page, "Table of active runs")).to_have_text([re.compile("c6-wide")])
        wide.let_go()
        expect(page.get_by_text("No run has nodes of this cluster now.")).to_be_visible()
    assert [status_of(collector, run.run_id) for run in (parent, child, wide, last)] == ["Completed"] * 3 + ["Canceled"]


@pytest.mark.row("C6")
@needs_browser
def test_a_node_is_drained_with_a_reason_gets_no_runs_and_is_resumed(
    browsing: Browsing, agents: tuple[AgentProcess, AgentProcess], tmp_path: Path
) -> None:
    first, second = agents
    with browsing.page(f"/compute/{CLUSTER}") as page:
        for agent in agents:
            row = rows(page, "Table of nodes").filter(has=page.locator(f'a[href$="{agent.node_id}"]'))
            row.get_by_role("button", name="Drain").click()
            page.get_by_label("Reason").fill("new disks")
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
            expect(row.get_by_role("button", name="Drain")).to_be_focused()
            page.keyboard.press("Enter")
            page.get_by_label("Reason").fill("new disks")
            page.get_by_role("dialog").get_by_role("button", name="Drain").click()
            expect(row).to_contain_text("Drained: new disks")
        assert node_of(browsing.collector, first)["drain_reason"] == "new disks"
        submit(browsing.collector, "c6-drained", ["true"])
        queued = rows(page, "Table of queued runs")
        expect(queued).to_contain_text(["0 of 2 free now, 2 cannot be used"])
        shoot(page, "compute-drained")
        page.locator(f'a[href$="{second.node_id}"]').first.click()
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Drain")).to_be_visible()
    wait_for(lambda: status_of(browsing.collector, "c6-drained") == "Completed", "the node that is resumed has it")


@needs_browser
def test_a_node_tells_what_it_is_and_how_it_was(browsing: Browsing, agents: tuple[AgentProcess, AgentProcess]) -> None:
    path = f"/nodes/{agents[0].node_id}/samples"
    wait_for(lambda: browsing.collector.client().json("GET", path)["samples"], "a sample is kept", limit_s=90)
    with browsing.page(f"/compute/{CLUSTER}/{agents[0].node_id}") as page:
        expect(page.get_by_text(agents[0].node_id)).to_be_visible()
        expect(page.get_by_role("heading", name="Memory")).to_be_visible()
        shoot(page, "compute-node-light")


@needs_browser
def test_clusters_and_nodes_that_are_not_there_say_what_to_do(browsing: Browsing) -> None:
    with browsing.page("/compute/nowhere") as page:
        expect(page.get_by_role("heading", name="There is no cluster nowhere")).to_be_visible()
        page.goto(browsing.collector.url + "/compute/nowhere/node-12345678")
        expect(page.get_by_role("heading", name="There is no node node-12345678")).to_be_visible()


@needs_browser
def test_compute_can_be_used_by_everyone(browsing: Browsing, agents: tuple[AgentProcess, AgentProcess], tmp_path: Path) -> None:
    run = Held(browsing.collector, tmp_path, "c6-everyone", request={"cpus": 0.1})
    run.comes_to("Running")
    submit(browsing.collector, "c6-waits-everyone", ["true"], node_count=2, request={})
    for name, path in {
        "compute": "/compute",
        "cluster": f"/compute/{CLUSTER}",
        "node": f"/compute/{CLUSTER}/{agents[0].node_id}",
    }.items():
        for theme, width in LOOKS:
            with browsing.page(path, theme=theme, width=width) as page:
                expect(page.get_by_role("heading", level=1)).to_be_visible()
                page.get_by_role("region").first.wait_for()
                if name == "node":
                    page.get_by_role("heading", name=re.compile("Memory|No samples yet")).wait_for()
                shoot(page, f"compute-{name}-{theme}-{width}")
                assert faults_of_access(page) == []
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of the page"
