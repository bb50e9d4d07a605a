"""What is known of a run, in Azure ML's words and shapes.

Reads from GET runs/{run_id}, its files and its verdict; writes nothing. Every function but get_portal_url blocks, and raises
InputError where there is no such run, and CollectorError.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runyard import names, reader
from runyard.client import API_PREFIX, CollectorClient, path_segments
from runyard.errors import CollectorRefused
from runyard.reader import Document

if TYPE_CHECKING:
    from .run import Run

LOCAL = "local"
FAILED = "Failed"
# What of a run is a log: Azure ML's folders for them.
LOG_FOLDERS = (names.LOGS_DIR, names.USER_LOGS_DIR)
MOST_ERROR = 3000  # characters, as Azure ML has it
READ_BYTES = 1 << 18


def document(run: Run) -> Document:
    """The run as the API tells of it."""
    return reader.run(run._client, run.id)


def name(run: Run) -> str:
    """What people call it; empty where nobody has named it."""
    return str(document(run)["name"])


def number(run: Run) -> int:
    """Its number in its experiment, counted from 1."""
    return int(document(run)["number"])


def kind(run: Run) -> str:
    """What kind of run it is: script, interactive, child, sweep, …"""
    return str(document(run)["kind"])


def get_status(run: Run) -> str:
    """NotStarted, Queued, Starting, Provisioning, Preparing, Running, NotResponding, CancelRequested, Finalizing, Completed,
    Failed or Canceled. Only the last three are ends."""
    return str(document(run)["status"])


def get_detailed_status(run: Run) -> dict[str, Any]:
    """{"status", "details"}: what it waits for, or how it ended."""
    found = document(run)
    return {"status": found["status"], "details": found["pending"] or found["cause"]}


def get_portal_url(run: Run) -> str:
    """The page of this run. Does not block."""
    return portal_url(run._client.url, run.id)


def portal_url(collector_url: str, run_id: str) -> str:
    """The page of a run. Pure."""
    return f"{collector_url.rstrip('/')}{reader.run_path(run_id)}"


def get_details(run: Run) -> dict[str, Any]:
    """runId, target, status, startTimeUtc, endTimeUtc (only of a run that has ended), properties, inputDatasets,
    outputDatasets, runDefinition, logFiles (path -> address, which wants the token), submittedBy; error and warnings where
    there are any."""
    found = document(run)
    client = run._client
    details: dict[str, Any] = {
        "runId": found["run_id"],
        "target": found.get("cluster") or LOCAL,
        "status": found["status"],
        "startTimeUtc": _moment(found["started_ns"]),
        "endTimeUtc": _moment(found["ended_ns"]),
        "properties": _properties(found),
        "inputDatasets": [],
        "outputDatasets": [],
        "runDefinition": _definition(found),
        "logFiles": {path: _address(client, run.id, path) for path in log_paths(client, run.id)},
        "submittedBy": found["user"],
    }
    if found["ended_ns"] is None:
        del details["endTimeUtc"]
    if found["status"] == FAILED:
        details["error"] = _error(client, found)
    if found.get("warnings"):
        details["warnings"] = [_warning(one) for one in found["warnings"]]
    return details


def get_details_with_logs(run: Run) -> dict[str, Any]:
    """The same, but logFiles has the logs' contents, as text: what is no UTF-8 in them is replaced."""
    details = get_details(run)
    details["logFiles"] = {path: read_text(run._client, run.id, path) for path in details["logFiles"]}
    return details


def log_paths(client: CollectorClient, run_id: str) -> list[str]:
    """The paths of the run's logs, sorted. Of a run on several nodes they begin with the node's folder."""
    return [file["path"] for file in reader.files(client, run_id) if _is_log(file)]


def _is_log(file: Document) -> bool:
    return any(f"/{folder}/" in f"/{file['path']}" for folder in LOG_FOLDERS) and not file.get("removed_ns")


def read_text(client: CollectorClient, run_id: str, path: str) -> str:
    """A file's whole content as text."""
    data = io.BytesIO()
    with client.stream("GET", f"{reader.run_path(run_id)}/files/{path_segments(path)}") as response:
        while piece := client.read(response, READ_BYTES):
            data.write(piece)
    return data.getvalue().decode("utf-8", "replace")


def verdict(client: CollectorClient, found: Document) -> Document | None:
    """Who failed first, and why; None where nothing in the run has failed, or where it cannot be told."""
    try:
        return reader.verdict(client, found)
    except CollectorRefused:
        return None


def sentence_of(client: CollectorClient, found: Document) -> str:
    """Why the run has failed, in one sentence."""
    decided = verdict(client, found)
    return str((decided or {}).get("sentence") or found["cause"] or f"run {found['run_id']} has failed")


def _error(client: CollectorClient, found: Document) -> Document:
    """In Azure ML's shape. UserError: a process of the run has failed, or who speaks for it says so; ServiceError: what was
    there around it."""
    failure = found.get("failure") or {}
    is_users = found["exit_code"] is not None or failure.get("phase") == "driver" or found["is_client_run"]
    code = "UserError" if is_users else "ServiceError"
    message = sentence_of(client, found)[:MOST_ERROR]
    return {"error": {"code": code, "message": message, "details": []}, "time": _moment(found["ended_ns"])}


def _warning(one: Any) -> Document:
    return {"source": "runyard", "message": one if isinstance(one, str) else str(one.get("text", one))}


def _moment(at_ns: int | None) -> str | None:
    if at_ns is None:
        return None
    return datetime.fromtimestamp(at_ns // 1000 / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _properties(found: Document) -> dict[str, str]:
    """The run's own, with those by which Azure ML's readers find the process files."""
    files = {"ProcessInfoFile": names.PROCESS_INFO, "ProcessStatusFile": names.PROCESS_STATUS}
    return files | dict(found.get("properties") or {})


def _definition(found: Document) -> Document:
    """What was asked for, as far as the collector has been told."""
    command: list[str] = found["command"]
    is_script = len(command) > 1 and "python" in command[0].rpartition("/")[2] and not command[1].startswith("-")
    return {
        "script": command[1] if is_script else None,
        "arguments": command[2:] if is_script else [],
        "command": command,
        "target": found.get("cluster") or LOCAL,
        "nodeCount": found["node_count"],
        "processCount": found["world_size"],
        "maxRunDurationSeconds": found["timeout_s"],
    }


def _address(client: CollectorClient, run_id: str, path: str) -> str:
    return f"{client.url}{API_PREFIX}{reader.run_path(run_id)}/files/{path_segments(path)}"
