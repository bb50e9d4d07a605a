"""100,000 runs, put straight into the database of a collector that has not started yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from runyard.collector import database, state

EXPERIMENTS = 20
USERS = ("ada", "grace", "kurt", "alan")
BEGUN_NS = 1_760_000_000 * 10**9
EVERY_NS = 60 * 10**9
_FEW = 5000
_RUN: dict[str, Any] = {
    "key_sha256": "", "command": '["python", "train.py"]', "cwd": "/", "hostname": "host", "timeout_s": None, "signal": None,
    "cause": "", "phase": "", "failure": None, "node_count": 1, "world_size": 1, "on_failure": "fail-fast",
    "failure_grace_s": 0.0, "attempt": 0, "creator": "", "secret": "", "failed_ns": None, "cancel_ns": None,
    "cancel_reason": "", "settled": None, "is_pinned": False, "removed_ns": None, "removed_why": "", "parent_run_id": None,
    "kind": "", "is_client_run": True, "said_ms": 0, "hint": "", "deleted_ms": None, "goal": None,
    "best_run_id": None, "best_value": None,
}  # fmt: skip
_SERIES: dict[str, Any] = {
    "kind": "scalar", "count": 2, "number_count": 2, "nan_count": 0, "last_step": 1, "last_ms": 0, "latest_step": 1,
    "latest_ms": 0, "exact": None, "tail": "[]",
}  # fmt: skip


def name_of(number: int) -> str:
    """The name of the run with this number; they are counted from 0, the oldest."""
    return f"run {number:06}"


def loss_of(number: int) -> float:
    """What its metric "loss" came to last: each run's is another."""
    return number * 7919 % 1_000_003 / 1000


def fill(data_dir: Path, count: int = 100_000) -> None:
    """A database with `count` runs that have ended; each has a parameter, a tag and a metric."""
    data_dir.mkdir(parents=True, exist_ok=True)
    opened = database.open_database("", data_dir, lambda: None)
    with opened.engine.begin() as connection:
        made = ({"name": f"experiment {n:02}", "folder": f"experiment-{n:02}"} for n in range(EXPERIMENTS))
        common = {"artifact_location": "", "created_ms": 0, "updated_ms": 0, "deleted_ms": None}
        _insert(connection, "experiments", [common | one for one in made])
        for first in range(0, count, _FEW):
            _add(connection, range(first, min(first + _FEW, count)))
    opened.close()


def _add(connection: Connection, numbers: range) -> None:
    final = sorted(state.FINAL)
    of_runs, of_series, of_params, of_tags = [], [], [], []
    for number in numbers:
        run_id, at_ns = f"r{number:06}", BEGUN_NS + number * EVERY_NS
        of_runs.append(
            {
                "run_id": run_id, "experiment": f"experiment-{number % EXPERIMENTS:02}", "name": name_of(number),
                "user": USERS[number % len(USERS)], "status": final[number % len(final)], "exit_code": number % 2,
                "created_ns": at_ns, "started_ns": at_ns, "ended_ns": at_ns + number % 1000 * 10**9, "is_complete": True,
                "number": number // EXPERIMENTS + 1,
            }
        )  # fmt: skip
        loss = loss_of(number)
        numbers_of = {"first": loss + 1, "last": loss, "latest": loss, "min": loss, "max": loss + 1, "total": 2 * loss + 1}
        of_series.append({"run_id": run_id, "name": "loss"} | numbers_of)
        of_params.append({"run_id": run_id, "key": "lr", "value": f"0.{number % 10}"})
        of_tags.append({"run_id": run_id, "key": "team", "value": f"team {number % 7}"})
    _insert(connection, "runs", [_RUN | one for one in of_runs])
    _insert(connection, "series", [_SERIES | one for one in of_series])
    _insert(connection, "params", of_params)
    _insert(connection, "tags", of_tags)


def _insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    """By the driver itself: ten times as fast."""
    names = ", ".join(f'"{name}"' for name in rows[0])
    values = ", ".join("?" * len(rows[0]))
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({values})", [tuple(row.values()) for row in rows])
