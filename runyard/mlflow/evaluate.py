"""Filters and orders, applied to what is in memory. Pure. At the collector SQL does it (collector/tracking/search.py)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from .filters import ATTRIBUTE, DATASET, METRIC, PARAM, Clause, Order

T = TypeVar("T")

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "LIKE": lambda value, pattern: like(value, pattern),
    "ILIKE": lambda value, pattern: like(value.lower(), pattern.lower()),
    "IN": lambda value, several: value in several,
    "NOT IN": lambda value, several: value not in several,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Used:
    """A dataset that a run has read; `contexts` are the values of its tag mlflow.data.context."""

    name: str
    digest: str
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What filters know of a run, an experiment or a model. An attribute that is None is not there."""

    attributes: Mapping[str, int | float | str | None]
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Used] = ()


def like(value: str, pattern: str) -> bool:
    """Whether SQL's pattern is that of the whole value: % is any text, _ any character; capitals count."""
    return _expression(pattern).fullmatch(value) is not None


@lru_cache(256)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"%": ".*", "_": "."}.get(one, re.escape(one)) for one in pattern), re.DOTALL)


def matches(clauses: Iterable[Clause], facts: Facts) -> bool:
    """Whether all clauses hold."""
    return all(_holds(clause, facts) for clause in clauses)


def _holds(clause: Clause, facts: Facts) -> bool:
    if clause.entity == DATASET:
        compare = _COMPARE[clause.comparator]
        return any(compare(value, clause.value) for value in _of_datasets(clause.key, facts.datasets))
    value = _value(clause.entity, clause.key, facts)
    if clause.comparator in ("IS NULL", "IS NOT NULL"):
        return (value is None) == (clause.comparator == "IS NULL")
    return value is not None and _COMPARE[clause.comparator](value, clause.value)


def _of_datasets(key: str, datasets: Iterable[Used]) -> list[str]:
    if key == "context":
        return [context for one in datasets for context in one.contexts]
    return [str(getattr(one, key)) for one in datasets]


def _value(entity: str, key: str, facts: Facts) -> Any:
    if entity == ATTRIBUTE:
        return facts.attributes.get(key)
    if entity == METRIC:
        return facts.metrics.get(key)
    return (facts.params if entity == PARAM else facts.tags).get(key)


def ordered(things: Iterable[T], orders: Sequence[Order], facts_of: Callable[[T], Facts]) -> list[T]:
    """The things in the order of `orders`: those that have no value come last, those whose value is NaN before them, whichever
    the direction. Where all keys are equal the order stays as it was."""
    found = list(things)
    for order in reversed(orders):
        keyed = [(_value(order.entity, order.key, facts_of(thing)), thing) for thing in found]
        plain = [pair for pair in keyed if pair[0] is not None and pair[0] == pair[0]]
        plain.sort(key=lambda pair: pair[0], reverse=not order.is_ascending)
        nans = [pair for pair in keyed if isinstance(pair[0], float) and math.isnan(pair[0])]
        found = [thing for _, thing in [*plain, *nans, *(pair for pair in keyed if pair[0] is None)]]
    return found
