"""The queue under faults: runs of all widths for pretend nodes that die, fall silent and come back, cancels, and a collector
that is killed, all from a seed. Every run ends in exactly one final state, none is lost, none is executed twice at the same
time, and wide ones get their turn. (What a silent node has goes on until somebody can tell it; then it ends at once.)
FAULTS_SEED chooses which, QUEUE_RUNS how many; `make faults` has 200.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable
from runyard.spec import Spec
from tests.collector_process import CollectorProcess, running_collector
from tests.faults.pretend_node import CPUS, FINAL, Away, Execution, Ledger, PretendNode
from tests.waiting import wait_for

CLUSTER = "campaign"
NODES = 8
# Of as many nodes at least so many live at any time, so that there always is room for the widest run.
MOST_AWAY = 2
WIDEST = NODES - MOST_AWAY
RUNS_PER_S = 5.0
LOST_S, GIVE_UP_S, RESERVE_S = 1.0, 2.0, 1.0
SMALL = 40


@dataclass(frozen=True)
class Planned:
    """One run: when it is submitted and cancelled (seconds from the start), and what it is."""

    run_id: str
    at_s: float
    node_count: int
    cpus: float
    seconds: float
    exit_code: int
    priority: int
    retries: int
    cancel_after_s: float | None


@dataclass(frozen=True)
class Death:
    """A node is away: silent, crashed, or crashed and wiped."""

    at_s: float
    node: int
    kind: str
    for_s: float


@dataclass(frozen=True)
class Plan:
    runs: tuple[Planned, ...]
    deaths: tuple[Death, ...]
    kills_s: tuple[float, ...]  # of the collector


def plan(seed: int, count: int) -> Plan:
    """The same for the same seed."""
    choice = random.Random(seed)
    lasts_s = count / RUNS_PER_S
    runs = tuple(_run(choice, number, lasts_s) for number in range(count))
    deaths, at_s = [], 1.0
    while at_s < lasts_s:
        # One after another on either of two lanes: no more than MOST_AWAY are away at the same time.
        for lane in range(MOST_AWAY):
            kind = choice.choice(("silent", "crashed", "wiped"))
            node = choice.randrange(lane, NODES, MOST_AWAY)
            deaths.append(Death(at_s + choice.uniform(0, 1), node, kind, choice.choice((0.3, 1.2, 3.5))))
        at_s += 6.0
    kills = max(1, round(lasts_s / 10))
    kills_s = tuple(sorted(choice.uniform(0.5, lasts_s) for _ in range(kills)))
    return Plan(runs, tuple(sorted(deaths, key=lambda death: death.at_s)), kills_s)


def _run(choice: random.Random, number: int, lasts_s: float) -> Planned:
    is_wide = choice.random() < 0.08 or number == 3
    is_shared = not is_wide and choice.random() < 0.5
    return Planned(
        run_id=f"run-{number}",
        at_s=choice.uniform(0, lasts_s) if number != 3 else lasts_s / 4,
        node_count=choice.randint(WIDEST - 1, WIDEST) if is_wide else choice.choice((1, 1, 1, 2, 3)),
        cpus=choice.choice((1.0, 2.0, 4.0)) if is_shared else 0.0,
        seconds=choice.uniform(0.05, 0.6),
        exit_code=choice.choice((0, 0, 0, 3)),
        priority=0 if is_wide else choice.choice((-1, 0, 0, 0, 0, 0, 0, 1)),
        retries=choice.choice((0, 1, 3)),
        cancel_after_s=choice.uniform(0, 2.5) if choice.random() < 0.15 and number != 3 else None,
    )


@dataclass
class Campaign:
    """What is told and seen while it goes on."""

    collector: CollectorProcess
    plan: Plan
    ledger: Ledger = field(default_factory=Ledger)
    nodes: list[PretendNode] = field(default_factory=list)
    submitted_s: dict[str, float] = field(default_factory=dict)
    cancelled: Counter[str] = field(default_factory=Counter)
    seen: dict[str, set[str]] = field(default_factory=dict)  # final statuses that the run was ever shown with
    gate: threading.Lock = field(default_factory=threading.Lock)  # held while the collector is restarted

    def play(self) -> None:
        """Do all that is planned, each at its time."""
        events: list[tuple[float, Callable[[], None]]] = []
        for run in self.plan.runs:
            events.append((run.at_s, lambda run=run: self._submit(run)))  # type: ignore[misc]
            if run.cancel_after_s is not None:
                events.append((run.at_s + run.cancel_after_s, lambda run=run: self._cancel(run)))  # type: ignore[misc]
        for death in self.plan.deaths:
            node = self.nodes[death.node]
            events.append((death.at_s, lambda node=node, death=death: _kill(node, death)))  # type: ignore[misc]
            events.append((death.at_s + death.for_s, node.come_back))
        events += [(at_s, self._kill_collector) for at_s in self.plan.kills_s]
        begun_s = time.monotonic()
        for at_s, act in sorted(events, key=lambda event: event[0]):
            time.sleep(max(0.0, begun_s + at_s - time.monotonic()))
            act()

    def _submit(self, run: Planned) -> None:
        tags = {"seconds": str(run.seconds), "exit_code": str(run.exit_code)}
        body = {
            "run_id": run.run_id,
            "order": {"spec": Spec(command=("train",), experiment="queued", tags=tags).to_json()},
            "node_count": run.node_count,
            "request": {"cpus": run.cpus},
            "priority": run.priority,
            "retries": run.retries,
        }
        self._insist("POST", f"/clusters/{CLUSTER}/runs", body)
        self.submitted_s[run.run_id] = time.monotonic()

    def _cancel(self, run: Planned) -> None:
        try:
            self._insist("POST", f"/runs/{run.run_id}/cancel", {"reason": "planned"})
        except CollectorRefused as error:
            if error.code != "ended":
                raise
        else:
            self.cancelled[run.run_id] += 1

    def _insist(self, method: str, path: str, body: Any = None) -> Any:
        """As a person would: again, until the collector answers."""

        def call() -> list[Any]:
            client = self.collector.client()
            try:
                return [client.json(method, path, body)]
            except (CollectorUnreachable, CollectorBusy):
                return []
            finally:
                client.close()

        return wait_for(call, f"{method} {path} is answered")[0]

    def _kill_collector(self) -> None:
        self.collector.kill()
        threading.Thread(target=self._restart).start()

    def _restart(self) -> None:
        with self.gate:
            self.collector.restart()

    def look(self) -> bool:
        """Whether every run has ended; what each is shown with is noted."""
        shown = [run for run in self._insist("GET", "/runs?page_size=1000")["runs"] if run["status"] in FINAL]
        for run in shown:
            self.seen.setdefault(run["run_id"], set()).add(run["status"])
        return len(self.seen) == len(self.plan.runs)

    def story(self, run_id: str) -> str:
        """All that is known of a run."""
        whole = self._insist("GET", f"/runs/{run_id}")
        parts = [one for one in self.ledger.all if one.run_id == run_id]
        lines = [f"{whole['status']} attempt {whole['attempt']}: {whole['cause']}", *map(str, whole["nodes"]), *map(str, parts)]
        return "\n".join([*lines, *(f"{node.name} was away {node.away}" for node in self.nodes)])

    def start_of(self, run_id: str) -> float | None:
        """When the run first began."""
        return min((one.start_s for one in self.ledger.all if one.run_id == run_id), default=None)


def _kill(node: PretendNode, death: Death) -> None:
    if death.kind == "silent":
        node.silence()
    else:
        node.crash(is_wiped=death.kind == "wiped")


@contextmanager
def campaign(folder: Path, seed: int, count: int) -> Iterator[Campaign]:
    """A collector and its nodes, which have joined; ended after the block."""
    quick = {
        "RUNYARD_COLLECTOR__LOST_CONTACT_S": str(LOST_S),
        "RUNYARD_COLLECTOR__GIVE_UP_LOST_S": str(GIVE_UP_S),
        "RUNYARD_COLLECTOR__RESERVE_AFTER_S": str(RESERVE_S),
    }
    with running_collector(folder, environ=quick) as collector:
        found = Campaign(collector, plan(seed, count))
        try:
            for number in range(NODES):
                found.nodes.append(PretendNode(collector, CLUSTER, number, found.ledger))
            for node in found.nodes:
                node.start()
            yield found
        finally:
            with found.gate:
                for node in found.nodes:
                    node.stop()


def overlap(one: Execution, other: Execution) -> tuple[float, float] | None:
    """When both were executed."""
    start_s, end_s = max(one.start_s, other.start_s), min(one.end_s, other.end_s)
    return (start_s, end_s) if end_s > start_s else None


def is_within(span: tuple[float, float], away: list[Away]) -> bool:
    return any(one.start_s <= span[0] and span[1] <= one.end_s for one in away)


def check_executions(found: Campaign) -> None:
    """Nobody was executed twice at the same time but where an old part's node could not be told; no node had too much."""
    away = {node.name: node.away for node in found.nodes}
    by_run: dict[str, list[Execution]] = {}
    by_node: dict[str, list[Execution]] = {}
    for one in found.ledger.all:
        assert one.how, one
        by_run.setdefault(one.run_id, []).append(one)
        by_node.setdefault(one.node, []).append(one)
    for parts in by_run.values():
        for one, other in combinations(parts, 2):
            span = overlap(one, other)
            if span is None:
                continue
            old, new = sorted((one, other), key=lambda part: part.attempt)
            if old.attempt == new.attempt:
                assert old.node_rank != new.node_rank, (old, new)
                assert old.node != new.node, (old, new)
            else:
                assert is_within(span, away[old.node]), (old, new, span, away[old.node])
    for name, parts in by_node.items():
        for one in parts:
            beside = [other for other in parts if other.start_s <= one.start_s < other.end_s]
            assert sum(other.cpus for other in beside) <= CPUS, (name, one, beside)


