"""What a person does with runs on the page: start, watch, cancel, run again, tag, rename, pin, archive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.agent_process import CLUSTER, AgentProcess, running_agent, status_of, submit
from tests.cli.scene import runyard
from tests.collector.node import call
from tests.collector_process import CollectorProcess
from tests.studio import chart_scenes
from tests.studio.browsing import LOOKS, Browsing, faults_of_access, needs_browser, shoot
from tests.waiting import wait_for


@pytest.fixture(scope="module", autouse=True)
def agent(tmp_path_factory: pytest.TempPathFactory, collector: CollectorProcess) -> Iterator[AgentProcess]:
    """The cluster's only node."""
    with running_agent(tmp_path_factory.mktemp("node"), collector) as process:
        yield process


def shown(collector: CollectorProcess, run_id: str) -> dict[str, object]:
    """The run as the collector has it."""
    found: dict[str, object] = collector.client().json("GET", f"/runs/{run_id}")
    return found


def arrive(page: Page) -> str:
    """Waits for a run's page; the run's id."""
    expect(page).to_have_url(re.compile("/runs/[^/]+$"))
    return page.url.rpartition("/")[2]


def choose(page: Page, action: str) -> None:
    """An entry of the run's menu."""
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name=action).click()


@pytest.mark.row("C7")
@needs_browser
def test_a_run_is_started_by_the_form_watched_canceled_and_started_again_with_another_argument(browsing: Browsing) -> None:
    collector = browsing.collector
    with browsing.page("/compute") as page:
        page.get_by_role("link", name="New run").click()
        start = page.get_by_role("button", name="Start run")
        expect(start).to_be_disabled()
        expect(page.get_by_text("Write the command that is to run")).to_be_visible()
        page.get_by_label("Command").fill('sh -c \'echo "lr is $LR"; sleep 600')
        expect(page.get_by_text("not closed")).to_be_visible()
        page.get_by_label("Command").fill("sh -c 'echo \"lr is $LR\"; sleep $0' 600")
        page.get_by_label("Experiment").fill("two words")
        expect(start).to_be_disabled()
        page.get_by_label("Experiment").fill("digits")
        page.get_by_label("Name", exact=True).fill("first try")
        page.get_by_label("CPUs of each node").fill("0.1")
        page.get_by_label("Nodes", exact=True).fill("2")
        expect(page.get_by_text("the run asks for 2 nodes")).to_be_visible()
        page.get_by_label("Nodes", exact=True).fill("1")
        page.get_by_role("button", name="Add variable").click()
        page.get_by_label("Name of variable 1").fill("LR")
        page.get_by_label("Value of LR").fill("0.1")
        page.get_by_role("button", name="Add tag").click()
        page.get_by_label("Name of tag 1").fill("team")
        page.get_by_label("Value of team").fill("blue")
        expect(start).to_be_enabled()
        shoot(page, "new-run-filled")
        start.click()
        run_id = arrive(page)
        expect(page.get_by_role("heading", name="first try")).to_be_visible()
        expect(page.get_by_role("main").get_by_text("Running", exact=True).first).to_be_visible()
        page.goto(f"{collector.url}/compute/{CLUSTER}")
        page.get_by_role("region", name="Table of active runs").get_by_role("link", name="first try").click()
        page.get_by_role("button", name="Cancel run").click()
        page.get_by_label("Reason").fill("a typo")
        shoot(page, "cancel-run")
        page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
        expect(page.get_by_role("main").get_by_text("Canceled", exact=True).first).to_be_visible()
        assert "a typo" in str(shown(collector, run_id)["cause"])
        page.get_by_role("link", name="Run again").click()
        expect(page.get_by_label("Value of LR")).to_have_value("0.1")
        expect(page.get_by_label("Value of team")).to_have_value("blue")
        command = page.get_by_label("Command")
        command.fill(command.input_value().replace("600", "0"))
        page.get_by_label("Value of LR").fill("0.2")
        expect(start).to_be_enabled()
        start.click()
        expect(page).not_to_have_url(re.compile(f"{run_id}|/new"))
        second = arrive(page)
    wait_for(lambda: status_of(collector, second) == "Completed", "the second run is done")
    again = shown(collector, second)
    assert (again["experiment"], again["tags"], again["name"]) == ("digits", {"team": "blue"}, "first try")
    log = call(collector, "GET", f"/api/v1/runs/{second}/files/azureml-logs/70_driver_log.txt")
    assert log.data == b"lr is 0.2\n"


