"""Submitting: into a cluster's queue, or on this machine as a `runyard run` of its own that outlives whoever submits.

Reads the code's folder; writes the packed code to the cache and to the collector, and the run to POST clusters/{cluster}/runs;
or an order, which the new process reads and removes, to the folder for temporary files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from runyard import configuration, names, queue_order
from runyard.atomic import read_json
from runyard.code_cache import pack_code, send_code
from runyard.errors import InputError, RunyardError
from runyard.queue_order import Wanted
from runyard.run_ids import checked_id, fresh_run_id
from runyard.spec import Snapshot

from . import configuring, on_its_way, saying
from .script_run_config import ScriptRunConfig

if TYPE_CHECKING:
    from .experiment import Experiment
    from .run import Run
    from .workspace import Workspace

LOOK_S = 0.01
# A collector that is away is waited for so long; then the spool is left to `runyard ship`.
PATIENCE_S = 24 * 3600.0
MOST_WORDS_BYTES = 64 << 10
# Of the run that a script is in, its processes have variables that are not those of a run which it starts.
OF_A_PROCESS = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("TF_CONFIG", "AZ_BATCH_HOST_LIST", "AZ_BATCH_MASTER_NODE", "AZ_BATCH_IS_CURRENT_NODE_MASTER"),
    *("AZ_BATCHAI_TASK_TYPE", "AZ_BATCHAI_TASK_INDEX", "AZ_BATCHAI_PYTORCH_INIT_METHOD", "AZUREML_NODE_COUNT"),
)
# By it the processes of that run are found and ended with it: a run that it has started on this machine ends with it, too.
MARK = "RUNYARD_RUN_MARK"
# What a workspace was made with counts, whatever the variables say.
OF_THE_WORKSPACE = (
    "RUNYARD_CLIENT__COLLECTOR_URL",
    "RUNYARD_CLIENT__TOKEN",
    "RUNYARD_CLIENT__TOKEN_FILE",
)


def submit(
    experiment: Experiment,
    config: ScriptRunConfig,
    tags: Mapping[str, str] | None = None,
    *,
    run_id: str | None = None,
    display_name: str = "",
    parent: Run | None = None,
    packed: Snapshot | None = None,
) -> Run:
    """Submit the run; when this returns it is in the queue, or has its place on this machine. Blocks for packing and sending
    the code; `packed`: what `pack` has made of it before, in place of what lies there now. Raises InputError for what cannot
    be, CollectorError, and what `runyard run` says where it cannot start."""
    from .run import Run

    if not isinstance(config, ScriptRunConfig):
        raise InputError(f"what is submitted is a {type(config).__name__}; it has to be a ScriptRunConfig")
    workspace = experiment.workspace
    cluster, settings = configuring.target_of(config), workspace.settings
    new_id = checked_id(run_id or _new_id(experiment.name, parent), "the run id")
    wanted = configuring.wanted_of(
        config, settings, new_id, experiment.name, tags, display_name, "" if parent is None else parent.id
    )
    snapshot = packed or pack(workspace, config)
    if cluster:
        if snapshot is not None:
            send_code(snapshot, settings)
        queue_order.put(workspace.connection.client, cluster, wanted, snapshot)
    else:
        _start_here(workspace, wanted, snapshot)
    return Run(experiment, new_id)


def pack(workspace: Workspace, config: ScriptRunConfig) -> Snapshot | None:
    """The configuration's code as it is now, packed into this machine's cache; None where it has none. Blocks."""
    code = configuring.code_of(config)
    return pack_code(code, workspace.settings, saying.say) if code else None


def job_of(workspace: Workspace) -> str:
    """The run that this process is a job of, where the workspace is known by that job's token: it makes nothing but children.
    Empty: it may make what it likes."""
    is_its_own = workspace.connection.token == os.environ.get("RUNYARD_TOKEN")
    return os.environ.get("RUNYARD_RUN_ID", "") if is_its_own else ""


def has_its_place(workspace: Workspace, run_id: str, parent_run_id: str) -> bool:
    """Whether this machine has the run, as a child of that parent; the collector may not know it yet."""
    found = read_json(str(_run_file(workspace, run_id)))
    return isinstance(found, dict) and found.get("parent_run_id") == parent_run_id


def submit_child(run: Run, config: ScriptRunConfig, tags: Mapping[str, str] | None = None) -> Run:
    """The same, as a child of `run`, in its experiment."""
    return submit(run.experiment, config, tags, parent=run)


def _new_id(experiment: str, parent: Run | None) -> str:
    """A child is called after its parent, as long as there is room for that."""
    child = "" if parent is None else f"{parent.id}_{os.urandom(4).hex()}"
    return child if 0 < len(child) <= names.MAX_RUN_ID_LENGTH else fresh_run_id(experiment)


def _start_here(workspace: Workspace, wanted: Wanted, snapshot: Snapshot | None) -> None:
    """Start `runyard run` in its own session, and wait until the run has its place; raises what it says where it has not."""
    run_file = _run_file(workspace, wanted.run_id)
    if run_file.exists():
        raise InputError(f"the run id {wanted.run_id!r} is taken on this machine; choose another, or give none")
    packed = asdict(snapshot) if snapshot else None
    order = {"spec": wanted.spec.to_json(), "snapshot": packed, "parent_run_id": wanted.parent_run_id}
    descriptor, path = tempfile.mkstemp(prefix="runyard-order-", suffix=".json")  # 0600: there may be secrets in its variables
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(order, file)
        process = _launch(workspace, wanted.run_id, path)
        try:
            words = _words_until(process, run_file)
        except BaseException:  # also on KeyboardInterrupt nothing takes place that nobody knows of
            process.terminate()  # not as from a keyboard: what was started in the background does not hear that
            raise
        finally:
            threading.Thread(target=process.wait, name=f"reaping {wanted.run_id}", daemon=True).start()
    finally:
        Path(path).unlink(missing_ok=True)
    if not run_file.exists():
        _raise_words(words, process.wait())
    on_its_way.started(wanted.run_id, process)
    for word in words:
        saying.say(word)


def _run_file(workspace: Workspace, run_id: str) -> Path:
    return Path(workspace.settings.spool.dir).expanduser().absolute() / run_id / names.RUN_FILE


def _launch(workspace: Workspace, run_id: str, order: str) -> subprocess.Popen[bytes]:
    config = ["--config", workspace.config_file] if workspace.config_file else []
    # Nobody waits for that process: it sends all that there is whenever the collector is back.
    flags = ["--order", order, "--run-id", run_id, "--launcher", "none", "--patience", str(PATIENCE_S), *config]
    return subprocess.Popen(
        [sys.executable, "-m", "runyard", "run", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=_environment(os.environ, workspace),
    )


def _environment(environ: Mapping[str, str], workspace: Workspace) -> dict[str, str]:
    """The new process's: this one's, with the workspace's collector in it, without what is of the run that this one is in."""
    dropped = set(OF_THE_WORKSPACE)
    if "RUNYARD_RUN_ID" in environ:
        dropped |= {*configuration.DRIVER_VARIABLES, *OF_A_PROCESS} - {MARK}
        if environ.get("MLFLOW_TRACKING_TOKEN") == environ.get("RUNYARD_TOKEN"):  # the way of that run's MLflow alone
            dropped |= {*names.MLFLOW_VARIABLES}
    kept = {name: value for name, value in environ.items() if name not in dropped}
    return kept | {"RUNYARD_COLLECTOR_URL": workspace.url, "RUNYARD_TOKEN": workspace.connection.token}


def _words_until(process: subprocess.Popen[bytes], run_file: Path) -> list[str]:
    """What the process says until the run has its place or the process has ended. Blocks for as long as the code is sent."""
    assert process.stderr is not None
    data = b""
    os.set_blocking(process.stderr.fileno(), False)
    with process.stderr as stderr:
        while not run_file.exists() and process.poll() is None:
            data = (data + (stderr.read() or b""))[-MOST_WORDS_BYTES:]
            time.sleep(LOOK_S)
        with suppress(OSError):
            data += stderr.read() or b""
    lines = data.decode("utf-8", "replace").splitlines()
    return [line.removeprefix("runyard: ") for line in lines if line.strip()]


def _raise_words(words: list[str], exit_code: int) -> NoReturn:
    kind = InputError if exit_code == InputError.exit_code else RunyardError
    raise kind(words[-1] if words else f"`runyard run` ended with exit code {exit_code} before the run began")
