"""`runyard show RUN`: one run with its nodes, processes and files, and who failed first.

Reads from GET runs/{run_id}, files and verdict, writes to stdout.
"""

from __future__ import annotations

import argparse
import shlex
import time
from itertools import zip_longest

from runyard import names, reader
from runyard.reader import Document

from . import verdict as verdicts
from .connection import add_connection_arguments, add_output_argument, client_of
from .terminal import clean, duration, moment, say, say_json, size, status_text, table

TRANSITIONS_HEAD = ("AT", "STATUS", "PHASE", "TOOK")
NODES_HEAD = ("NODE", "IP", "HOST", "STATUS", "PHASE", "HEARD", "FOLDER", "CAUSE")
ATTEMPTS_HEAD = ("ATTEMPT", "IP", "STATUS", "EXIT", "STARTED", "TOOK", "CAUSE")
PROCESSES_HEAD = ("RANK", "NAME", "STATUS", "EXIT", "PID", "STARTED", "TOOK", "NODE", "LOG")
PROGRESS_HEAD = ("RANK", "STEP", "RATE", "ETA", "LAST OUTPUT", "STALLS")
FILES_HEAD = ("FILE", "SIZE", "STATE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard show`."""
    parser.add_argument("run", metavar="RUN", help="the run's id")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show the run."""
    client = client_of(args)
    try:
        found = reader.run(client, args.run)
    except reader.NoSuchRun:
        from . import slurm_jobs

        if slurm_jobs.tell(args.run, args.output):
            return 0
        raise
    files = list(reader.files(client, args.run))
    verdict = reader.verdict(client, found)
    if args.output == "json":
        say_json({**found, "files": files, "verdict": verdict})
    else:
        say("\n".join([*_text(found, files), *(verdicts.lines(args.run, verdict) if verdict else [])]))
    return 0


def _text(found: Document, files: list[Document]) -> list[str]:
    attempts = {node["node_id"]: node["attempt"] for node in found["nodes"]}
    return [
        _state_line(found),
        *_about(found),
        *_section("Transitions", TRANSITIONS_HEAD, _transitions(found, time.time_ns())),
        *_earlier(found),
        *_section("Nodes", NODES_HEAD, [_node(node) for node in found["nodes"]]),
        *_section("Processes", PROCESSES_HEAD, [_process(process, attempts) for process in found["processes"]]),
        *_progress(found),
        *_section("Files", FILES_HEAD, [_file(file) for file in files]),
    ]


def _state_line(found: Document) -> str:
    words = [f"{clean(found['run_id'])}  {status_text(found['status'])}"]
    if found["exit_code"] is not None:
        words.append(f"exit code {found['exit_code']}")
    if found["signal"] is not None:
        words.append(f"signal {found['signal']}")
    if found["started_ns"] is not None and found["ended_ns"] is not None:
        words.append(f"took {duration(found['ended_ns'] - found['started_ns'])}")
    words.append("complete" if found["is_complete"] else "not complete")
    return ", ".join(words) + (f": {clean(found['pending'])}" if found["pending"] else "")


def _about(found: Document) -> list[str]:
    tags = " ".join(f"{key}={value}" for key, value in sorted(found["tags"].items()))
    pairs = [
        ("attempt", str(found["attempt"] or "")),
        ("phase", found["phase"]),
        ("cause", found["cause"]),
        *_failure(found),
        *_slurm(found),
        ("experiment", found["experiment"]),
        ("name", found["name"]),
        ("tags", tags),
        ("params", " ".join(f"{key}={value}" for key, value in sorted(found.get("params", {}).items()))),
        ("parent", found.get("parent_run_id") or ""),
        *(("warning", text) for text in found.get("warnings", ())),
        ("command", " ".join(found["command"])),
        ("folder", found["cwd"]),
        ("user", f"{found['user']} at {found['hostname']}" if found["user"] else ""),
        ("created", moment(found["created_ns"])),
        ("started", moment(found["started_ns"])),
        ("ended", moment(found["ended_ns"])),
        ("heard", moment(found["heard_ns"])),
        ("pinned", "its files are kept" if found.get("is_pinned") else ""),
        ("removed", reader.removed(found)),
    ]
    return [f"  {word:<12}{clean(text)}" for word, text in pairs if text and text != "-"]


def _failure(found: Document) -> list[tuple[str, str]]:
    failure = found["failure"]
    if failure is None:
        return []
    return [("failed in", failure["phase"]), ("because", failure["cause"]), *_place(found, failure)]


def _slurm(found: Document) -> list[tuple[str, str]]:
    """What Slurm says of a run of its own that is not over, where this machine belongs to that Slurm."""
    if "slurm_job" not in found["tags"] or found["status"] in reader.FINAL_STATUSES:
        return []
    from . import slurm_jobs

    job = slurm_jobs.find(found["run_id"])
    return [("slurm", job.sentence)] if job else []


def _place(found: Document, failure: Document) -> list[tuple[str, str]]:
    """Where the failure is told, and the command that shows it."""
    log, start, end = failure["log"], failure["start"], failure["end"]
    if not log:
        return []
    if start is None or end is None or start == end:
        return [("told in", log)]
    part = f"tail -c +{start + 1} | head -c {end - start}"
    return [("told in", f"{log}, bytes {start} to {end}"), ("see it", f"{_shown(found, failure)} | {part}")]


def _shown(found: Document, failure: Document) -> str:
    words = ["runyard", "logs", found["run_id"], "--file", failure["log"], "--raw"]
    folders = [node["folder"] for node in found["nodes"] if node["failure"] == failure]
    if len(found["nodes"]) > 1 and folders:
        words += ["--node", folders[0]]
    return shlex.join(words)


def _transitions(found: Document, now_ns: int) -> list[tuple[str, ...]]:
    """Each with the time until the next one; the last with the time until now, unless it is the end."""
    told = found["transitions"]
    rows: list[tuple[str, ...]] = []
    for one, following in zip_longest(told, told[1:]):
        is_end = following is None and one["status"] in reader.FINAL_STATUSES
        took = "-" if is_end else duration((following["wall_ns"] if following else now_ns) - one["wall_ns"])
        rows.append((moment(one["wall_ns"], milliseconds=True), one["status"], one["phase"] or "-", took))
    return rows


def _section(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return ["", f"{title} ({len(rows)})", *(table(head, rows).split("\n") if rows else [])]


def _earlier(found: Document) -> list[str]:
    """The attempts before the newest one, where the run was started again."""
    rows = [_attempt(node, one) for node in found["nodes"] for one in node["earlier"]]
    return _section("Earlier attempts", ATTEMPTS_HEAD, rows) if rows else []


def _attempt(node: Document, one: Document) -> tuple[str, ...]:
    started, ended = one["started_ns"], one["ended_ns"]
    took = duration(ended - started) if started is not None and ended is not None else "-"
    exit_code = "-" if one["exit_code"] is None else str(one["exit_code"])
    return str(one["attempt"]), node["ip"], one["status"], exit_code, moment(started), took, one["cause"]


def _node(node: Document) -> tuple[str, ...]:
    heard = moment(node["heard_ns"])
    phase = node["phase"] or "-"
    return node["node_id"], node["ip"], node["hostname"], node["status"], phase, heard, node["folder"], node["cause"]


def _process(process: Document, attempts: dict[str, int]) -> tuple[str, ...]:
    started, ended = process["started_ns"], process["ended_ns"]
    exit_code, signal = process["exit_code"], process["signal"]
    how = f"signal {signal}" if signal is not None else "-" if exit_code is None else str(exit_code)
    took = duration(ended - started) if started is not None and ended is not None else "-"
    return (
        str(process["rank"]),
        process["name"],
        process["status"],
        how,
        "-" if process["pid"] is None else str(process["pid"]),
        moment(started),
        took,
        process["node_id"],
        process["log"] and names.of_attempt(process["log"], attempts.get(process["node_id"], 0)),
    )


def _progress(found: Document) -> list[str]:
    """How far the processes have come, where somebody looks at that."""
    rows = [_pace(process, process["progress"]) for process in found["processes"] if process["progress"] is not None]
    return _section("Progress", PROGRESS_HEAD, rows) if rows else []


def _pace(process: Document, progress: Document) -> tuple[str, ...]:
    step, total, rate, eta_s = (progress[key] for key in ("step", "total", "rate_per_s", "eta_s"))
    is_stalled = progress["is_stalled"] and process["status"] == "Started"
    stalls = str(progress["stalls"]) + (", stalled now" if is_stalled else "")
    return (
        str(process["rank"]),
        "-" if step is None else f"{step}/{total} ({100 * step // total}%)" if total else str(step),
        "-" if rate is None else f"{rate:.3g}/s",
        "-" if eta_s is None or process["status"] != "Started" else duration(round(eta_s * 1e9)),
        moment(progress["last_output_ns"]),
        stalls,
    )


def _file(file: Document) -> tuple[str, ...]:
    dropped = sum(end - start for start, end in file["gaps"])
    state = f"sealed {(file['sha256'] or '')[:12]}".rstrip() if file["is_sealed"] else "open"
    if file.get("removed_ns"):
        state = f"removed, was {state}"
    return file["path"], size(file["bytes"]), state + (f", {dropped} bytes dropped" if dropped else "")
