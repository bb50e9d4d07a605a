"""What a sweep tries next: a grid, random draws, or successive halving. Pure.

A search is asked with the outcomes of the trials that there are, by their numbers, and says which others may start now. It
keeps nothing: the same outcomes give the same trials, so a sweep goes on from what the collector knows of its children.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from runyard.errors import InputError

from . import sweep_space
from .sweep_space import MOST_TRIALS, Distribution, Value

Direction = Literal["minimize", "maximize"]
Outcomes = Mapping[int, "Outcome"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run to start: its number in the sweep, and its parameters. `promoted`: the trial that it goes on from, of halving."""

    number: int
    params: Mapping[str, Value]
    promoted: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a trial has come to. `value`: the last one of the sweep's metric, None where there is none that is finite."""

    is_over: bool
    is_completed: bool = False
    value: float | None = None


class Search(Protocol):
    """The order of trials."""

    def ready(self, outcomes: Outcomes, direction: Direction) -> list[Trial]:
        """The trials that may start now and are not among `outcomes`, the first ones first."""

    def to_json(self) -> dict[str, object]:
        """What makes it the same search: a sweep goes on only with that."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination."""

    space: Mapping[str, Distribution]
    trials: tuple[Trial, ...] = field(repr=False)

    def ready(self, outcomes: Outcomes, direction: Direction) -> list[Trial]:
        """Those that have not been started."""
        return [trial for trial in self.trials if trial.number not in outcomes]

    def to_json(self) -> dict[str, object]:
        """The space."""
        return {"search": "grid", "space": _to_json(self.space)}


@dataclass(frozen=True, slots=True)
class Draws:
    """`count` random draws."""

    space: Mapping[str, Distribution]
    count: int
    seed: int

    def ready(self, outcomes: Outcomes, direction: Direction) -> list[Trial]:
        """Those that have not been started."""
        numbers = (number for number in range(self.count) if number not in outcomes)
        return [Trial(number, sweep_space.draw(self.space, self.seed, number)) for number in numbers]

    def to_json(self) -> dict[str, object]:
        """The space, the count and the seed."""
        return {"search": "random", "space": _to_json(self.space), "count": self.count, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class Halving:
    """Rungs: all draws with the least budget, then the best of them with a larger one, and so on.

    Trials are numbered through: first those of rung 0, then the places of rung 1. A place that nobody came up to stays empty.
    """

    space: Mapping[str, Distribution]
    count: int
    budget: str
    budgets: tuple[int, ...]
    factor: int
    seed: int

    def ready(self, outcomes: Outcomes, direction: Direction) -> list[Trial]:
        """Those of the lowest rung that is not over."""
        first, size = 0, self.count
        trials = [self._trial(number, sweep_space.draw(self.space, self.seed, number), 0) for number in range(size)]
        for rung in range(len(self.budgets)):
            missing = [trial for trial in trials if trial.number not in outcomes]
            if missing or not all(outcomes[trial.number].is_over for trial in trials):
                return missing
            first, size = first + size, max(1, size // self.factor)
            if rung + 1 < len(self.budgets):
                best = _best(trials, outcomes, direction)[:size]
                trials = [self._trial(first + place, won.params, rung + 1, won.number) for place, won in enumerate(best)]
        return []

    def _trial(self, number: int, params: Mapping[str, Value], rung: int, promoted: int | None = None) -> Trial:
        return Trial(number, {**params, self.budget: self.budgets[rung]}, promoted)

    def to_json(self) -> dict[str, object]:
        """The space, the rungs and the seed."""
        what = {"search": "halving", "space": _to_json(self.space), "count": self.count, "seed": self.seed}
        return what | {"budget": self.budget, "budgets": [*self.budgets], "factor": self.factor}


def _best(trials: list[Trial], outcomes: Outcomes, direction: Direction) -> list[Trial]:
    """The trials that completed with a value, the best one first; of equal ones the earlier."""
    sign = 1 if direction == "minimize" else -1
    valued = [(outcomes[trial.number].value, trial) for trial in trials if outcomes[trial.number].is_completed]
    ranked = sorted((sign * value, trial.number, trial) for value, trial in valued if value is not None)
    return [trial for _, _, trial in ranked]


def _to_json(space: Mapping[str, Distribution]) -> dict[str, object]:
    return {name: values.to_json() for name, values in space.items()}


def grid(space: Mapping[str, object]) -> Search:
    """Every combination of lists (or `choice`s) of values, the last parameter changing fastest."""
    known = sweep_space.checked(space)
    trials = [Trial(number, params) for number, params in enumerate(sweep_space.combinations(known))]
    return Grid(known, tuple(trials))


def random(space: Mapping[str, object], count: int, seed: int = 0) -> Search:
    """`count` draws; the same seed gives the same ones."""
    return Draws(sweep_space.checked(space), _checked_count(count), _checked_seed(seed))


def successive_halving(
    space: Mapping[str, object],
    count: int,
    budget: str,
    least_budget: int = 1,
    most_budget: int = 27,
    factor: int = 3,
    seed: int = 0,
) -> Search:
    """`count` draws, run with the argument `budget` (as in --epochs) at `least_budget`; of those that complete the best
    1/`factor`, one at least, are run again from the start with `factor` times that, until it would be above `most_budget`.

    A rung begins when the one before it has ended. Trials that fail, or have no finite value, are not taken along.
    """
    known = sweep_space.checked(space)
    sweep_space.parameter_name(budget)
    if sweep_space.parameter_name(budget) in (sweep_space.parameter_name(name) for name in known):
        raise InputError(f"{budget!r} is the budget and a parameter, too; leave it out of the parameters")
    for name, number, least in (
        ("least_budget", least_budget, 1),
        ("most_budget", most_budget, least_budget),
        ("factor", factor, 2),
    ):
        if not isinstance(number, int) or number < least:
            raise InputError(f"{name} is a whole number of {least} or more, not {number!r}")
    budgets = [least_budget]
    while budgets[-1] * factor <= most_budget:
        budgets.append(budgets[-1] * factor)
    return Halving(known, _checked_count(count), budget, tuple(budgets), factor, _checked_seed(seed))


def _checked_count(count: int) -> int:
    if not isinstance(count, int) or not 1 <= count <= MOST_TRIALS:
        raise InputError(f"a sweep has from 1 to {MOST_TRIALS} trials, not {count!r}")
    return count


def _checked_seed(seed: int) -> int:
    if not isinstance(seed, int):
        raise InputError(f"the seed is a whole number, not {seed!r}")
    return seed
