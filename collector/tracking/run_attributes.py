"""What is known of a run beside its metrics, parameters and tags, as filters and orders of the table of runs name it.

Pure: it makes expressions on the table `runs`; what runs them does so itself.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from runyard.collector import listing
from runyard.collector.schema import experiments, nodes, queue, runs
from runyard.mlflow.filters import ATTRIBUTE, DATASET, METRIC, PARAM, TAG, Clause, Language

from . import search

_TEXTS: Final = frozenset({"run_id", "name", "status", "user", "kind", "parent", "experiment", "cluster", "hostname"})
# `created`, `started` and `ended` are Unix milliseconds, `duration` is milliseconds.
_NUMBERS: Final = frozenset({"created", "started", "ended", "number", "duration", "node_count", "process_count"})
LANGUAGE: Final = Language(
    entities=frozenset({METRIC, PARAM, TAG, ATTRIBUTE, DATASET}),
    texts=_TEXTS | {"node"},
    numbers=_NUMBERS,
    lists=_TEXTS | {"node"},
    orders=_TEXTS | _NUMBERS,
    ordered=frozenset({METRIC, PARAM, TAG, ATTRIBUTE}),
    has_null_params=True,
    aliases=(
        *(("run_name", "name"), ("user_id", "user"), ("start_time", "started"), ("end_time", "ended")),
        ("parent_run_id", "parent"),
    ),
)
_POSITIVE: Final = {"!=": "=", "NOT IN": "IN"}


def value(key: str, context: search.Context) -> Any:
    """What a run's attribute is compared by; null where a run has none."""
    if key in ("created", "started", "ended"):
        return runs.c[f"{key}_ns"] // 1_000_000
    if key == "duration":
        return sa.func.coalesce(runs.c.ended_ns // 1_000_000, context.now_ms) - runs.c.started_ns // 1_000_000
    if key == "status":
        if not context.silent:
            return runs.c.status
        is_silent = search.among(runs.c.run_id, context.silent, context.dialect)
        return sa.case((is_silent, listing.NOT_RESPONDING), else_=runs.c.status)
    if key == "experiment":
        return sa.select(experiments.c.name).where(experiments.c.folder == runs.c.experiment).scalar_subquery()
    if key == "cluster":
        of_queue = sa.select(queue.c.cluster).where(queue.c.run_id == runs.c.run_id).scalar_subquery()
        return sa.func.coalesce(of_queue, "", type_=sa.Text)
    return runs.c[{"parent": "parent_run_id", "process_count": "world_size"}.get(key, key)]


def order(key: str, context: search.Context) -> Any:
    """What runs are ordered by: of the moment of their creation all of it, which an index has, and not the millisecond."""
    return runs.c.created_ns if key == "created" else value(key, context)


def condition(clause: Clause, context: search.Context) -> search.Condition:
    """Whether a comparison of an attribute holds. A node is known by its id, its address or its host name, and a run that has
    several is found by each of them; `!=` and NOT IN: none of its nodes is such a one."""
    if clause.key == "experiment" and clause.comparator in ("=", "IN", "!=", "NOT IN"):
        # By the folders, which the runs themselves have: not looked up for each run anew.
        named = search.compare(experiments.c.name, _positive(clause), clause.value, context.dialect)
        found: search.Condition = runs.c.experiment.in_(sa.select(experiments.c.folder).where(named))
        return sa.not_(found) if clause.comparator in _POSITIVE else found
    if clause.key != "node":
        return search.compare(value(clause.key, context), clause.comparator, clause.value, context.dialect)
    called = (nodes.c.node_id, nodes.c.ip, nodes.c.hostname)
    is_it = sa.or_(*(search.compare(name, _positive(clause), clause.value, context.dialect) for name in called))
    found = sa.exists().where((nodes.c.run_id == runs.c.run_id) & is_it)
    return sa.not_(found) if clause.comparator in _POSITIVE else found


def _positive(clause: Clause) -> str:
    return _POSITIVE.get(clause.comparator, clause.comparator)
