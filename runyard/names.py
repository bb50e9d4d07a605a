"""Names of files and folders, on the node and at the collector: each is defined here and nowhere else.

Standard library only, and cheap to import: the shepherd loads this for every run.
"""

from __future__ import annotations

import os
import re

# Rows A4, A7, A8 and A9 of the mission: people's scripts look for exactly these.
LOGS_DIR = "azureml-logs"
USER_LOGS_DIR = "logs"
SYSTEM_LOGS_DIR = "logs/azureml"
OUTPUTS_DIR = "outputs"
PROCESS_INFO = "azureml-logs/process_info.json"
PROCESS_STATUS = "azureml-logs/process_status.json"
SYSTEM_LOG = "logs/azureml/110_azureml.log"

# What is ours alone lies below this folder of a run, on the node and at the collector.
PRIVATE_DIR = ".runyard"
INDEX_DIR = ".runyard/index"
INDEX_SUFFIX = ".idx"

RUN_FILE = ".runyard/run.json"
ENVIRONMENT_FILE = ".runyard/environment.json"
STATE_FILE = ".runyard/state.json"
STOP_FILE = ".runyard/stop.json"
SHIPPED_FILE = ".runyard/shipped.json"
SPOOL_LOCK = ".runyard/lock"
SHEPHERD_LOCK = ".runyard/shepherd.lock"
SHEPHERD_ERRORS = ".runyard/shepherd.err"
BLOCKED_FILE = ".runyard/blocked"
GAPS_FILE = ".runyard/gaps.jsonl"
RECLAIMED_FILE = ".runyard/reclaimed.jsonl"

# Folders and files of a run belong to its owner alone.
DIR_MODE = 0o700
FILE_MODE = 0o600

MAX_RUN_ID_LENGTH = 128
MAX_NAME_BYTES = 1024

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_SUPERSEDED = re.compile(r"(?P<name>.+)\.~(?P<generation>\d+)~\Z", re.DOTALL)


def driver_log(rank: int, world_size: int) -> str:
    """Relative path of a driver's log: no suffix where the run has one process."""
    return f"{LOGS_DIR}/70_driver_log.txt" if world_size == 1 else f"{LOGS_DIR}/70_driver_log_{rank}.txt"


def index_of(name: str) -> str:
    """Relative path of the time index of the log `name`."""
    return f"{INDEX_DIR}/{name}{INDEX_SUFFIX}"


def process_dir(rank: int) -> str:
    """Relative path of what capture keeps of one process."""
    return f"{PRIVATE_DIR}/proc/{rank}"


def superseded(name: str, generation: int) -> str:
    """Name under which an earlier generation of a truncated or replaced file is kept."""
    return f"{name}.~{generation}~"


def split_superseded(name: str) -> tuple[str, int] | None:
    """The inverse of `superseded`: (name, generation), or None where `name` is no such name."""
    match = _SUPERSEDED.match(name)
    return (match["name"], int(match["generation"])) if match else None


def why_bad_run_id(run_id: str) -> str:
    """What is wrong with a run id (or an experiment's name), as the end of a sentence; empty where nothing is."""
    if not run_id:
        return "is empty"
    if len(run_id) > MAX_RUN_ID_LENGTH:
        return f"has {len(run_id)} characters, at most {MAX_RUN_ID_LENGTH} are allowed"
    if not _RUN_ID.match(run_id):
        return "may hold only letters, digits, '_', '-' and '.', and starts with a letter or digit"
    if ".." in run_id:
        return "may not hold '..'"
    return ""


def why_bad_stream_name(name: str) -> str:
    """What is wrong with a stream's relative path, as the end of a sentence; empty where nothing is."""
    if not name or name.startswith("/"):
        return "is not a relative path"
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return "holds half of a character"
    if length > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if "\0" in name:
        return "holds a NUL byte"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "holds an empty part, '.' or '..'"
    if any(len(os.fsencode(part)) > 255 for part in name.split("/")):
        return "has a part longer than 255 bytes"
    return ""
