"""Leading a sweep: submits the children that the search wants, so many at once, until there are none left.

All that a sweep is lies at the collector: its parent run with the goal and the search, and the children, whose ids end in their
trial's number and whose tag `sweep.params` holds what they were given. So whoever starts it again goes on where it was.

Reads from GET /runs/{run_id}/trials; writes POST /client-runs, records, and what submitting.py writes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable, InputError
from runyard.reader import FINAL_STATUSES
from runyard.spec import Snapshot

from . import comparing, metrics, saying, submitting, sweep_space
from .experiment import Experiment
from .run import Run
from .script_run_config import ScriptRunConfig
from .sweep_search import Direction, Outcome, Search, Trial

KIND = "sweep"
PARAMS, PROMOTED, SEARCH = "sweep.params", "sweep.promoted_from", "sweep.search"
# From one look at the children to the next: soon after something has happened, ever later while nothing does.
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
LONGEST_BACKOFF_S = 30.0
# A run that nobody says anything of for a day is shown as not responding.
SIGN_OF_LIFE_S = 3600.0
# What a child that has ended recorded last is waited for so long; a record that its end cut off never comes.
LAST_RECORDS_S = 30.0
SETTLE_S = 30.0
# A child that the collector does not know after so long is spoken of.
UNSEEN_S = 60.0
MOST_PARAMS = 4096  # characters, as of a tag of a run that is submitted


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep is, but for its code. `at_once`: the most children that have not ended."""

    search: Search
    metric: str
    goal: Direction
    at_once: int

    def to_text(self) -> str:
        """What has to be the same where the sweep is started again."""
        return json.dumps(self.search.to_json() | {"metric": self.metric, "goal": self.goal})


def open_parent(experiment: Experiment, sweep_id: str, plan: Plan, name: str, tags: Mapping[str, str]) -> Run:
    """The sweep's run, made where there is none. Blocks; raises InputError where it is another sweep, or one that has ended
    otherwise than by coming to its end, and CollectorError."""
    body = {"run_id": sweep_id, "experiment": experiment.name, "kind": KIND, "name": name, "tags": dict(tags)}
    job = submitting.job_of(experiment.workspace)
    if job:
        body["parent_run_id"] = job
    experiment.workspace.connection.client.json("POST", "/client-runs", body)
    run = Run(experiment, sweep_id)
    text = plan.to_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    known = run.get_properties().get(SEARCH)
    if known is not None and not known.startswith(digest):
        raise InputError(
            f"sweep {sweep_id} was begun with another search, metric or goal; go on with it as it was, or begin another one"
        )
    if run.get_status() in ("Canceled", "Failed"):
        raise InputError(f"sweep {sweep_id} has ended ({run.get_status()}); begin another one")
    if known is None:
        run.add_properties({SEARCH: f"{digest} {text}"[:MOST_PARAMS]})
        comparing.set_goal(run, plan.metric, plan.goal)
    return run


