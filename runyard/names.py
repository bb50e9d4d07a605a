"""Names of files and folders, on the node and at the collector: each is defined here and nowhere else.

Standard library only, and cheap to import: the shepherd loads this for every run.
"""

from __future__ import annotations

import os

# The files of a run, rows A1 to A14 of the mission: people's scripts look for exactly these.
LOGS_DIR = "azureml-logs"
USER_LOGS_DIR = "logs"
SYSTEM_LOGS_DIR = "logs/azureml"
OUTPUTS_DIR = "outputs"
WORK_DIR = "work"
PROCESS_INFO = "azureml-logs/process_info.json"
PROCESS_STATUS = "azureml-logs/process_status.json"
IMAGE_LOG = "azureml-logs/20_image_build_log.txt"
SYSTEM_LOG = "logs/azureml/110_azureml.log"
PREPARATION_SYSTEM_LOG = "logs/azureml/job_prep_azureml.log"
RELEASE_SYSTEM_LOG = "logs/azureml/job_release_azureml.log"
MPI_LOG = "azureml-logs/70_mpi_log.txt"
# The overall logs of a run on several nodes, row A15: at the collector only.
EXECUTION_LOGS = "logs/azureml/executionlogs.txt"
STDOUT_LOGS = "logs/azureml/stdoutlogs.txt"
STDERR_LOGS = "logs/azureml/stderrlogs.txt"

# What is ours alone lies below this folder of a run, on the node and at the collector.
PRIVATE_DIR = ".runyard"
INDEX_DIR = ".runyard/index"
INDEX_SUFFIX = ".idx"
# What trainings record (metrics, parameters, tags, …), a file for each process: runyard/tracking/records.py.
TRACKING_DIR = ".runyard/tracking"
TRACKING_SUFFIX = ".jsonl"
# Files that were uploaded to the run or its children, each under the SHA-256 of its bytes; renamed into place when whole.
BLOBS_DIR = ".runyard/blobs"

RUN_FILE = ".runyard/run.json"
ENVIRONMENT_FILE = ".runyard/environment.json"
SECRETS_FILE = ".runyard/secrets.json"
STATE_FILE = ".runyard/state.json"
STOP_FILE = ".runyard/stop.json"
SHIPPED_FILE = ".runyard/shipped.json"
SHIPPED_SO_FAR_FILE = ".runyard/shipped_so_far.json"  # another attempt is due
SPOOL_LOCK = ".runyard/lock"
SHEPHERD_LOCK = ".runyard/shepherd.lock"
SHEPHERD_ERRORS = ".runyard/shepherd.err"
BLOCKED_FILE = ".runyard/blocked"
RESERVE_FILE = ".runyard/reserve"
DRAIN_FILE = ".runyard/drain.json"
RELEASE_REQUEST = ".runyard/phase/release/request.json"
PROGRESS_FILE = ".runyard/progress.json"
STACKS_WANTED_FILE = ".runyard/stacks_wanted.json"
WATCH_LOCK = ".runyard/watch.lock"
LOOPBACK_FILE = ".runyard/loopback.json"
LOOPBACK_LOCK = ".runyard/loopback.lock"
# What leads MLflow in a driver to its run, and to no other that is started in it.
MLFLOW_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_TOKEN")
# What the process of an interactive run leaves in its folder (process_dir) for the shepherd.
ATTACHED_WORD = "word.json"
ATTACHED_EXIT_STATUS = "exit_status"
ATTACHED_EXCEPTIONS = "exceptions.jsonl"
GAPS_FILE = ".runyard/gaps.jsonl"
RECLAIMED_FILE = ".runyard/reclaimed.jsonl"

# Folders and files of a run belong to its owner alone.
DIR_MODE = 0o700
FILE_MODE = 0o600

MAX_RUN_ID_LENGTH = 128
MAX_NAME_BYTES = 1024

