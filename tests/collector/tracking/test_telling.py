"""Who follows a run that no node has learns of its end when somebody says it, whichever way that comes."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from runyard.follow import End, Follower, Query
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

AT_MS = 1764417000000


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    with running_collector(tmp_path_factory.mktemp("collector")) as process:
        yield process


def by_record(collector: CollectorProcess, run_id: str) -> None:
    collector.client().send(
        "POST", f"/runs/{run_id}/records", f'["s","","Completed","",{AT_MS}]\n'.encode(), "application/x-ndjson"
    )


def by_mlflow(collector: CollectorProcess, run_id: str) -> None:
    body = json.dumps({"run_id": run_id, "status": "FINISHED", "end_time": AT_MS}).encode()
    headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{collector.url}/api/2.0/mlflow/runs/update", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def by_its_parent(collector: CollectorProcess, run_id: str) -> None:
    parent = run_id.rpartition("_")[0]
    line = f'["s","{run_id}","Completed","",{AT_MS}]\n'
    collector.client().send("POST", f"/runs/{parent}/records", line.encode(), "application/x-ndjson")


@pytest.mark.parametrize("say", [by_record, by_mlflow, by_its_parent])
def test_a_follower_ends_with_its_run(collector: CollectorProcess, say: Callable[[CollectorProcess, str], None]) -> None:
    client = collector.client()
    parent, run_id = say.__name__, f"{say.__name__}_1"
    client.json("POST", "/client-runs", {"run_id": parent, "experiment": "e", "kind": "sweep"})
    made = f'["c","{run_id}","","","child","",{AT_MS}]\n["s","{run_id}","Running","",{AT_MS}]\n'
    client.send("POST", f"/runs/{parent}/records", made.encode(), "application/x-ndjson")
    said: list[str] = []

    def follow() -> None:
        for happening in Follower(collector.client(), run_id, Query()):
            said.append(happening.status if isinstance(happening, End) else type(happening).__name__)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    wait_for(lambda: said, "the follower is there")
    say(collector, run_id)
    thread.join(10)
    assert said[-1] == "Completed"
