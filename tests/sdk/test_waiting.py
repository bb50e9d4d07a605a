"""A run that somebody waits for: its output comes live and whole, whatever becomes of run, collector and whoever waits."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import PyTorchConfiguration, Run, Workspace, names
from runyard.errors import InputError, RunFailed
from tests.agent.node_runs import is_alive
from tests.agent_process import running_agent
from tests.collector.removed import WHY, forgetful_collector, removed_run
from tests.sdk.lab import CLUSTER, LIMIT_S, LOG, Lab, lab
from tests.sdk.shown import is_shown, sections
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


class Watcher:
    """Somebody who waits for a run with its output shown, in a thread."""

    def __init__(self, run: Run, **how: Any) -> None:
        self.stream = io.StringIO()
        self.details: dict[str, Any] = {}
        self._how = how
        self._run = run
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        self.details = self._run.wait_for_completion(show_output=self.stream, **self._how)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def sees(self, text: str) -> None:
        """Wait until it is shown."""
        wait_for(lambda: text in self.text, f"{text!r} is shown", limit_s=LIMIT_S)

    def ends(self) -> dict[str, Any]:
        """What it was given in the end."""
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), self.text
        return self.details


def check_shown(site: Lab, run: Run, text: str) -> None:
    """Everything that the run's numbered logs hold was shown, each byte once and in order."""
    shown = sections(text)
    logs = site.numbered_logs(run)
    assert logs
    for path, data in logs.items():
        assert is_shown(shown, path, data.decode("utf-8", "replace")), (path, data[-500:], text[-2000:])
    assert {name for name, _ in shown} == {path for path, data in logs.items() if data}


STEPS = """
import pathlib, sys, time
def step(number):
    while not pathlib.Path(sys.argv[1], str(number)).exists():
        time.sleep(0.02)
print("begins", flush=True)
step(1)
sys.stdout.write("half of a ")
sys.stdout.flush()
step(2)
sys.stdout.write("line\\n\\rbar 1\\rbar 2")
sys.stdout.flush()
step(3)
print("\\nends \\u00e9", flush=True)
sys.stdout.write("no end")
"""


@pytest.mark.row("B5")
@pytest.mark.parametrize("cluster", [CLUSTER, ""])
def test_output_is_shown_while_the_run_goes_on_and_to_its_last_byte(site: Lab, tmp_path: Path, cluster: str) -> None:
    run = site.submit(STEPS, tmp_path, cluster=cluster)
    watcher = Watcher(run)
    watcher.sees(f"RunId: {run.id}\nWeb View: {site.collector.url}/runs/{run.id}\n\n")
    watcher.sees(f"Streaming {LOG}\n{'=' * (len(LOG) + 10)}\n\nbegins\n")
    for number, text in enumerate(("half of a ", "half of a line\n\rbar 1\rbar 2"), 1):
        (tmp_path / str(number)).touch()
        watcher.sees(text)
        assert "Execution Summary" not in watcher.text
    (tmp_path / "3").touch()
    assert watcher.ends()["status"] == "Completed"
    head = f"\nExecution Summary\n=================\nRunId: {run.id}\nWeb View: {site.collector.url}/runs/{run.id}\n"
    assert head in watcher.text
    check_shown(site, run, watcher.text)
    again = io.StringIO()
    run.wait_for_completion(show_output=again)  # type: ignore[arg-type]
    check_shown(site, run, again.getvalue())
    assert [name[13:15] for name, _ in sections(again.getvalue())] == ["55", "65", "70", "75"]


FAST = """
import os, sys
rank = int(os.environ["RANK"])
for step in range(15000):
    os.write(1, b"%d: a line of the rank %d\\n" % (step, rank))
    if step % 50 == rank:
        os.write(1, b"half of ")
        os.write(2, b"another\\n")
os.write(1, b"the last one has no end %d" % rank)
"""


@pytest.mark.row("B5")
def test_of_several_fast_writers_each_is_shown_whole(site: Lab) -> None:
    run = site.submit(FAST, distributed_job_config=PyTorchConfiguration(process_count=3))
    watcher = Watcher(run)
    assert watcher.ends()["status"] == "Completed"
    check_shown(site, run, watcher.text)
    assert len([name for name, _ in sections(watcher.text) if "70_driver_log_" in name]) < 60


@pytest.mark.row("B5")
def test_a_failure_is_raised_with_its_cause_and_shown_with_its_evidence(site: Lab) -> None:
    run = site.submit("print('working', flush=True)\nraise ValueError('no such label')", cluster=CLUSTER)
    stream = io.StringIO()
    with pytest.raises(RunFailed, match="no such label") as caught:
        run.wait_for_completion(show_output=stream)  # type: ignore[arg-type]
    assert caught.value.run_id == run.id
    assert caught.value.details["status"] == "Failed"
    assert "\nVerdict: " in stream.getvalue()
    assert "ValueError: no such label" in stream.getvalue()
    check_shown(site, run, stream.getvalue())
    details = run.wait_for_completion(raise_on_error=False)
    assert details["error"]["error"]["code"] == "UserError"
    assert "no such label" in details["error"]["error"]["message"]
    assert "working" in run.get_details_with_logs()["logFiles"][LOG]
    with pytest.raises(RunFailed):
        run.wait_for_completion()


def test_of_several_nodes_each_ones_logs_are_shown(site: Lab, tmp_path: Path) -> None:
    spread = PyTorchConfiguration(node_count=2)
    with running_agent(tmp_path / "second", site.collector) as second:
        run = site.submit(FAST.replace("15000", "500"), cluster=CLUSTER, distributed_job_config=spread)
        watcher = Watcher(run)
        assert watcher.ends()["status"] == "Completed"
        check_shown(site, run, watcher.text)
        second.stop()  # and says so: no later run is given to it
    drivers = {name for name, _ in sections(watcher.text) if "70_driver_log_" in name}
    assert len(drivers) == 2
    assert all(name.count("/") == 2 for name in drivers)


