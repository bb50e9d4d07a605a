"""The widget's feed ends with the run as it is, whatever the collector does meanwhile, and says what is missing."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runyard import Run, Workspace
from runyard.client import CollectorClient
from runyard.widgets import RunDetails
from tests.collector.node import LOG, Node, gap_frame
from tests.collector.removed import WHY, forgetful_collector, removed_run
from tests.sdk.lab import LIMIT_S, Lab
from tests.waiting import wait_for
from tests.widgets.shown import Shown


class Hiccup(ThreadingHTTPServer):
    """A way to a collector that hangs up on so many requests for metrics, once it has passed on that a run is Completed."""

    daemon_threads = True

    def __init__(self, collector: CollectorClient, count: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.collector, self.left = collector, count
        self.is_completed = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Passing(BaseHTTPRequestHandler):
    server: Hiccup

    def do_GET(self) -> None:
        site = self.server
        if site.is_completed and site.left and "/metrics" in self.path:
            site.left -= 1
            self.close_connection = True
            return
        with site.collector.stream("GET", self.path.removeprefix("/api/v1")) as response:
            data = response.read()
            site.is_completed |= b'"status":"Completed"' in data.replace(b'": "', b'":"')
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def hiccup(site: Lab, count: int) -> Iterator[Hiccup]:
    with Hiccup(site.collector.client(), count) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_state_that_came_just_before_a_hiccup_is_shown(site: Lab) -> None:
    run = site.experiment.start_logging()
    with hiccup(site, 3) as server:
        shown = Shown(run, url=server.url)
        wait_for(lambda: shown.parts.get("run"), "the run is shown", limit_s=LIMIT_S)
        run.complete()
        wait_for(shown.is_over, "the feed is over", limit_s=LIMIT_S)
        assert shown.feed.wait(LIMIT_S)
        assert server.left == 0
    assert shown.parts["run"]["status"] == "Completed"


def test_the_last_children_of_a_sweep_are_shown_as_it_ends(site: Lab) -> None:
    parent = _client_run(site)
    child = _client_run(site, parent_run_id=parent.id)
    shown = Shown(parent)
    wait_for(lambda: (shown.parts.get("trials") or {}).get("trials"), "the child is shown", limit_s=LIMIT_S)
    other = _client_run(site, parent_run_id=parent.id)
    for one in (child, other, parent):
        one.complete()
    wait_for(shown.is_over, "the feed is over", limit_s=LIMIT_S)
    told = {one["run_id"]: one["status"] for one in shown.parts["trials"]["trials"]}
    assert told == {child.id: "Completed", other.id: "Completed"}


def _client_run(site: Lab, **fields: Any) -> Run:
    """A run that no node has: it is complete the moment that it has ended."""
    made = {"run_id": f"sweep-{secrets.token_hex(4)}", "experiment": "digits", "kind": "sweep"} | fields
    site.collector.client().json("POST", "/client-runs", made)
    return Run.get(site.workspace, made["run_id"])


def test_bytes_that_the_node_has_dropped_are_marked_and_the_lines_before_stay(site: Lab) -> None:
    node = Node(site.collector, experiment="digits")
    stream = node.open_one()
    node.send(stream, 0, b"before\nhalf of")
    shown = Shown(Run(site.experiment, node.run_id))
    wait_for(lambda: (shown.parts.get("log") or {}).get("bytes"), "the log is shown", limit_s=LIMIT_S)
    node.ingest(gap_frame(stream, 14, 5014))
    node.send(stream, 5014, b" a line\nbehind\n")
    wait_for(lambda: b"behind" in shown.parts["log"]["bytes"], "the log goes on", limit_s=LIMIT_S)
    shown.feed.stop()
    log = shown.parts["log"]
    assert (log["start"], log["bytes"], log["gaps"]) == (0, b"before\nhalf of a line\nbehind\n", [[14, 5014]])


def test_files_that_do_not_come_are_told_and_looked_for_again_when_it_is_shown_again(site: Lab) -> None:
    node = Node(site.collector, experiment="digits")
    stream = node.open_one()
    node.send(stream, 0, b"the first half, ")
    node.put_state("Failed", exit_code=1, started_ns=1, ended_ns=2)
    shown = Shown(Run(site.experiment, node.run_id), give_up_s=0.5)
    wait_for(shown.is_over, "the feed is over", limit_s=LIMIT_S)
    assert "is Failed, and not all of its files have come" in shown.trouble
    assert shown.feed.wait(LIMIT_S)
    node.send(stream, 16, b"the second")
    node.seal(stream, b"the first half, the second")
    node.complete("Failed", exit_code=1)
    shown.feed.start()
    wait_for(lambda: shown.is_over() and not shown.trouble, "all of it is shown", limit_s=LIMIT_S)
    assert shown.parts["log"]["bytes"] == b"the first half, the second"


def test_a_log_without_bytes_is_no_text(site: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    node = Node(site.collector, experiment="digits")
    node.seal(node.open_one(), b"")
    node.complete()
    details = RunDetails(Run(site.experiment, node.run_id))
    data = details.get_widget_data()
    assert (data["log_file"], data["run_logs"]) == (LOG, "")
    details.show()
    assert "Status: Completed" in capsys.readouterr().out


def test_a_log_that_was_removed_is_no_text_and_the_widget_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with forgetful_collector(tmp_path) as collector:
        node = removed_run(collector)
        monkeypatch.setenv("RUNYARD_COLLECTOR_URL", collector.url)
        monkeypatch.setenv("RUNYARD_TOKEN", collector.token)
        run = Run.get(Workspace.from_config(), node.run_id)
        assert RunDetails(run).get_widget_data()["run_logs"] == ""
        shown = Shown(run)
        wait_for(shown.is_over, "the feed is over", limit_s=LIMIT_S)
        assert (shown.parts["run"]["removed_why"], shown.trouble) == (WHY, "")
