"""What the shepherd writes for people: process_info.json, process_status.json, system logs, and lines in the phases' logs.

The two JSON files are JSON Lines. A line that is there already is not written again, so that a shepherd that takes over
repeats nothing. Standard library only.
"""

from __future__ import annotations

import os
import time

from runyard import names

from .json_lines import append_line, read_lines

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any


class ProcessJournal:
    """process_info.json and process_status.json of one node."""

    def __init__(self, run_dir: str, node_id: str, node_ip: str) -> None:
        self._info = os.path.join(run_dir, names.PROCESS_INFO)
        self._status = os.path.join(run_dir, names.PROCESS_STATUS)
        self._node_id, self._node_ip = node_id, node_ip
        os.makedirs(os.path.dirname(self._info), mode=names.DIR_MODE, exist_ok=True)
        self._known = {line["process_name"] for line in read_lines(self._info)}
        self._told = {(line["process_name"], line["status"] == "Started") for line in read_lines(self._status)}

    def started(self, name: str, started: dict[str, Any], log: str) -> bool:
        """Note that a process runs; False where that is known already."""
        if name not in self._known:
            line = {
                "process_name": name,
                "node_id": self._node_id,
                "pid_in_container": started["pid"],
                "private_ip": self._node_ip,
                "log": log,
            }
            append_line(self._info, line)
            self._known.add(name)
        return self._tell(name, started["wall_ns"], "Started")

    def ended(self, name: str, wall_ns: int, status: str) -> bool:
        """Note a process's final status; False where that is known already."""
        return self._tell(name, wall_ns, status)

    def run_ended(self, wall_ns: int, status: str) -> None:
        """The last line: the run is over on this node, whatever became of processes without an end of their own."""
        self._tell("*", wall_ns, {"Completed": "Completed", "Canceled": "Terminated"}.get(status, "Failed"))

    def _tell(self, name: str, wall_ns: int, status: str) -> bool:
        key = (name, status == "Started")
        if key in self._told:
            return False
        append_line(self._status, {"process_name": name, "timestamp": utc(wall_ns), "status": status})
        self._told.add(key)
        return True


class PhaseLog:
    """A phase's log (20, 55, 65 or 75), one line with its time at each call. A full disk loses lines here, never the run."""

    def __init__(self, run_dir: str, name: str) -> None:
        self._name = name
        path = os.path.join(run_dir, name)
        os.makedirs(os.path.dirname(path), mode=names.DIR_MODE, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)

    def say(self, text: str) -> None:
        """One line."""
        try:
            os.write(self._file, stamped(self._name, text))
        except OSError:
            pass

    def end(self) -> int:
        """The log's size now, in bytes."""
        return os.fstat(self._file).st_size

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


class SystemLog:
    """A log such as 110_azureml.log: `asctime|logger|LEVEL|message` in each line. A full disk loses lines, never the run."""

    def __init__(self, path: str, logger: str) -> None:
        os.makedirs(os.path.dirname(path), mode=names.DIR_MODE, exist_ok=True)
        self._logger = logger
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)

    def info(self, message: str, **values: Any) -> None:
        """What happened."""
        self._write("INFO", message, values)

    def warning(self, message: str, **values: Any) -> None:
        """What happened and should not become a habit."""
        self._write("WARNING", message, values)

    def error(self, message: str, **values: Any) -> None:
        """What went wrong."""
        self._write("ERROR", message, values)

    def _write(self, level: str, message: str, values: dict[str, Any]) -> None:
        now_ns = time.time_ns()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now_ns // 10**9)) + f",{now_ns // 10**6 % 1000:03d}"
        text = " ".join([message, *(f"{key}={value}" for key, value in values.items())])
        line = f"{stamp}|{self._logger}|{level}|" + text.replace("\n", "\\n") + "\n"
        try:
            os.write(self._file, line.encode(errors="replace"))
        except OSError:
            pass


def stamped(log: str, text: str) -> bytes:
    """A line of the phase's log `log`, with the time as such logs have it."""
    now_ns = time.time_ns()
    at = time.gmtime(now_ns // 10**9)
    if log == names.IMAGE_LOG:
        stamp = time.strftime("%Y/%m/%d %H:%M:%S", at)
    elif "/55_" in log:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", at)
    else:
        stamp = time.strftime("[%Y-%m-%dT%H:%M:%S", at) + f".{now_ns // 1000 % 10**6:06d}Z]"
    return f"{stamp} {text}\n".encode(errors="replace")


def utc(wall_ns: int) -> str:
    """2019-10-28T22:30:10.764428389Z"""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_ns // 10**9)) + f".{wall_ns % 10**9:09d}Z"
