"""What the widget shows of a run, as the collector answers, and no more of it than is drawn.

Reads from GET runs/{run_id} with its metrics, files, trials and verdict, and from GET metrics/sampled; writes nothing. Every
function blocks, and raises runyard.errors.CollectorError, or InputError where there is no such run.
"""

from __future__ import annotations

from collections.abc import Iterable

from runyard import reader
from runyard.client import CollectorClient, path_segments
from runyard.errors import CollectorRefused
from runyard.reader import Document, run_path

MOST_PROCESSES = 256
MOST_NODES = 128
MOST_FILES = 500
MOST_METRICS = 200
MOST_CHILDREN = 2000
_PAGE = 1000
# What a collector answers for bytes of a file that is empty, and of one that was removed.
_NO_BYTES = (416, 410)
# Of a line: so many pixels wide is a chart in a notebook at most, where two stand beside each other.
COLUMNS = 300
EARLIER_BYTES = 64 << 10


def run(client: CollectorClient, run_id: str) -> Document:
    """The run; `left_out` counts the processes and nodes that were left out, the ones that have failed come first."""
    found = reader.run(client, run_id)
    nodes, processes = found["nodes"], sorted(found["processes"], key=lambda one: (one["status"] != "Failed", one["rank"]))
    kept = sorted(processes[:MOST_PROCESSES], key=lambda one: one["rank"])
    return found | {
        "nodes": [node | {"transitions": [], "earlier": []} for node in nodes[:MOST_NODES]],
        "processes": [{key: value for key, value in one.items() if key != "evidence"} for one in kept],
        "left_out": {"processes": len(processes) - len(kept), "nodes": max(0, len(nodes) - MOST_NODES)},
    }


def metrics(client: CollectorClient, run_id: str) -> list[Document]:
    """What each metric comes to, in the order in which the collector has them."""
    found: list[Document] = client.json("GET", f"{run_path(run_id)}/metrics")["metrics"]
    return found[:MOST_METRICS]


def is_drawn(metric: Document) -> bool:
    """Whether a chart can show it."""
    return bool(metric["kind"] == "scalar" and metric["number_count"])


def series(client: CollectorClient, run_id: str, names: Iterable[str], columns: int = COLUMNS) -> list[Document]:
    """The courses of metrics, sampled to so many columns, in the order of `names`."""
    wanted = list(names)
    if not wanted:
        return []
    query = {"run_id": run_id, "name": wanted, "x": "step", "columns": columns}
    found: list[Document] = client.json("GET", "/metrics/sampled", params=query)["series"]
    return found


def files(client: CollectorClient, run_id: str) -> list[Document]:
    """The run's logs, sorted by path."""
    found: list[Document] = []
    for file in reader.files(client, run_id):
        if len(found) >= MOST_FILES:
            break
        if is_log(file["path"]):
            found.append(file | {"sha256": None})
    return found


def is_log(path: str) -> bool:
    """Whether it is one of the files that people read as a log."""
    return "azureml-logs/" in path or "logs/" in path


def trials(client: CollectorClient, run_id: str) -> Document:
    """{"goal", "best_run_id", "best_value", "trials", "is_cut"}: the run's children, at most MOST_CHILDREN."""
    rows: list[Document] = []
    first: int | None = 0
    while first is not None and len(rows) < MOST_CHILDREN:
        found = client.json("GET", f"{run_path(run_id)}/trials", params={"first": first, "limit": _PAGE})
        rows += found["trials"]
        first = found["next"]
    kept = [{key: value for key, value in row.items() if key not in ("tags", "is_complete")} for row in rows]
    told = {key: found[key] for key in ("goal", "best_run_id", "best_value")}
    return told | {"trials": kept, "is_cut": first is not None}


def verdict(client: CollectorClient, found: Document) -> Document:
    """Who failed first, and why; {} where nothing in the run has failed, or where it cannot be told."""
    is_failed = found["status"] in ("Failed", "NotResponding") or any(one["status"] == "Failed" for one in found["processes"])
    if not is_failed:
        return {}
    try:
        decided: Document = client.json("GET", f"{run_path(found['run_id'])}/verdict")
    except CollectorRefused:
        return {}
    return decided


def earlier(client: CollectorClient, run_id: str, path: str, before: int) -> tuple[int, bytes]:
    """Bytes of a file that end at `before`: where they start, and they. They start where a line does, if one does in them."""
    start = max(0, before - EARLIER_BYTES)
    target = f"{run_path(run_id)}/files/{path_segments(path)}"
    data = bytearray()
    with client.stream("GET", target, headers={"Range": f"bytes={start}-{before - 1}"}) as response:
        while piece := client.read(response, EARLIER_BYTES):
            data += piece
    newline = data.find(b"\n", 0, len(data) - 1) if start else -1
    return start + newline + 1, bytes(data[newline + 1 :])


def text_of(client: CollectorClient, run_id: str, path: str, most_bytes: int) -> str:
    """The end of a file as text; "" for one that is empty or was removed."""
    target = f"{run_path(run_id)}/files/{path_segments(path)}"
    data = bytearray()
    try:
        with client.stream("GET", target, headers={"Range": f"bytes=-{most_bytes}"}) as response:
            while piece := client.read(response, most_bytes):
                data += piece
    except CollectorRefused as error:
        if error.status not in _NO_BYTES:
            raise
        return ""
    return data.decode("utf-8", "replace")