@pytest.mark.row("C7")
@needs_browser
def test_a_run_is_renamed_tagged_pinned_archived_and_restored(browsing: Browsing) -> None:
    collector, run_id = browsing.collector, "c7-labels"
    submit(collector, run_id, ["true"])
    wait_for(lambda: status_of(collector, run_id) == "Completed", "it is done")
    with browsing.page(f"/runs/{run_id}") as page:
        button = page.get_by_role("button", name="More actions")
        button.focus()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("menuitem", name="Archive")).to_be_focused()
        shoot(page, "run-menu")
        page.keyboard.press("Escape")
        expect(button).to_be_focused()
        choose(page, "Rename")
        page.get_by_role("dialog").get_by_label("Name").fill("<b>best</b> & last")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_role("heading", name="<b>best</b> & last")).to_be_visible()
        choose(page, "Edit tags")
        page.get_by_label("Name of tag 1").fill("team")
        page.get_by_label("Value of team").fill("red")
        shoot(page, "edit-tags")
        page.get_by_role("button", name="Save tags").click()
        expect(page.get_by_role("status").get_by_text("The tags are saved.")).to_be_visible()
        wait_for(lambda: shown(collector, run_id)["tags"] == {"team": "red"}, "the tag is there")
        choose(page, "Edit tags")
        page.get_by_role("button", name="Remove team").click()
        page.get_by_role("button", name="Save tags").click()
        wait_for(lambda: shown(collector, run_id)["tags"] == {}, "the tag is gone")
        choose(page, "Pin")
        expect(page.get_by_text("Pinned", exact=True)).to_be_visible()
        choose(page, "Unpin")
        expect(page.get_by_text("Pinned", exact=True)).to_have_count(0)
        choose(page, "Archive")
        page.get_by_role("dialog").get_by_role("button", name="Archive").click()
        expect(page.get_by_text("Archived", exact=True)).to_be_visible()
        assert shown(collector, run_id)["deleted_ms"] is not None
        choose(page, "Restore")
        expect(page.get_by_text("Archived", exact=True)).to_have_count(0)
        assert shown(collector, run_id)["deleted_ms"] is None


@needs_browser
def test_saving_tags_keeps_those_that_were_set_while_the_dialog_was_open(browsing: Browsing) -> None:
    collector, run_id = browsing.collector, "c7-tags-meanwhile"
    submit(collector, run_id, ["sleep", "600"])
    chart_scenes.record(collector, run_id, [["g", "", "team", "red"], ["g", "", "old", "yes"]])
    with browsing.page(f"/runs/{run_id}") as page:
        choose(page, "Edit tags")
        chart_scenes.record(collector, run_id, [["g", "", "grade", "measured meanwhile"], ["g", "", "team", "green"]])
        expect(page.get_by_text("measured meanwhile")).to_be_attached()  # the page behind the dialog has it
        page.get_by_role("button", name="Remove old").click()
        page.get_by_role("button", name="Save tags").click()
        expect(page.get_by_role("status").get_by_text("The tags are saved.")).to_be_visible()
    assert shown(collector, run_id)["tags"] == {"grade": "measured meanwhile", "team": "green"}
    collector.client().json("POST", f"/runs/{run_id}/cancel", {})


@pytest.mark.row("C7")
@needs_browser
def test_several_runs_that_are_selected_are_tagged_canceled_and_archived_together(browsing: Browsing) -> None:
    collector, run_ids = browsing.collector, ["c7-many-a", "c7-many-b"]
    for run_id in run_ids:
        submit(collector, run_id, ["sleep", "600"])
    with browsing.page("/runs") as page:
        for run_id in run_ids:
            page.get_by_role("checkbox", name=f"Select {run_id}").check()
        actions = page.get_by_role("group", name="Actions on the selected runs")
        actions.get_by_role("button", name="Tag").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Tag", exact=True).fill("sweep")
        dialog.get_by_label("Value").fill("lr")
        dialog.get_by_role("button", name="Add tag").click()
        wait_for(lambda: all(shown(collector, one)["tags"] == {"sweep": "lr"} for one in run_ids), "both have the tag")
        actions.get_by_role("button", name="Cancel").click()
        expect(dialog.get_by_role("listitem")).to_have_count(2)
        shoot(page, "cancel-many")
        dialog.get_by_role("button", name="Cancel runs").click()
        expect(page.get_by_role("status").get_by_text("Asked to cancel 2 runs.")).to_be_visible()
        wait_for(lambda: all(status_of(collector, one) == "Canceled" for one in run_ids), "both are canceled")
        actions.get_by_role("button", name="Archive").click()
        dialog.get_by_role("button", name="Archive").click()
        expect(page.get_by_role("link", name=re.compile("c7-many"))).to_have_count(0)


