"""Runs that no node has: children of other runs, and those that MLflow clients make. Their status is what clients say of them.

Reads from and writes to the table `runs`. Every function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import state
from runyard.collector.schema import runs
from runyard.collector.state import State

from . import experiments

# A client run that nobody has said anything of for so long is shown as not responding.
SILENT_S = 86_400.0
_SAID_EVERY_MS = 10_000  # how exactly it is written down when something was said
_MOST_CAUSE = 4096  # characters
# In place of the digest of a key: nobody else has created the run, nor will a node join it.
_NO_KEY = "client"


@dataclass(frozen=True, slots=True)
class NewClientRun:
    """A run to be made. `experiment` is the experiment's folder."""

    run_id: str
    experiment: str
    name: str
    user: str
    kind: str
    created_ms: int
    parent_run_id: str | None = None
    status: str = "NotStarted"


_ADD = sa.insert(runs)
_THIS_RUN = runs.c.run_id == sa.bindparam("this_run")
_HINT = sa.update(runs).where(_THIS_RUN).values(hint=sa.bindparam("new_hint"))
_STATUS = (
    sa.update(runs)
    .where(_THIS_RUN)
    .values(
        {
            name: sa.bindparam(f"new_{name}", type_=runs.c[name].type)
            for name in ("status", "cause", "is_complete", "started_ns", "ended_ns")
        }
    )
)
_KNOWN = sa.select(runs.c.is_client_run, runs.c.started_ns).where(_THIS_RUN)


def add(connection: Connection, new: NewClientRun) -> None:
    """The run is there from now on. There must be none of that id."""
    created_ns = new.created_ms * 10**6
    started_ns = created_ns if new.status == "Running" else None
    values: dict[str, Any] = asdict(State(status=new.status, started_ns=started_ns))
    values |= {field: getattr(new, field) for field in ("run_id", "experiment", "name", "user", "kind", "parent_run_id")}
    values |= {"key_sha256": _NO_KEY, "command": "[]", "cwd": "", "hostname": "", "timeout_s": None, "created_ns": created_ns}
    values |= {"node_count": 1, "world_size": 1, "on_failure": "fail-fast", "failure_grace_s": 0.0, "attempt": 0}
    values |= {"creator": "", "secret": "", "cancel_reason": "", "is_pinned": False, "removed_why": ""}
    values |= {"is_client_run": True, "hint": "", "said_ms": time.time_ns() // 10**6}
    values["number"] = experiments.next_number(connection, new.experiment)
    connection.execute(_ADD, values)


def say_status(connection: Connection, run_id: str, status: str, cause: str, at_ms: int) -> None:
    """What a client says of how the run is: the status of a client run, a hint where a node has the run."""
    known = connection.execute(_KNOWN, {"this_run": run_id}).one()
    if not known.is_client_run:
        connection.execute(_HINT, {"this_run": run_id, "new_hint": status})
        return
    at_ns, is_final = at_ms * 10**6, status in state.FINAL
    started_ns = at_ns if status == "Running" and known.started_ns is None else known.started_ns
    cause = cause.replace("\0", "\ufffd")[:_MOST_CAUSE]  # how a run ended must not be lost over how that is told
    values = {"status": status, "cause": cause, "is_complete": is_final, "started_ns": started_ns}
    values["ended_ns"] = at_ns if is_final else None
    connection.execute(_STATUS, {"this_run": run_id} | {f"new_{name}": value for name, value in values.items()})


def note_said(connection: Connection, run_ids: list[str], now_ms: int) -> None:
    """Clients have said something of the runs; of those that nodes have, nothing is written."""
    is_old = runs.c.is_client_run & (runs.c.said_ms < now_ms - _SAID_EVERY_MS)
    connection.execute(sa.update(runs).where(runs.c.run_id.in_(run_ids) & is_old).values(said_ms=now_ms))


def is_silent(row: Any, now_s: float) -> bool:
    """Whether a run (its row) is a client run that has not ended, and of which nothing was said for a day."""
    if not row.is_client_run or row.status in state.FINAL:
        return False
    return bool(now_s - (row.said_ms or 0) / 1000 > SILENT_S)
