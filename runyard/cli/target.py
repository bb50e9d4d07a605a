"""Which file `runyard logs` means: --file, --rank and --node against what the collector knows of the run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runyard import names
from runyard.errors import InputError
from runyard.labels import RUN_LEVEL
from runyard.reader import FINAL_STATUSES, Document

ATTEMPTS = "attempts"
# Attempts that begin while one looks on; a request has room for so many paths.
LATER_ATTEMPTS = 32
INTERACTIVE = "interactive"  # the kind of runs whose process was there before them


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: a file's name or path, or a process's rank; both may be on one node. No attempt: the newest."""

    file: str | None = None
    rank: int | None = None
    node: str | None = None
    attempt: int | None = None


def path_of(run: Document, wanted: Wanted) -> str | None:
    """The path that the API knows the file by (always with the node's folder); None where it may yet come.

    InputError where it cannot be: the run has ended without it, or it lies on several nodes.
    """
    nodes = [node for node in run["nodes"] if wanted.node is None or wanted.node in _names_of(node)]
    if not nodes:
        _check_goes_on(run, f"no node {wanted.node!r}" if wanted.node and run["nodes"] else "no node")
        return None
    newest = max(node["attempt"] for node in run["nodes"])
    attempt = newest if wanted.attempt is None else wanted.attempt
    if attempt > newest:
        _check_goes_on(run, f"no attempt {attempt}")
        return None
    if wanted.file is not None:
        return _named_file(run, wanted, nodes, attempt)
    return _driver_log(run, wanted, nodes, attempt)


def with_later_attempts(path: str) -> tuple[str, ...]:
    """The path, and those that the file will have in attempts that are still to come: who follows a run follows them, too."""
    folder, _, name = path.partition("/")
    if path in RUN_LEVEL or not name:
        return (path,)
    attempt = 0
    if name.startswith(f"{ATTEMPTS}/"):
        _, number, name = name.split("/", 2)
        attempt = int(number)
    later = range(attempt + 1, attempt + 1 + LATER_ATTEMPTS)
    return (path, *(f"{folder}/{names.of_attempt(name, number)}" for number in later))


def is_single(run: Document) -> bool:
    """Whether the run is on one node, and so its files are named without the node's folder."""
    return len(run["nodes"]) <= 1 and run.get("node_count", 1) <= 1


def _named_file(run: Document, wanted: Wanted, nodes: list[Document], attempt: int) -> str | None:
    file = wanted.file or ""
    folder, _, name = file.partition("/")
    if name and any(folder == node["folder"] for node in nodes):
        return file
    if not is_single(run) and file in RUN_LEVEL and wanted.node is None:
        return file
    if len(nodes) > 1:
        places = ", ".join(node["folder"] for node in nodes)
        raise InputError(f"run {run['run_id']} has several nodes; say which by --node: {places}")
    return f"{nodes[0]['folder']}/{file if folder == ATTEMPTS else names.of_attempt(file, attempt)}"


def _driver_log(run: Document, wanted: Wanted, nodes: list[Document], attempt: int) -> str | None:
    rank = wanted.rank
    folders = {node["node_id"]: node["folder"] for node in nodes}
    processes = [process for process in run["processes"] if process["node_id"] in folders]
    if not processes and len(nodes) == 1 and attempt < nodes[0]["attempt"]:  # the newest one has not begun to run
        return f"{nodes[0]['folder']}/{names.of_attempt(names.driver_log(rank or 0, run.get('world_size', 1)), attempt)}"
    if not processes:
        _check_goes_on(run, "no process")
        return None
    # Rank 0 is meant, which may yet come; on one node, or where nothing comes any more, the lowest that there is.
    may_come = wanted.node is None and len(processes) < run.get("world_size", 1) and run["status"] not in FINAL_STATUSES
    lowest = 0 if may_come else min(process["rank"] for process in processes)
    wanted_rank = lowest if rank is None else rank
    found = [process for process in processes if process["rank"] == wanted_rank]
    if not found:
        known = ", ".join(str(process["rank"]) for process in processes[:20])
        _check_goes_on(run, f"no process of rank {wanted_rank} (it has {known})")
        return None
    if not found[0]["log"] and run.get("kind") == INTERACTIVE:
        raise InputError(
            f"run {run['run_id']} is interactive: what process {found[0]['pid']} prints goes where it went before the run, so"
            f" there is no driver log; --file shows another one, as in --file {names.SYSTEM_LOG}"
        )
    log = found[0]["log"] or names.driver_log(wanted_rank, len(run["processes"]))
    return f"{folders[found[0]['node_id']]}/{names.of_attempt(log, attempt)}"


def _names_of(node: Document) -> tuple[str, ...]:
    return node["node_id"], node["folder"], node["ip"], node["hostname"]


def _check_goes_on(run: Document, what: str) -> None:
    if run["is_complete"] or run["status"] in FINAL_STATUSES:
        raise InputError(f"run {run['run_id']} is {run['status']} and has {what}{': ' if run['cause'] else ''}{run['cause']}")