@pytest.mark.row("C7")
@needs_browser
def test_a_run_is_started_from_a_pasted_description_whose_faults_are_told_with_their_place(browsing: Browsing) -> None:
    with browsing.page(f"/new?cluster={CLUSTER}") as page:
        page.get_by_text("Fill the form from a run.toml").click()
        box = page.get_by_label("run.toml", exact=True)
        box.fill("command = ['true']\nexperiment == 'x'")
        expect(page.get_by_role("alert").get_by_text("at line 2")).to_be_visible()
        box.fill("command = ['true']\nexperimant = 'x'")
        expect(page.get_by_role("alert").get_by_text("did you mean 'experiment'")).to_be_visible()
        shoot(page, "new-run-toml-fault")
        box.fill("command = ['echo', 'a b']\nexperiment = 'pasted'\n[tags]\nfrom = 'toml'\n[limits]\ndriver = '2h'")
        expect(page.get_by_label("Command")).to_have_value("echo 'a b'")
        expect(page.get_by_label("Time limit")).to_have_value("2h")
        page.get_by_role("button", name="Start run").click()
        run_id = arrive(page)
    found = shown(browsing.collector, run_id)
    assert (found["command"], found["tags"], found["timeout_s"]) == (["echo", "a b"], {"from": "toml"}, 7200)


@needs_browser
def test_a_run_that_no_queue_has_is_started_again_as_far_as_it_is_known_and_the_page_says_so(
    browsing: Browsing, tmp_path: Path
) -> None:
    words = ("run", "--run-id", "c7-local", "--experiment", "local", "--", "echo", "by hand")
    done = runyard(browsing.collector, *words, RUNYARD_SPOOL__DIR=str(tmp_path / "spool"))
    assert done.returncode == 0, done.stderr
    with browsing.page("/runs/c7-local") as page:
        page.get_by_role("link", name="Run again").click()
        expect(page.get_by_role("note")).to_contain_text("not started from a queue")
        expect(page.get_by_label("Command")).to_have_value("echo 'by hand'")
        expect(page.get_by_label("Experiment")).to_have_value("local")
        page.get_by_role("button", name="Start run").click()
        expect(page).not_to_have_url(re.compile("/new|c7-local"))
        run_id = arrive(page)
    wait_for(lambda: status_of(browsing.collector, run_id) == "Completed", "it has run again")


@needs_browser
def test_what_a_run_was_started_with_in_secret_is_not_shown_and_has_to_be_typed_again(browsing: Browsing) -> None:
    client = browsing.collector.client()
    spec = {"command": ["true"], "env": {"WANDB_API_KEY": "very-secret-value"}}
    client.json("POST", f"/clusters/{CLUSTER}/runs", {"run_id": "c7-secret", "order": {"spec": spec}, "request": {"cpus": 0.1}})
    with browsing.page("/new?from=c7-secret") as page:
        expect(page.get_by_text("The value of WANDB_API_KEY may be a secret")).to_be_visible()
        expect(page.get_by_role("button", name="Start run")).to_be_disabled()
        assert "very-secret-value" not in page.content()
        page.get_by_label("Value of WANDB_API_KEY").fill("typed")
        expect(page.get_by_role("button", name="Start run")).to_be_enabled()


@needs_browser
def test_the_form_and_the_dialogs_can_be_used_by_everyone(browsing: Browsing) -> None:
    run_id = "c7-access"
    submit(browsing.collector, run_id, ["sleep", "600"])
    for theme, width in LOOKS:
        with browsing.page("/new", theme=theme, width=width) as page:
            page.get_by_label("Command").fill("python train.py")
            page.get_by_label("Runs in").select_option("venv")
            page.get_by_role("button", name="Add variable").click()
            expect(page.get_by_text("environment.requirements is empty")).to_be_visible()
            shoot(page, f"new-run-{theme}-{width}")
            assert faults_of_access(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of the page"
        with browsing.page(f"/runs/{run_id}", theme=theme, width=width) as page:
            choose(page, "Edit tags")
            shoot(page, f"edit-tags-{theme}-{width}")
            assert faults_of_access(page) == []
            page.keyboard.press("Escape")
            page.get_by_role("button", name="More actions").click()
            shoot(page, f"run-menu-{theme}-{width}")
            assert faults_of_access(page) == []
    browsing.collector.client().json("POST", f"/runs/{run_id}/cancel", {})
