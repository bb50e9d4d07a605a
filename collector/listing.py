"""The list of runs, newest first, page by page.

Reads from the tables `runs`, `experiments`, `tags`, `nodes`. Blocks; collector/database.py runs it in a thread.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import catalog, state
from .catalog import RunRow
from .messages import NodeStatus, RunsQuery
from .problems import invalid
from .schema import experiments, nodes, runs, tags

NOT_RESPONDING = "NotResponding"


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, and the token of the next page where there is one."""

    runs: list[RunRow]
    next_page_token: str | None


def page_token(position: list[Any]) -> str:
    """An opaque token for a position in a list."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def position_of(token: str, kind: type[Any]) -> Any:
    """The position in a token, as a `kind`; raises a 400 where it is none of ours."""
    try:
        return msgspec.json.decode(base64.b64decode(token.encode(), altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, msgspec.MsgspecError, UnicodeError) as error:
        raise invalid("page_token is none that this list has given") from error


def list_runs(connection: Connection, query: RunsQuery, status_of: Callable[[RunRow], str]) -> Page:
    """A page of runs. `status_of` tells the status as it is shown, which silence may change."""
    found: list[RunRow] = []
    condition = _condition(query)
    position = position_of(query.page_token, tuple[int, str]) if query.page_token is not None else None
    while True:
        rows = _rows_behind(connection, condition, position, query.page_size + 1)
        for row in catalog.with_details(connection, rows):
            if query.status is not None and status_of(row) != query.status:
                continue
            if len(found) == query.page_size:
                last = found[-1].row
                return Page(found, page_token([last.created_ns, last.run_id]))
            found.append(row)
        if len(rows) <= query.page_size:
            return Page(found, None)
        position = (rows[-1].created_ns, rows[-1].run_id)


def _rows_behind(
    connection: Connection, condition: sa.ColumnElement[bool], position: tuple[int, str] | None, limit: int
) -> list[Any]:
    if position is not None:
        created_ns, run_id = position
        older = runs.c.created_ns < created_ns
        condition &= older | ((runs.c.created_ns == created_ns) & (runs.c.run_id < run_id))
    query = sa.select(runs).where(condition).order_by(runs.c.created_ns.desc(), runs.c.run_id.desc()).limit(limit)
    return list(connection.execute(query))


def _condition(query: RunsQuery) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = sa.true()
    same = (
        (runs.c.user, query.user),
        (runs.c.name, query.name),
        (runs.c.kind, query.kind),
        (runs.c.parent_run_id, query.parent),
    )
    for column, value in same:
        if value is not None:
            condition &= column == value
    if query.experiment is not None:
        folder = sa.select(experiments.c.folder).where(experiments.c.name == query.experiment)
        condition &= runs.c.experiment == folder.scalar_subquery()
    if query.parent is None and not query.include_children:
        condition &= runs.c.parent_run_id.is_(None)
    if not query.include_deleted:
        condition &= runs.c.deleted_ms.is_(None)
    if query.created_after_ns is not None:
        condition &= runs.c.created_ns > query.created_after_ns
    if query.created_before_ns is not None:
        condition &= runs.c.created_ns < query.created_before_ns
    if query.node is not None:
        named = (nodes.c.node_id == query.node) | (nodes.c.ip == query.node)
        condition &= runs.c.run_id.in_(sa.select(nodes.c.run_id).where(named))
    for tag in query.tag:
        key, _, value = tag.partition("=")
        condition &= runs.c.run_id.in_(sa.select(tags.c.run_id).where((tags.c.key == key) & (tags.c.value == value)))
    if query.status == NOT_RESPONDING:
        condition &= runs.c.status.not_in(state.FINAL)
    elif query.status is not None:
        condition &= runs.c.status == query.status
    return condition


def count_by_status(connection: Connection) -> dict[str, int]:
    """How many runs there are of each stored status, those that no run has now as well."""
    rows = connection.execute(sa.select(runs.c.status, sa.func.count()).group_by(runs.c.status))
    return dict.fromkeys(get_args(NodeStatus), 0) | {row[0]: row[1] for row in rows}