def check_ends(found: Campaign) -> None:
    """What each run is said to be is what it was."""
    shown = {run["run_id"]: run for run in found._insist("GET", "/runs?page_size=1000")["runs"]}
    assert shown.keys() == {run.run_id for run in found.plan.runs}
    for run in found.plan.runs:
        document = shown[run.run_id]
        assert found.seen[run.run_id] == {document["status"]}, (run, document, found.seen[run.run_id])
        parts = [one for one in found.ledger.all if (one.run_id, one.attempt) == (run.run_id, document["attempt"])]
        if document["status"] == "Completed":
            ended = [one.node_rank for one in parts if one.how == "Completed"]
            assert sorted(ended) == list(range(run.node_count)), (run, document, parts)
            assert run.exit_code == 0
        elif document["status"] == "Canceled":
            if not found.cancelled[run.run_id]:
                pytest.fail(f"nobody has cancelled {run}: {found.story(run.run_id)}")
        elif document["exit_code"] is not None:
            assert document["exit_code"] == run.exit_code != 0, (run, document)
        else:
            assert document["cause"], document


def check_wide(found: Campaign) -> list[float]:
    """How long the wide runs have waited. None had to wait until those that came after it were through."""
    starts = {run.run_id: found.start_of(run.run_id) for run in found.plan.runs}
    waited = []
    for run in found.plan.runs:
        started_s = starts[run.run_id]
        if run.node_count < WIDEST - 1 or started_s is None:
            continue
        waited.append(started_s - found.submitted_s[run.run_id])
        later = [
            one for one in found.plan.runs if one.at_s > run.at_s and one.priority <= 0 and one.node_count < run.node_count
        ]
        after = [one for one in later if (starts[one.run_id] or 0) > started_s]
        assert after or len(later) < len(found.plan.runs) / 3, (run, waited[-1])
    assert waited
    return waited