def test_a_run_that_no_node_has_is_waited_for_as_any_other(site: Lab) -> None:
    made = {"run_id": f"made-{os.urandom(4).hex()}", "experiment": "digits", "kind": "sweep"}
    site.collector.client().json("POST", "/client-runs", made)
    run = Run.get(site.workspace, made["run_id"])
    watcher = Watcher(run, raise_on_error=False)
    watcher.sees("Web View")
    run.fail("no data")
    details = watcher.ends()
    assert (details["status"], details["error"]["error"]["code"]) == ("Failed", "UserError")
    assert "no data" in watcher.text.partition("Execution Summary")[2]
    with pytest.raises(RunFailed, match="no data"):
        run.wait_for_completion(wait_post_processing=True)


MANY = 6_000  # metrics, each of which is more work than a point of one that is known
LOGS_MANY = f"from runyard import Run\nrun = Run.get_context()\nfor number in range({MANY}): run.log(f'm{{number}}', number)"


def test_who_has_waited_reads_all_metrics(site: Lab) -> None:
    run = site.submit(LOGS_MANY)
    run.wait_for_completion()
    assert len(site.collector.client().json("GET", f"/runs/{run.id}/metrics")["metrics"]) == MANY


def test_a_killed_script_has_failed(site: Lab, tmp_path: Path) -> None:
    run = site.waiter(tmp_path / "end")
    watcher = Watcher(run, raise_on_error=False)
    match = re.search(rb"here as (\d+)", site.log(run))
    assert match is not None
    watcher.sees("here as")
    os.kill(int(match[1]), signal.SIGKILL)
    details = watcher.ends()
    assert details["status"] == "Failed"
    assert "SIGKILL" in details["error"]["error"]["message"] or "signal 9" in details["error"]["error"]["message"]


def test_a_cancelled_run_is_no_error(site: Lab, tmp_path: Path) -> None:
    run = site.waiter(tmp_path / "end", CLUSTER)
    watcher = Watcher(run)
    watcher.sees("here as")
    run.cancel()
    assert watcher.ends()["status"] == "Canceled"
    assert "\nStatus: Canceled\nCause: canceled by" in watcher.text
    check_shown(site, run, watcher.text)


def test_a_collector_that_is_away_meanwhile_costs_no_byte(site: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNYARD_RUN__DRAIN_S", "0.1")  # nobody waits for the process that sends: it stays all the same
    run = site.submit(STEPS, tmp_path)
    watcher = Watcher(run)
    watcher.sees("begins\n")
    site.collector.kill()
    for number in (1, 2, 3):
        (tmp_path / str(number)).touch()
    state = site.spool / run.id / names.STATE_FILE
    wait_for(lambda: json.loads(state.read_text()).get("ended_ns"), "the run has ended on this machine", limit_s=LIMIT_S)
    assert site.log(run).endswith(b"no end")
    site.collector.start()
    assert watcher.ends()["status"] == "Completed"
    check_shown(site, run, watcher.text)


NOTEBOOK = """
import sys
from runyard import Run, Workspace
Run.get(Workspace.from_config(), sys.argv[1]).wait_for_completion(show_output=True)
"""


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_come_back(site: Lab, tmp_path: Path) -> None:
    run = site.waiter(tmp_path / "end")
    match = re.search(rb"here as (\d+)", site.log(run))
    assert match is not None
    notebook = site.notebook(NOTEBOOK, run.id)
    assert notebook.stdout is not None
    while "here as" not in notebook.stdout.readline():
        assert notebook.poll() is None
    notebook.send_signal(signal.SIGINT)
    out, errors = notebook.communicate(timeout=LIMIT_S)
    assert notebook.returncode == -signal.SIGINT
    assert f"run {run.id} goes on" in out
    assert "KeyboardInterrupt" in errors
    assert is_alive(int(match[1]))
    (tmp_path / "end").write_text("0")
    assert run.wait_for_completion(wait_post_processing=True)["status"] == "Completed"
    assert site.collector.client().json("GET", f"/runs/{run.id}")["is_complete"]


def test_without_a_stream_it_is_stdout(site: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    run = site.submit("print('to stdout')")
    run.wait_for_completion(show_output=True)
    out = capsys.readouterr().out
    assert "to stdout\n" in out
    check_shown(site, run, out)


def test_a_run_that_is_none_cannot_be_waited_for(site: Lab) -> None:
    run = site.submit("print(1)")
    with pytest.raises(InputError, match=f"did you mean '{run.id}'"):
        Run(site.experiment, run.id[:-1]).wait_for_completion()
    with pytest.raises(InputError, match="did you mean"):
        Run(site.experiment, run.id[:-1]).wait_for_completion(show_output=True)


def test_whoever_waits_for_a_run_whose_files_were_removed_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with forgetful_collector(tmp_path) as collector:
        node = removed_run(collector)
        monkeypatch.setenv("RUNYARD_COLLECTOR_URL", collector.url)
        monkeypatch.setenv("RUNYARD_TOKEN", collector.token)
        shown = io.StringIO()
        Run.get(Workspace.from_config(), node.run_id).wait_for_completion(show_output=shown)  # type: ignore[arg-type]
    assert f"\n[the files of run {node.run_id} were removed at " in shown.getvalue()
    assert f": {WHY}]\n" in shown.getvalue()
