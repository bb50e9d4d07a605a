"""Which runs the records of a run may be of: itself and its descendants.

Reads from the table `runs`; writes to it where a journal speaks of a child whose own record, in another process's journal, has
not come yet. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import runs
from runyard.names import why_bad_run_id

from . import client_runs
from .client_runs import NewClientRun

MOST_GENERATIONS = 32
_UNNAMED = ""  # the kind of a child that was spoken of before its own record came

_ROW = sa.select(
    runs.c.run_id, runs.c.parent_run_id, runs.c.experiment, runs.c.user, runs.c.is_client_run, runs.c.kind, runs.c.name
).where(runs.c.run_id == sa.bindparam("wanted"))


class Lineage:
    """The run `root` and its descendants, as far as they were asked for in this transaction."""

    def __init__(self, connection: Connection, root: str, now_ms: int) -> None:
        self._connection = connection
        self._root = root
        self._now_ms = now_ms
        self._known: dict[str, Any] = {}

    @property
    def found(self) -> list[str]:
        """The runs that were found so far."""
        return list(self._known)

    def find(self, run_id: str) -> Any | str:
        """The row of the run (empty: the root's); a sentence where it is none of these."""
        wanted = run_id or self._root
        row = self._known.get(wanted)
        if row is None:
            row = self._look(wanted)
            if not isinstance(row, str):
                self._known[wanted] = row
        return row

    def known(self, run_id: str) -> Any | str:
        """As `find`, but of runs that are there alone."""
        row = self._row(run_id) if run_id and "\0" not in run_id else None
        return row if row is not None and self.is_below(row) else f"run {run_id[:128]!r} is none of run {self._root}"

    def _look(self, wanted: str) -> Any | str:
        reason = why_bad_run_id(wanted)
        if reason:
            return f"the id {wanted[:128]!r} of a run {reason}"
        row = self._row(wanted)
        if row is None:
            return self._implied(wanted)
        if self.is_below(row):
            return row
        return f"run {wanted[:128]!r} is neither run {self._root} nor one of its descendants"

    def _row(self, run_id: str) -> Any:
        return self._connection.execute(_ROW, {"wanted": run_id}).first()

    def is_below(self, row: Any) -> bool:
        """Whether the row is the root's or a descendant's."""
        for _ in range(MOST_GENERATIONS):
            if row is None or row.run_id == self._root:
                return row is not None
            if row.parent_run_id is None:
                return False
            row = self._known.get(row.parent_run_id) or self._row(row.parent_run_id)
        return False

    def _implied(self, wanted: str) -> Any | str:
        """Two processes of a run have a journal each, and what one says of a child may come before the other says that there is
        one. Its id tells whose child it is."""
        parent_id = wanted.rpartition("_")[0]
        is_ours = wanted.startswith(f"{self._root}_") and not why_bad_run_id(wanted)
        parent = self.find(parent_id) if is_ours else ""
        if isinstance(parent, str):
            return f"there is no run {wanted[:128]!r} among the descendants of run {self._root}"
        client_runs.add(self._connection, _child(wanted, parent, "", _UNNAMED, "", self._now_ms))
        return self._row(wanted)

    def add_child(self, run_id: str, parent_id: str, name: str, kind: str, user: str, at_ms: int) -> str:
        """A new child, or what is now known of one that was spoken of; the sentence that refuses it, or nothing."""
        reason = why_bad_run_id(run_id)
        if reason:
            return f"the id {run_id[:128]!r} of a child {reason}"
        parent = self.find(parent_id)
        if isinstance(parent, str):
            return parent
        known = self._row(run_id)
        if known is None:
            client_runs.add(self._connection, _child(run_id, parent, name, kind, user, at_ms))
            return ""
        if not known.is_client_run or known.parent_run_id != parent.run_id:
            return f"the id {run_id} of a child of {parent.run_id} is another run's already"
        if known.kind == _UNNAMED:
            values = {"name": known.name or name, "kind": kind, "user": user or known.user, "created_ns": at_ms * 10**6}
            self._connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(values))
        self._known.pop(run_id, None)
        return ""


def _child(run_id: str, parent: Any, name: str, kind: str, user: str, at_ms: int) -> NewClientRun:
    return NewClientRun(run_id, parent.experiment, name, user or parent.user, kind, at_ms, parent.run_id)


def is_descendant(connection: Connection, run_id: str, root: str) -> bool:
    """Whether `run_id` is `root` or a descendant of it."""
    lineage = Lineage(connection, root, 0)
    row = connection.execute(_ROW, {"wanted": run_id}).first()
    return row is not None and lineage.is_below(row)