_LETTERS_AND_DIGITS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_OF_RUN_ID = _LETTERS_AND_DIGITS | frozenset("_.-")


def attempt_dir(run_id: str, attempt: int) -> str:
    """Folder of one attempt at a run in the spool; no run id has a '~'."""
    return run_id if not attempt else f"{run_id}~{attempt}"


def attempt_of_dir(name: str) -> tuple[str, int]:
    """The run's id and the attempt of a folder that `attempt_dir` has named. What lies in the folder is its user's, and may say
    anything; its name is given by whoever has the spool."""
    run_id, _, attempt = name.partition("~")
    return run_id, int(attempt) if attempt.isascii() and attempt.isdigit() else 0


def of_attempt(name: str, attempt: int) -> str:
    """Where the collector has a node's file: an attempt after the first one has a folder of its own."""
    return name if not attempt else f"attempts/{attempt}/{name}"


def driver_log(rank: int, world_size: int) -> str:
    """Relative path of a driver's log: no suffix where the run has one process."""
    return f"{LOGS_DIR}/70_driver_log.txt" if world_size == 1 else f"{LOGS_DIR}/70_driver_log_{rank}.txt"


def execution_log(node_id: str) -> str:
    """Relative path of what the host tool says on a node: pulls, mounts, what it starts and how that ends."""
    return f"{LOGS_DIR}/55_azureml-execution-{node_id}.txt"


def preparation_log(node_id: str) -> str:
    """Relative path of the job preparation's log on a node."""
    return f"{LOGS_DIR}/65_job_prep-{node_id}.txt"


def release_log(node_id: str) -> str:
    """Relative path of the job release's log on a node."""
    return f"{LOGS_DIR}/75_job_post-{node_id}.txt"


def telemetry_log(node_id: str) -> str:
    """Relative path of what a run used on a node, as JSON lines; written by the node's agent."""
    return f"{SYSTEM_LOGS_DIR}/telemetry-{node_id}.jsonl"


def sidecar_log(node_id: str, name: str) -> str:
    """Relative path of one of the sidecar's logs on a node: start_cms, prep_cmd or release_cmd."""
    return f"{SYSTEM_LOGS_DIR}/sidecar/{node_id}/{name}.txt"


def phase_dir(phase: str) -> str:
    """Relative path of what is kept of one phase on the node."""
    return f"{PRIVATE_DIR}/phase/{phase}"


def index_of(name: str) -> str:
    """Relative path of the time index of the log `name`."""
    return f"{INDEX_DIR}/{name}{INDEX_SUFFIX}"


def process_dir(rank: int) -> str:
    """Relative path of what capture keeps of one process."""
    return f"{PRIVATE_DIR}/proc/{rank}"


def is_private(name: str) -> bool:
    """Whether the file `name` of a run is ours alone: it is read where it is needed, and in no list for people."""
    return name.startswith(PRIVATE_DIR + "/")


def superseded(name: str, generation: int) -> str:
    """Name under which an earlier generation of a truncated or replaced file is kept."""
    return f"{name}.~{generation}~"


def split_superseded(name: str) -> tuple[str, int] | None:
    """The inverse of `superseded`: (name, generation), or None where `name` is no such name."""
    earlier, mark, generation = name.rpartition(".~")
    digits = generation[:-1]
    if not earlier or not mark or not generation.endswith("~") or not (digits.isascii() and digits.isdigit()):
        return None
    return earlier, int(digits)


def why_bad_run_id(run_id: str) -> str:
    """What is wrong with a run id (or an experiment's name), as the end of a sentence; empty where nothing is."""
    if not run_id:
        return "is empty"
    if len(run_id) > MAX_RUN_ID_LENGTH:
        return f"has {len(run_id)} characters, at most {MAX_RUN_ID_LENGTH} are allowed"
    if run_id[0] not in _LETTERS_AND_DIGITS or not _OF_RUN_ID.issuperset(run_id):
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
