"""How client runs end with their parents: when nobody has said how a child ended, it ends as its parent did.

Reads from and writes to the table `runs`. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import state
from runyard.collector.schema import runs

# A parent that has ended and whose node does not tell that all has been sent is waited for so long.
_COMPLETE_WITHIN_NS = 600 * 10**9
# A parent that is a client run may be told to have ended a little before its children are.
_SAID_WITHIN_MS = 60_000

_child, _parent = runs.alias("child"), runs.alias("parent")


def end_children(connection: Connection, now_ns: int) -> list[str]:
    """Ends the client runs that have not ended and whose parents have; which these are."""
    ended: list[str] = []
    while rows := connection.execute(_to_end(now_ns)).all():
        for row in rows:
            cause = f"its parent run {row.parent_id} ended as {row.status}, and nobody has said how it ended itself"
            values = {"status": row.status, "cause": cause, "ended_ns": row.ended_ns or now_ns, "is_complete": True}
            connection.execute(sa.update(runs).where(runs.c.run_id == row.run_id).values(values))
            ended.append(row.run_id)
    return ended


def _to_end(now_ns: int) -> sa.Select[tuple[str, str, str, int]]:
    """Those whose parents will say no more. What nodes have sent is applied before; other words come by requests."""
    has_sent_all = _parent.c.is_complete | (_parent.c.ended_ns < now_ns - _COMPLETE_WITHIN_NS)
    is_silent = _child.c.said_ms < now_ns // 10**6 - _SAID_WITHIN_MS
    may_end = sa.case((_parent.c.is_client_run, is_silent), else_=has_sent_all)
    is_open = _child.c.is_client_run & _child.c.status.not_in(state.FINAL)
    return (
        sa.select(_child.c.run_id, _parent.c.run_id.label("parent_id"), _parent.c.status, _parent.c.ended_ns)
        .join(_parent, _parent.c.run_id == _child.c.parent_run_id)
        .where(is_open & _parent.c.status.in_(state.FINAL) & may_end)
    )
