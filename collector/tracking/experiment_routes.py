"""The routes of experiments: listing them with how many runs they have, one of them, a new one.

Reads from and writes to the tables `experiments`, `experiment_tags` and `runs`.
"""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.engine import Connection

from runyard.collector.listing import page_token, position_of
from runyard.collector.messages import Body, Count, Flag, PageSize, Text
from runyard.collector.problems import Problem, invalid
from runyard.collector.route import Call, json_response
from runyard.collector.schema import experiment_tags, runs
from runyard.collector.schema import experiments as table

from . import experiments

Name = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class Experiment(Body, frozen=True, kw_only=True):
    """An experiment. `run_count`, `statuses` and `newest_ns` are of its runs that are nobody's children and not hidden."""

    experiment_id: int
    name: str
    artifact_location: str  # empty: here
    created_ms: int
    updated_ms: int
    deleted_ms: int | None
    tags: dict[str, str]
    run_count: int
    statuses: dict[str, int]  # how many of them are in which status, as their nodes said
    newest_ns: int | None  # when the newest of them was created


class ExperimentList(Body, frozen=True, kw_only=True):
    """A page of experiments, in the order in which they were made."""

    experiments: list[Experiment]
    next_page_token: str | UnsetType = UNSET


class ExperimentsQuery(Body, frozen=True, kw_only=True):
    """Which experiments are listed."""

    name: Name | None = None
    include_deleted: Flag = 0
    page_size: PageSize = 1000
    page_token: Text | None = None


class CreateExperiment(Body, frozen=True, kw_only=True):
    """Describes a new experiment."""

    name: Name


async def list_experiments(call: Call) -> web.Response:
    """GET /experiments"""
    return json_response(await call.parts.database.read(_list, call.query))


async def show_experiment(call: Call) -> web.Response:
    """GET /experiments/{experiment_id}"""
    text = call.request.match_info["experiment_id"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise _none(text)
    return json_response(await call.parts.database.read(_one, int(text)))


async def create_experiment(call: Call) -> web.Response:
    """POST /experiments"""
    experiment_id, is_new = await call.parts.database.write(_create, call.body.name)
    return json_response(await call.parts.database.read(_one, experiment_id), 201 if is_new else 200)


def _list(connection: Connection, query: ExperimentsQuery) -> ExperimentList:
    condition: sa.ColumnElement[bool] = sa.true() if query.include_deleted else table.c.deleted_ms.is_(None)
    if query.name is not None:
        condition &= table.c.name == query.name
    if query.page_token is not None:
        condition &= table.c.experiment_id > position_of(query.page_token, Count)
    ordered = sa.select(table).where(condition).order_by(table.c.experiment_id).limit(query.page_size + 1)
    rows = connection.execute(ordered).all()
    shown = rows[: query.page_size]
    more = page_token(shown[-1].experiment_id) if len(rows) > query.page_size else UNSET
    return ExperimentList(experiments=_answers(connection, shown), next_page_token=more)


def _one(connection: Connection, experiment_id: int) -> Experiment:
    row = connection.execute(sa.select(table).where(table.c.experiment_id == experiment_id)).first()
    if row is None:
        raise _none(str(experiment_id))
    return _answers(connection, [row])[0]


def _create(connection: Connection, name: str) -> tuple[int, bool]:
    """The id of the experiment of that name, and whether it was made now. Raises a 409 for one that is deleted."""
    if not name.isprintable():
        raise invalid("name holds what does not print; give a text of one line")
    known = connection.execute(sa.select(table.c.experiment_id, table.c.deleted_ms).where(table.c.name == name)).first()
    if known is None:
        return experiments.create(connection, name)[0], True
    if known.deleted_ms is not None:
        raise Problem(409, "deleted", f"experiment {name[:128]!r} is deleted; restore it, or choose another name")
    return int(known.experiment_id), False


def _answers(connection: Connection, rows: Any) -> list[Experiment]:
    ids, folders = [row.experiment_id for row in rows], [row.folder for row in rows]
    tags: dict[int, dict[str, str]] = {}
    for tag in connection.execute(sa.select(experiment_tags).where(experiment_tags.c.experiment_id.in_(ids))):
        tags.setdefault(tag.experiment_id, {})[tag.key] = tag.value
    counted = sa.select(runs.c.experiment, runs.c.status, sa.func.count(), sa.func.max(runs.c.created_ns))
    shown = runs.c.parent_run_id.is_(None) & runs.c.deleted_ms.is_(None) & runs.c.experiment.in_(folders)
    counts: dict[str, dict[str, int]] = {}
    newest: dict[str, int] = {}
    for folder, status, count, at_ns in connection.execute(counted.where(shown).group_by(runs.c.experiment, runs.c.status)):
        counts.setdefault(folder, {})[status] = count
        newest[folder] = max(newest.get(folder, 0), at_ns)
    same = ("experiment_id", "name", "artifact_location", "created_ms", "updated_ms", "deleted_ms")
    found = []
    for row in rows:
        statuses = counts.get(row.folder, {})
        values = {name: getattr(row, name) for name in same} | {"tags": tags.get(row.experiment_id, {}), "statuses": statuses}
        values |= {"run_count": sum(statuses.values()), "newest_ns": newest.get(row.folder)}
        found.append(Experiment(**values))
    return found


def _none(experiment_id: str) -> Problem:
    return Problem(404, "no-such-experiment", f"there is no experiment {experiment_id[:64]!r}")
