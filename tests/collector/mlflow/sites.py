"""MLflow's own server and scripts with MLflow in them, for tests and benchmarks: processes of the environment for trainings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.training_site import TRAINING_PYTHON

MLFLOW = TRAINING_PYTHON.with_name("mlflow")
START_LIMIT_S = 240.0
_OURS = ("MLFLOW_", "RUNYARD_", "PYTEST_", "PYTHON")


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A server that runs. `pid` leads its process group."""

    url: str
    pid: int


def environment(**more: str) -> dict[str, str]:
    """The environment of such a process, without what whoever runs the tests has set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    quiet["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # eight processes that nobody here asks for anything
    return kept | quiet | {"PYTHONUNBUFFERED": "1", "MLFLOW_ENABLE_ASYNC_LOGGING": "false"} | more


def run_script(script: Path, *arguments: str, environ: Mapping[str, str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """The script's end, in the environment for trainings."""
    command = [str(TRAINING_PYTHON), str(script), *arguments]
    return subprocess.run(command, env=environment(**environ), capture_output=True, text=True, timeout=limit_s, check=False)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """`mlflow server` with SQLite and served artifacts in `folder`: one worker, a port of its own; ended at the block's end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [
        str(MLFLOW),
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--serve-artifacts",
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    log = folder / "mlflow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(), cwd=folder, stdout=output, stderr=output, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_health(url, process, log)
        yield MlflowServer(url, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"mlflow server did not start; its log:\n{log.read_text(errors='replace')[-4000:]}")
