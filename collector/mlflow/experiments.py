"""MLflow's routes of experiments.

Reads from and writes to the tables `experiments`, `experiment_tags` and `runs`. Every function blocks, gets the connection of
its transaction, and raises MlflowError.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import experiment_tags, experiments, links, runs
from runyard.collector.tracking import search
from runyard.collector.tracking.experiments import create as create_row
from runyard.mlflow import answers, limits, messages
from runyard.mlflow.errors import invalid, missing, taken
from runyard.mlflow.filters import ATTRIBUTE, EXPERIMENTS, Clause, parse_filter, parse_orders
from runyard.mlflow.messages import Tag
from runyard.mlflow.paging import offset_of, token_at

from .access import Ask, experiment_of, own_folder, require_experiment, require_person

_BATCH = 500  # ids in one query
_MOST_DATASETS = 1000
_DONE = answers.Answer()


def location_of(experiment_id: int, artifact_location: str) -> str:
    """Where the artifacts of an experiment lie, as clients are told."""
    return artifact_location.rstrip("/") or f"mlflow-artifacts:/{experiment_id}"


def create(connection: Connection, ask: Ask, request: messages.CreateExperiment) -> answers.Answer:
    """POST experiments/create"""
    require_person(ask, "create experiments")
    limits.check_experiment_name(request.name)
    limits.check_artifact_location(request.artifact_location)
    limits.check_count("tags", request.tags)
    for tag in request.tags:
        limits.check_experiment_tag(tag.key, tag.value)
    _require_free(connection, request.name)
    experiment_id, _ = create_row(connection, request.name, request.artifact_location)
    for tag in request.tags:
        _put_tag(connection, experiment_id, tag.key, tag.value)
    return answers.ExperimentId(str(experiment_id))


def _require_free(connection: Connection, name: str) -> None:
    if "\0" in name:
        raise invalid("an experiment's name may not hold a NUL")
    if connection.execute(sa.select(experiments.c.experiment_id).where(experiments.c.name == name)).first() is not None:
        raise taken(f"Experiment(name={name}) already exists, perhaps among those that are deleted.")


def get(connection: Connection, ask: Ask, request: messages.ExperimentRequest) -> answers.Answer:
    """GET experiments/get"""
    return answers.OneExperiment(_answers(connection, [experiment_of(connection, ask, request.experiment_id)])[0])


def get_by_name(connection: Connection, ask: Ask, request: messages.ExperimentName) -> answers.Answer:
    """GET experiments/get-by-name"""
    row = connection.execute(sa.select(experiments).where(experiments.c.name == request.experiment_name)).first()
    if row is None:
        raise missing(f"Could not find experiment with name {request.experiment_name!r}")
    require_experiment(connection, ask, row)
    return answers.OneExperiment(_answers(connection, [row])[0])


def update(connection: Connection, ask: Ask, request: messages.UpdateExperiment) -> answers.Answer:
    """POST experiments/update: runs that are there keep the folder that they are in."""
    require_person(ask, "rename experiments")
    limits.check_experiment_name(request.new_name, "new_name")
    row = experiment_of(connection, ask, request.experiment_id)
    if row.deleted_ms is not None:
        raise invalid("Cannot rename a non-active experiment.")
    if request.new_name != row.name:
        _require_free(connection, request.new_name)
    _set(connection, row.experiment_id, name=request.new_name, updated_ms=ask.now_ms)
    return _DONE


def _set(connection: Connection, experiment_id: int, **values: Any) -> None:
    connection.execute(sa.update(experiments).where(experiments.c.experiment_id == experiment_id).values(values))


def delete(connection: Connection, ask: Ask, request: messages.ExperimentRequest) -> answers.Answer:
    """POST experiments/delete: it and its runs are hidden."""
    require_person(ask, "delete experiments")
    row = experiment_of(connection, ask, request.experiment_id)
    if row.deleted_ms is not None:
        raise missing(f"No Experiment with id={row.experiment_id} exists")
    _set(connection, row.experiment_id, deleted_ms=ask.now_ms, updated_ms=ask.now_ms)
    connection.execute(sa.update(runs).where(runs.c.experiment == row.folder).values(deleted_ms=ask.now_ms))
    return _DONE


def restore(connection: Connection, ask: Ask, request: messages.ExperimentRequest) -> answers.Answer:
    """POST experiments/restore: it and all its runs are shown again."""
    require_person(ask, "restore experiments")
    row = experiment_of(connection, ask, request.experiment_id)
    if row.deleted_ms is None:
        raise missing(f"No Experiment with id={row.experiment_id} exists that is deleted")
    _set(connection, row.experiment_id, deleted_ms=None, updated_ms=ask.now_ms)
    connection.execute(sa.update(runs).where(runs.c.experiment == row.folder).values(deleted_ms=None))
    return _DONE


def set_tag(connection: Connection, ask: Ask, request: messages.ExperimentTag) -> answers.Answer:
    """POST experiments/set-experiment-tag"""
    limits.check_experiment_tag(request.key, request.value)
    row = experiment_of(connection, ask, request.experiment_id, is_active=True)
    _put_tag(connection, row.experiment_id, request.key, request.value)
    return _DONE


def _put_tag(connection: Connection, experiment_id: int, key: str, value: str) -> None:
    if "\0" in value:
        raise invalid(f"the value of tag {key!r} may not hold a NUL")
    this = (experiment_tags.c.experiment_id == experiment_id) & (experiment_tags.c.key == key)
    if connection.execute(sa.update(experiment_tags).where(this).values(value=value)).rowcount == 0:
        connection.execute(sa.insert(experiment_tags).values(experiment_id=experiment_id, key=key, value=value))


def delete_tag(connection: Connection, ask: Ask, request: messages.ExperimentTag) -> answers.Answer:
    """POST experiments/delete-experiment-tag"""
    row = experiment_of(connection, ask, request.experiment_id, is_active=True)
    this = (experiment_tags.c.experiment_id == row.experiment_id) & (experiment_tags.c.key == request.key)
    if connection.execute(sa.delete(experiment_tags).where(this)).rowcount == 0:
        raise missing(f"No tag with name: {request.key} in experiment with id {row.experiment_id}")
    return _DONE


def find(connection: Connection, ask: Ask, request: messages.SearchExperiments) -> answers.Answer:
    """GET and POST experiments/search"""
    limit = limits.check_max_results(request.max_results)
    offset = offset_of(request.page_token)
    wanted = [_clause(clause, connection.dialect.name) for clause in parse_filter(request.filter, EXPERIMENTS)]
    wanted += [_of_view(experiments.c.deleted_ms, messages.view_of(request.view_type))]
    folder = own_folder(connection, ask)
    if folder is not None:
        wanted.append(experiments.c.folder == folder)
    query = sa.select(experiments).where(*wanted).order_by(*_ordering(request.order_by)).offset(offset).limit(limit + 1)
    rows = connection.execute(query).all()
    token = token_at(offset + limit) if len(rows) > limit else None
    return answers.Experiments(_answers(connection, rows[:limit]), token)


def _of_view(deleted_ms: Any, view: str) -> Any:
    if view == messages.ALL:
        return sa.true()
    return deleted_ms.is_(None) if view == messages.ACTIVE_ONLY else deleted_ms.is_not(None)


_COLUMNS = {
    "name": experiments.c.name,
    "experiment_id": experiments.c.experiment_id,
    "creation_time": experiments.c.created_ms,
    "last_update_time": experiments.c.updated_ms,
}


def _clause(clause: Clause, dialect: str) -> Any:
    if clause.entity == ATTRIBUTE:
        value: Any = clause.value
        if clause.key == "experiment_id":
            one = isinstance(value, str)
            value = limits.parse_experiment_id(value) if one else [limits.parse_experiment_id(each) for each in value]
        return search.compare(_COLUMNS[clause.key], clause.comparator, value, dialect)
    mine = (experiment_tags.c.experiment_id == experiments.c.experiment_id) & (experiment_tags.c.key == clause.key)
    if clause.comparator == "IS NULL":
        return ~sa.exists().where(mine)
    if clause.comparator != "IS NOT NULL":
        mine &= search.compare(experiment_tags.c.value, clause.comparator, clause.value, dialect)
    return sa.exists().where(mine)


def _ordering(texts: Sequence[str]) -> Iterable[Any]:
    orders = parse_orders(list(texts) or ["creation_time DESC", "experiment_id ASC"], EXPERIMENTS)
    for order in orders:
        column = _COLUMNS[order.key]
        yield column.asc() if order.is_ascending else column.desc()
    if all(order.key != "experiment_id" for order in orders):
        yield experiments.c.experiment_id.desc()


def _answers(connection: Connection, rows: Sequence[Any]) -> list[answers.Experiment]:
    tags: dict[int, list[Tag]] = {row.experiment_id: [] for row in rows}
    ids = list(tags)
    for start in range(0, len(ids), _BATCH):
        ours = experiment_tags.c.experiment_id.in_(ids[start : start + _BATCH])
        for tag in connection.execute(sa.select(experiment_tags).where(ours)):
            tags[tag.experiment_id].append(Tag(tag.key, tag.value))
    return [
        answers.Experiment(
            str(row.experiment_id), row.name, location_of(row.experiment_id, row.artifact_location),
            answers.DELETED if row.deleted_ms is not None else answers.ACTIVE, row.updated_ms, row.created_ms,
            tags[row.experiment_id],
        )
        for row in rows
    ]  # fmt: skip


def datasets(connection: Connection, ask: Ask, request: messages.SearchDatasets) -> answers.Answer:
    """POST experiments/search-datasets"""
    found: dict[tuple[str, str, str, str | None], None] = {}
    limits.check_count("experiments", request.experiment_ids)
    for experiment_id in dict.fromkeys(request.experiment_ids):
        row = experiment_of(connection, ask, experiment_id)
        ours = sa.select(runs.c.run_id).where(runs.c.experiment == row.folder)
        query = sa.select(links.c.document).where((links.c.kind == "dataset") & links.c.run_id.in_(ours))
        for document in connection.execute(query).scalars():
            found[str(row.experiment_id), document["name"], document["digest"], document.get("context")] = None
            if len(found) == _MOST_DATASETS:
                break
    return answers.Datasets([answers.DatasetSummary(*one) for one in found])
