"""Optuna's studies as runs: a callback that makes each trial a child run, with its parameters, values and state.

    with RunyardCallback(run, "loss") as callback:
        study.optimize(objective, n_trials=100, callbacks=[callback])

Reads from the study and its trials; writes records of the run and its children. Optuna itself is not needed by the rest of
runyard, and is not installed with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .sdk import children, comparing, saying, values

if TYPE_CHECKING:
    from .sdk.experiment import Experiment
    from .sdk.run import Run

# How a trial's state is told of its run. A trial that a pruner has ended was wanted to end.
_STATUS = {"COMPLETE": "Completed", "PRUNED": "Canceled", "FAIL": "Failed"}
_CAUSE = {"PRUNED": "pruned", "FAIL": "the trial failed"}
_KIND = "trial"


class RunyardCallback:
    """A callback of study.optimize. `parent` is the run whose children the trials become, or an experiment: then a run is
    started in it, which ends with the `with` block. `metric_name`: what the study's value is called; of a study with several
    objectives a list of names, and then there is no goal and no best child.

    A trial's intermediate values become the metric's values with their steps, its value the last one. Its child run has the id
    `<parent>_<trial number>`, and the tags optuna.trial and optuna.state. What a pruned trial reported last counts for the best
    child, too (study.best_trial passes it over). Calls take microseconds for each value, and do not wait for the collector.
    A parameter or attribute that is too long is left out, which is said.
    Raises InputError where Optuna is not installed.
    """

    def __init__(self, parent: Run | Experiment, metric_name: str | Sequence[str] = "value") -> None:
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise InputError("RunyardCallback needs Optuna, which is not installed: pip install optuna") from error
        self._names = [metric_name] if isinstance(metric_name, str) else list(metric_name)
        for name in self._names:
            values.check_name(name, "a metric")
        self._is_started_here = hasattr(parent, "start_logging")
        self.run: Run = parent.start_logging() if self._is_started_here else parent  # type: ignore[union-attr, assignment]
        self._goal: tuple[str, str] | None = None
        self._left_out: set[str] = set()  # the names of which it was said

    def __enter__(self) -> RunyardCallback:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not self._is_started_here:
            return
        if error is None:
            self.run.complete()
        else:
            self.run.fail(error)

    def __call__(self, study: Any, trial: Any) -> None:
        """A trial has ended. `study` and `trial` are Optuna's Study and FrozenTrial."""
        self._set_goal([direction.name.lower() for direction in study.directions])
        child = children.child_of(self.run, f"{self.run.id}_{trial.number}")
        write, key = self.run._recorder.write, child._record_key
        name = f"trial {trial.number}"
        write(["c", key, self.run._record_key, name, _KIND, "", _ms(trial.datetime_start)])
        write(["s", key, "Running", "", _ms(trial.datetime_start)])
        self._mark(name, child.log_params, trial.params)
        child.set_tags({"optuna.trial": trial.number, "optuna.state": trial.state.name})
        self._mark(name, child.set_tags, {f"optuna.{key}": value for key, value in trial.user_attrs.items()})
        for name, step, value in self._values_of(trial):
            write(["m", key, name, values.number(value, name), step, _ms(trial.datetime_complete)])
        state = trial.state.name
        write(["s", key, _STATUS.get(state, "Completed"), _CAUSE.get(state, ""), _ms(trial.datetime_complete)])

    def _mark(self, trial: str, record: Callable[[dict[str, Any]], None], marks: Mapping[str, Any]) -> None:
        """Record each by itself: one that cannot be recorded ends no study."""
        for key, value in marks.items():
            try:
                record({key: value})
            except InputError as error:
                if key not in self._left_out:
                    saying.say(f"run {self.run.id}: left out of {trial} (this is said once for each name): {error}")
                self._left_out.add(key)

    def _set_goal(self, directions: list[str]) -> None:
        if len(directions) != len(self._names):
            raise InputError(
                f"the study has {len(directions)} objectives and metric_name has {len(self._names)} names; name each of them"
            )
        goal = (self._names[0], directions[0])
        if len(directions) == 1 and goal != self._goal:
            comparing.set_goal(self.run, *goal)
            self._goal = goal

    def _values_of(self, trial: Any) -> list[tuple[str, int | None, float]]:
        """(name, step, value) of what the trial reported while it ran, and what it came to."""
        found: list[tuple[str, int | None, float]] = []
        if len(self._names) == 1:
            found += [(self._names[0], step, value) for step, value in sorted(trial.intermediate_values.items())]
        last = found[-1][2] if found else math.nan
        came_to: list[tuple[str, int | None, float]]
        came_to = [(name, None, value) for name, value in zip(self._names, trial.values or [], strict=False)]
        # What was reported last is often what the trial came to: one point then, not two.
        return found if len(came_to) == 1 and came_to[0][2] == last else found + came_to


def _ms(at: datetime | None) -> int:
    return int(time.time() * 1000) if at is None else int(at.timestamp() * 1000)