class Controller:
    """Leads one sweep, in the thread that calls `lead`."""

    def __init__(self, run: Run, config: ScriptRunConfig, plan: Plan, tell: Callable[[dict[str, Any]], None]) -> None:
        self.run = run
        self.stopping = threading.Event()  # leave the children as they are
        self._config = config
        self._plan = plan
        self._tell = tell  # a child has ended: its row of the table
        self._packed: Snapshot | None = None  # the code, packed once: all children that are started from here have the same
        self._status = ""  # of the sweep's run, as it was last seen
        self._started_s: dict[int, float] = {}
        self._described: set[str] = set()
        self._settled: set[int] = set()
        self._ended_s: dict[int, float] = {}
        self._said_s = 0.0

    def lead(self) -> str:
        """Go on until no trial is left; the status that the sweep has then ("Running" where it was stopped). Blocks.

        A collector that is away is waited for. Raises InputError and what a submit raises; then the sweep has failed.
        """
        wait_s = SHORTEST_WAIT_S
        while not self.stopping.is_set():
            before = len(self._started_s), len(self._settled)
            try:
                if self._step():
                    return self._end()
                is_still = before == (len(self._started_s), len(self._settled))
                wait_s = min(1.5 * wait_s, LONGEST_WAIT_S) if is_still else SHORTEST_WAIT_S
            except (CollectorUnreachable, CollectorBusy) as error:
                saying.once(f"sweep {self.run.id}: the collector cannot be asked now, which is tried again: {error}")
                wait_s = min(2 * wait_s, LONGEST_BACKOFF_S)
            except Exception as error:  # whatever keeps a child from being submitted keeps the next from it, too
                self._say_end("Failed", f"{type(error).__name__}: {error}")
                raise
            self.stopping.wait(wait_s)
        return "Running"

    def _step(self) -> bool:
        """Look at the children, and start those that may be; whether the sweep is over."""
        table = self._look()
        if self._status in FINAL_STATUSES:
            return True
        outcomes = self._outcomes(table)
        self._say_alive()
        ready = self._plan.search.ready(outcomes, self._plan.goal)
        open_count = sum(not outcome.is_over for outcome in outcomes.values())
        for trial in ready[: max(0, self._plan.at_once - open_count)]:
            if self.stopping.is_set():
                return False
            self._submit(trial)
            open_count += 1
        return not open_count

    def _look(self) -> dict[int, dict[str, Any]]:
        """The children by their trials' numbers; of those that have ended, all that they have recorded is in it."""
        table = self._read()
        fresh = {number for number, row in table.items() if number not in self._settled and self._has_all(number, row)}
        if fresh:
            table = self._read()  # what came last may not have been in the first look
            self._settled |= fresh
            for number in sorted(fresh):
                self._tell(table[number])
        return table

    def _read(self) -> dict[int, dict[str, Any]]:
        found = comparing.read_table(self.run, self._plan.metric, self._plan.goal)
        self._status = found.status
        table = {}
        for row in found.trials:
            number = trial_number(self.run.id, row["run_id"])
            if number is not None:
                table[number] = row
                self._describe(row)
        return table

    def _describe(self, row: dict[str, Any]) -> None:
        """Record a child's parameters; once it is there, since before that its parent knows of no such child."""
        child = row["run_id"]
        if child in self._described:
            return
        self._described.add(child)
        given: dict[str, Any] = json.loads(row["tags"].get(PARAMS, "{}"))
        for name, value in given.items():
            if name not in row["params"]:
                self.run._recorder.write(["p", child, name, str(value)])

    def _has_all(self, number: int, row: dict[str, Any]) -> bool:
        """Whether the child has ended, and what it recorded is applied."""
        if row["status"] not in FINAL_STATUSES:
            return False
        since_s = self._ended_s.setdefault(number, time.monotonic())
        return bool(row["is_complete"]) or time.monotonic() - since_s > LAST_RECORDS_S

    def _outcomes(self, table: dict[int, dict[str, Any]]) -> dict[int, Outcome]:
        outcomes = {number: Outcome(is_over=False) for number in self._started_s}
        for number, started_s in self._started_s.items():
            if number not in table and time.monotonic() - started_s > UNSEEN_S:
                saying.once(f"sweep {self.run.id}: trial {number} was started, and the collector does not know it yet")
        for number, row in table.items():
            outcomes[number] = Outcome(number in self._settled, row["status"] == "Completed", row["value"])
        return outcomes

    def _submit(self, trial: Trial) -> None:
        config = copy.copy(self._config)
        words = [str(word) for name, value in trial.params.items() for word in (sweep_space.argument_name(name), value)]
        config.arguments = [*(self._config.arguments or ()), *words]
        given = {sweep_space.parameter_name(name): value for name, value in trial.params.items()}
        text = json.dumps(given)
        if len(text) > MOST_PARAMS:
            raise InputError(f"the parameters of trial {trial.number} are longer than {MOST_PARAMS} characters")
        tags = {PARAMS: text}
        if trial.promoted is not None:
            tags[PROMOTED] = child_id(self.run.id, trial.promoted)
        child, workspace = child_id(self.run.id, trial.number), self.run.experiment.workspace
        # Whoever led the sweep before may have started it while the collector was away, and it is on its way there.
        if not submitting.has_its_place(workspace, child, self.run.id):
            self._packed = self._packed or submitting.pack(workspace, config)
            submitting.submit(self.run.experiment, config, tags, run_id=child, parent=self.run, packed=self._packed)
        self._started_s[trial.number] = time.monotonic()

    def _say_alive(self) -> None:
        if time.monotonic() - self._said_s > SIGN_OF_LIFE_S or not self._said_s:
            self._said_s = time.monotonic()
            self.run._recorder.write(["s", "", "Running", "", metrics.now_ms()])

    def _end(self) -> str:
        if self._status == "Canceled":
            self._cancel_late_ones()
        if self._status in FINAL_STATUSES:
            return self._status
        rows = self._read().values()
        if rows and not any(row["status"] == "Completed" for row in rows):
            return self._say_end("Failed", f"none of its {len(rows)} children completed")
        return self._say_end("Completed", "")

    def _cancel_late_ones(self) -> None:
        """Children that were on their way when the sweep was cancelled, with the others, were not there to be cancelled."""
        deadline_s = time.monotonic() + LAST_RECORDS_S
        while self._started_s.keys() - self._read().keys() and time.monotonic() < deadline_s:
            self.stopping.wait(SHORTEST_WAIT_S)
        with suppress(CollectorRefused):  # a sweep that a client has called Canceled has nothing to be cancelled
            self.run.cancel()

    def _say_end(self, status: str, cause: str) -> str:
        self.run._recorder.write(["s", "", status, cause[:3000], metrics.now_ms()])
        self.run.flush(SETTLE_S)
        return status


def child_id(sweep_id: str, number: int) -> str:
    """The run id of the trial with this number."""
    return f"{sweep_id}_{number}"


def trial_number(sweep_id: str, run_id: str) -> int | None:
    """The trial's number in a child's run id; None where it is no trial's."""
    number = run_id.removeprefix(f"{sweep_id}_")
    return int(number) if number.isascii() and number.isdigit() and number != run_id else None