@pytest.mark.timeout(900)
def test_every_run_of_a_queue_ends_once_whatever_dies(tmp_path: Path, tell: Callable[[str], None]) -> None:
    seed, count = int(os.environ.get("FAULTS_SEED", "20261124")), int(os.environ.get("QUEUE_RUNS", SMALL))
    with campaign(tmp_path, seed, count) as found:
        watching = threading.Event()

        def watch() -> None:
            while not watching.wait(0.3):
                found.look()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            found.play()
            wait_for(found.look, "every run has ended", limit_s=60 + count)
        finally:
            watching.set()
            watcher.join()
        assert not [failure for node in found.nodes for failure in node.failures]
        queue = f"/clusters/{CLUSTER}"
        wait_for(lambda: not found._insist("GET", f"{queue}/runs")["runs"], "the queue is empty")
        wait_for(lambda: found._insist("GET", queue)["nodes"] == {"Idle": NODES}, "all nodes are idle")
        found.look()
        check_executions(found)
        check_ends(found)
        waited = check_wide(found)
        ends = Counter(status for seen in found.seen.values() for status in seen)
        again = len({one.run_id for one in found.ledger.all if one.attempt})
        tell(f"queue: seed {seed}, {count} runs ({dict(ends)}), {again} of them executed again;")
        tell(f"  {len(found.plan.deaths)} deaths of nodes, {len(found.plan.kills_s)} kills of the collector;")
        tell(f"  {len(waited)} wide runs waited {sum(waited) / len(waited):.1f} s in the mean, {max(waited):.1f} s at most")


def test_a_seed_gives_the_same_plan_again() -> None:
    assert plan(7, 200) == plan(7, 200)
    assert plan(7, 200) != plan(8, 200)
