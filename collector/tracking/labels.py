"""Parameters, tags and properties of runs: each a key and a text.

Reads from and writes to the tables `params`, `tags` and `properties`. Every function blocks and gets the connection of its
transaction; those that write return the sentence that refuses what was wanted, empty where it was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import params, properties, tags
from runyard.tracking.records import MOST_NAME

from . import warn

MOST_VALUE = 65_536  # characters


def _this(table: Any) -> Any:
    return (table.c.run_id == sa.bindparam("of_run")) & (table.c.key == sa.bindparam("of_key", type_=table.c.key.type))


# Made once: making a statement takes longer than running it.
_FIND = {table: sa.select(table.c.value).where(_this(table)) for table in (params, properties)}
_ADD = {table: sa.insert(table) for table in (params, properties, tags)}
_CHANGE_TAG = sa.update(tags).where(_this(tags)).values(value=sa.bindparam("new_value", type_=tags.c.value.type))
_REMOVE_TAG = sa.delete(tags).where(_this(tags))


def why_bad_name(what: str, name: str) -> str:
    """Why nothing can be called so; `what` says what it would be."""
    if not name:
        return f"a {what} has no name: give it one of 1 to {MOST_NAME} characters"
    if len(name) > MOST_NAME:
        return f"the name of the {what} {name[:40]!r}… has {len(name)} characters, at most {MOST_NAME} are allowed"
    return f"the name of the {what} {name!r} holds a NUL" if "\0" in name else ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a run has recorded of this, and the warnings that came of what could not be taken."""

    params: dict[str, str]
    properties: dict[str, str]
    warnings: list[str]


def of_run(connection: Connection, run_id: str) -> Recorded:
    """One run's."""

    def pairs(table: Any) -> dict[str, str]:
        query = sa.select(table.c.key, table.c.value).where(table.c.run_id == run_id).order_by(table.c.key)
        return {row.key: row.value for row in connection.execute(query)}

    return Recorded(pairs(params), pairs(properties), warn.of_run(connection, run_id))


def set_param(connection: Connection, run_id: str, key: str, value: str) -> str:
    """A parameter, which never changes."""
    return _set_once(connection, params, "parameter", (run_id, key, value))


def set_property(connection: Connection, run_id: str, key: str, value: str) -> str:
    """A property, which never changes."""
    return _set_once(connection, properties, "property", (run_id, key, value))


def _set_once(connection: Connection, table: Any, what: str, entry: tuple[str, str, str]) -> str:
    run_id, key, value = entry
    reason = why_bad_name(what, key) or _why_bad_value(what, key, value)
    if reason:
        return reason
    known = connection.execute(_FIND[table], {"of_run": run_id, "of_key": key}).scalar()
    if known is None:
        connection.execute(_ADD[table], {"run_id": run_id, "key": key, "value": value})
    elif known != value:
        return f"the {what} {key!r} of run {run_id} is {known[:100]!r} already, and cannot become {value[:100]!r}"
    return ""


def set_tag(connection: Connection, run_id: str, key: str, value: str) -> str:
    """A tag, in place of one with that key."""
    reason = why_bad_name("tag", key) or _why_bad_value("tag", key, value)
    if reason:
        return reason
    if connection.execute(_CHANGE_TAG, {"of_run": run_id, "of_key": key, "new_value": value}).rowcount == 0:
        connection.execute(_ADD[tags], {"run_id": run_id, "key": key, "value": value})
    return ""


def remove_tag(connection: Connection, run_id: str, key: str) -> str:
    """No tag with that key; harmless where none is."""
    connection.execute(_REMOVE_TAG, {"of_run": run_id, "of_key": key})
    return ""


def _why_bad_value(what: str, key: str, value: str) -> str:
    if len(value) > MOST_VALUE:
        return f"the {what} {key!r} has {len(value)} characters, at most {MOST_VALUE} are kept"
    return f"the {what} {key!r} holds a NUL" if "\0" in value else ""
