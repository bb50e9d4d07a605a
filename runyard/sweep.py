"""Sweeps: one script with many parameters, a child run each, under one run that has the goal and the best of them.

    from runyard import Experiment, ScriptRunConfig, Workspace, sweep

    experiment = Experiment(Workspace.from_config(), "digits")
    config = ScriptRunConfig(".", "train.py", compute_target="lab")
    search = sweep.random({"lr": sweep.loguniform(1e-5, 0.1), "layers": [2, 4]}, count=20)
    result = sweep.run(experiment, config, search, metric="loss", goal="minimize", at_once=4)
    print(result.best_child, result.best_value)

A child gets its parameters as arguments (`--lr 0.01 --layers 2`) after those of the configuration, and has them as its
parameters. A child that fails does not end the sweep. Which child is best is told in docs/sdk.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import names
from .errors import InputError
from .run_ids import checked_id, fresh_run_id
from .sdk import comparing, saying
from .sdk.sweep_search import Direction, Search, grid, random, successive_halving
from .sdk.sweep_space import choice, loguniform, normal, quniform, randint, uniform

if TYPE_CHECKING:
    from .sdk.experiment import Experiment
    from .sdk.run import Run
    from .sdk.script_run_config import ScriptRunConfig
    from .sdk.sweep_control import Controller

__all__ = [
    "Result", "Search", "Sweep", "choice", "grid", "loguniform", "normal", "quniform", "randint", "random", "run", "start",
    "successive_halving", "uniform",
]  # fmt: skip

_MOST_AT_ONCE = 1000
_ROOM = 7  # characters, for a child's number behind the sweep's id
_MOST_PREFIX = 90


@dataclass(frozen=True, slots=True)
class Result:
    """What a sweep has come to: its run, its status, the best child with its value (None where none has one), and its children
    as Run.get_children_table gives them."""

    run: Run
    status: str
    best_child: Run | None
    best_value: float | None
    table: list[dict[str, Any]]


def run(
    experiment: Experiment,
    config: ScriptRunConfig,
    search: Search,
    *,
    metric: str,
    goal: Direction = "minimize",
    at_once: int = 1,
    sweep_id: str | None = None,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    show_output: bool = False,
) -> Result:
    """Lead the sweep to its end. Blocks. `at_once`: the most children at a time. `show_output`: a line for each that ends.

    With the `sweep_id` of one that was begun it goes on where that was: children that there are, are not submitted again.
    Ctrl-C, or this process's death, leaves children running, and the sweep can be gone on with. Cancelling the sweep's run, as
    with `runyard cancel`, cancels its children. Raises InputError, CollectorError, and what a submit raises.
    """
    sweep = _opened(experiment, config, search, metric, goal, at_once, sweep_id, name, tags, show_output)
    try:
        sweep._controller.lead()
    except KeyboardInterrupt:
        saying.say(
            f"sweep {sweep.id} is left as it is; what runs of it goes on. To go on with it, start it again with"
            f" sweep_id={sweep.id!r}; to end it, `runyard cancel {sweep.id}`"
        )
        raise
    return sweep.result()


def start(
    experiment: Experiment,
    config: ScriptRunConfig,
    search: Search,
    *,
    metric: str,
    goal: Direction = "minimize",
    at_once: int = 1,
    sweep_id: str | None = None,
    name: str = "",
    tags: Mapping[str, str] | None = None,
    show_output: bool = False,
) -> Sweep:
    """The same, led by a thread of this process. Blocks until the sweep's run is there."""
    sweep = _opened(experiment, config, search, metric, goal, at_once, sweep_id, name, tags, show_output)
    sweep._thread.start()
    return sweep


class Sweep:
    """A sweep that this process leads, or has led."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._lead, name=f"runyard-sweep {self.id}", daemon=True)

    @property
    def id(self) -> str:
        """Its run's id."""
        return self.run.id

    @property
    def run(self) -> Run:
        """Its run, of kind "sweep"; the trials are its children."""
        return self._controller.run

    @property
    def is_over(self) -> bool:
        """Whether this process does nothing more for it."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> Result:
        """Wait for its end, at most that long; what it has come to by then. Raises what has kept it from going on."""
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        return self.result()

    def result(self) -> Result:
        """What it has come to so far. Blocks for one request."""
        table = comparing.read_table(self.run)
        best = None if table.best_run_id is None else comparing.of(self.run, table.best_run_id)
        return Result(self.run, table.status, best, table.best_value, table.trials)

    def stop(self) -> None:
        """Submit no more, and leave what runs; start it again with its id to go on. Blocks until the thread has ended."""
        self._controller.stopping.set()
        self._thread.join()

    def cancel(self) -> None:
        """Cancel it and its children. Blocks for one request."""
        self.run.cancel()

    def _lead(self) -> None:
        try:
            self._controller.lead()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the sweep is waited for
            self._error = error
            saying.say(f"sweep {self.id} does not go on: {error}")


def _opened(
    experiment: Experiment,
    config: ScriptRunConfig,
    search: Search,
    metric: str,
    goal: Direction,
    at_once: int,
    sweep_id: str | None,
    name: str,
    tags: Mapping[str, str] | None,
    show_output: bool,
) -> Sweep:
    from .sdk import sweep_control

    comparing.check(metric, goal)
    if not isinstance(at_once, int) or not 1 <= at_once <= _MOST_AT_ONCE:
        raise InputError(f"at_once is a whole number from 1 to {_MOST_AT_ONCE}, not {at_once!r}")
    if config.command is not None:
        raise InputError("a sweep gives its parameters as arguments, which a command has none of; give a script")
    plan = sweep_control.Plan(search, metric, goal, at_once)
    wanted = fresh_run_id(experiment.name[:_MOST_PREFIX]) if sweep_id is None else checked_id(sweep_id, "the sweep's id")
    if len(wanted) > names.MAX_RUN_ID_LENGTH - _ROOM:
        raise InputError(f"the sweep's id {wanted!r} is too long: its children's ids are it and their number")
    parent = sweep_control.open_parent(experiment, wanted, plan, name, tags or {})
    tell = _Printer() if show_output else _say_nothing
    return Sweep(sweep_control.Controller(parent, config, plan, tell))


def _say_nothing(row: dict[str, Any]) -> None:
    pass


class _Printer:
    """A line for each child that has ended, in columns."""

    def __init__(self) -> None:
        print(f"{'ITERATION':>9}  {'STATUS':<9}  {'DURATION':>10}  {'METRIC':>12}  {'BEST':>12}  PARAMETERS")

    def __call__(self, row: dict[str, Any]) -> None:
        took = "" if row["duration_s"] is None else time.strftime("%H:%M:%S", time.gmtime(row["duration_s"]))
        numbers = ["" if row[key] is None else f"{row[key]:.8g}" for key in ("value", "best")]
        params = " ".join(f"{key}={value}" for key, value in row["params"].items())
        print(
            f"{row['iteration']:>9}  {row['status']:<9}  {took:>10}  {numbers[0]:>12}  {numbers[1]:>12}  {params}", flush=True
        )
