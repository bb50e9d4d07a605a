"""100,000 runs, put straight into the database of a collector that has not started yet."""

from __future__ import annotations

from pathlib import Path

from runyard.collector import database

EXPERIMENTS = 20
BEGUN_NS = 1_760_000_000 * 10**9
EVERY_NS = 60 * 10**9
# Made by the database itself, which is much faster than to hand it the rows. {count}: how many; n: the number of each.
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count})"
_LOSS = "(n * 7919 % 1000003 / 1000.0)"
_ROWS: dict[str, dict[str, str]] = {
    "experiments": {
        "name": "printf('experiment %02d', n)", "folder": "printf('experiment-%02d', n)", "artifact_location": "''",
        "created_ms": "0", "updated_ms": "0",
    },
    "runs": {
        "run_id": "printf('r%06d', n)", "experiment": "printf('experiment-%02d', n % 20)", "name": "printf('run %06d', n)",
        "user": "CASE n % 4 WHEN 0 THEN 'ada' WHEN 1 THEN 'grace' WHEN 2 THEN 'kurt' ELSE 'alan' END",
        "status": "CASE n % 3 WHEN 0 THEN 'Canceled' WHEN 1 THEN 'Completed' ELSE 'Failed' END",
        "created_ns": f"{BEGUN_NS} + n * {EVERY_NS}", "started_ns": f"{BEGUN_NS} + n * {EVERY_NS}",
        "ended_ns": f"{BEGUN_NS} + n * {EVERY_NS} + n % 1000 * 1000000000", "number": "n / 20 + 1", "exit_code": "n % 2",
        "is_complete": "1", "is_client_run": "1", "is_pinned": "0", "said_ms": "0", "node_count": "1", "world_size": "1",
        "attempt": "0", "failure_grace_s": "0", "on_failure": "'fail-fast'", "command": """'["python", "train.py"]'""",
        "cwd": "'/'", "hostname": "'host'",
        **dict.fromkeys(("key_sha256", "cause", "phase", "creator", "secret", "cancel_reason", "removed_why", "kind"), "''"),
        "hint": "''",
    },
    "series": {
        "run_id": "printf('r%06d', n)", "name": "'loss'", "kind": "'scalar'", "count": "2", "number_count": "2",
        "nan_count": "0", "last_step": "1", "last_ms": "0", "latest_step": "1", "latest_ms": "0", "tail": "'[]'",
        "first": f"{_LOSS} + 1",
        "max": f"{_LOSS} + 1", "min": _LOSS, "last": _LOSS, "latest": _LOSS, "total": f"2 * {_LOSS} + 1",
    },
    "params": {"run_id": "printf('r%06d', n)", "key": "'lr'", "value": "printf('0.%d', n % 10)"},
    "tags": {"run_id": "printf('r%06d', n)", "key": "'team'", "value": "printf('team %d', n % 7)"},
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
        for table, columns in _ROWS.items():
            names = ", ".join(f'"{name}"' for name in columns)
            numbers = _NUMBERS.format(count=EXPERIMENTS if table == "experiments" else count)
            connection.exec_driver_sql(
                f"INSERT INTO {table} ({names}) {numbers} SELECT {', '.join(columns.values())} FROM numbers"
            )
    opened.close()
