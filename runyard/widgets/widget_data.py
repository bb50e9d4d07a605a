"""What RunDetails.get_widget_data gives: the widget's content as plain values, for who scripts. Azure ML's keys.

Reads from the collector (asking.py); writes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runyard.client import CollectorClient
from runyard.reader import Document
from runyard.sdk import details

from . import asking
from .choosing import first_to_read

if TYPE_CHECKING:
    from runyard import Run

LOG_BYTES = 256 << 10
COLUMNS = 1000


def of(run: Run) -> dict[str, Any]:
    """The run as it is now. Blocks; raises InputError and CollectorError."""
    client = run._client
    found = asking.run(client, run.id)
    trials = asking.trials(client, run.id)
    files = asking.files(client, run.id)
    path = first_to_read(files, asking.verdict(client, found))
    return {
        "status": found["status"],
        "workbench_run_details_uri": details.get_portal_url(run),
        "run_id": run.id,
        "run_properties": _properties(found),
        "child_runs": [_child(row, trials) for row in trials["trials"]],
        "children_metrics": {key: trials[key] for key in ("goal", "best_run_id", "best_value")},
        "run_metrics": _metrics(client, run),
        "run_logs": asking.text_of(client, run.id, path, LOG_BYTES) if path else "",
        "log_file": path,
        "graph": {},
        "widget_settings": {},
    }


def _properties(found: Document) -> dict[str, Any]:
    return {
        "run_id": found["run_id"],
        "run_name": found["name"],
        "run_number": found["number"],
        "experiment": found["experiment"],
        "created_utc": _moment(found["created_ns"]),
        "start_time_utc": _moment(found["started_ns"]),
        "end_time_utc": _moment(found["ended_ns"]),
        "duration_s": _duration_s(found),
        "phase": found["phase"],
        "cause": found["cause"],
        "exit_code": found["exit_code"],
        "tags": found["tags"],
        "parameters": found["params"],
        "properties": found["properties"],
        "node_count": found["node_count"],
        "process_count": found["world_size"],
        "parent_run_id": found["parent_run_id"],
    }


def _child(row: Document, trials: Document) -> dict[str, Any]:
    return {
        "run_id": row["run_id"],
        "iteration": row["iteration"],
        "run_name": row["name"],
        "status": row["status"],
        "parameters": row["params"],
        "duration_s": row["duration_s"],
        "primary_metric": row["value"],
        "best_metric": row["best"],
        "is_best": row["run_id"] == trials["best_run_id"],
    }


def _metrics(client: CollectorClient, run: Run) -> list[dict[str, Any]]:
    """A line each, as a chart has it; `is_sampled` where it does not have every value."""
    names = [one["name"] for one in asking.metrics(client, run.id) if asking.is_drawn(one)]
    found = asking.series(client, run.id, names, COLUMNS)
    return [
        {
            "name": one["name"],
            "run_id": one["run_id"],
            "categories": one["x"],
            "series": [{"data": one["last"] if one["is_sampled"] else one["value"]}],
            "is_sampled": one["is_sampled"],
            "count": one["count"],
        }
        for one in found
    ]


def _duration_s(found: Document) -> float | None:
    if found["started_ns"] is None or found["ended_ns"] is None:
        return None
    return float(found["ended_ns"] - found["started_ns"]) / 1e9


def _moment(at_ns: int | None) -> str | None:
    return None if at_ns is None else datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")
