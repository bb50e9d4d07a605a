"""MLflow's client cannot tell the collector from MLflow's own server: the same calls have the same outcome on both.

RUNYARD_MLFLOW_EXAMPLES says how many examples are tried (`make mlflow-differential`: 2,000), RUNYARD_MLFLOW_SEED which, and
RUNYARD_MLFLOW_CLIENTS by how many clients at once.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.collector.mlflow.sites import environment, mlflow_server
from tests.collector_process import running_collector
from tests.training_site import TRAINING_PYTHON, needs_torch

EXAMPLES = int(os.environ.get("RUNYARD_MLFLOW_EXAMPLES", "25"))
SEED = int(os.environ.get("RUNYARD_MLFLOW_SEED", "20260701"))
CLIENTS = int(os.environ.get("RUNYARD_MLFLOW_CLIENTS", "1"))
LIMIT_S = 240 + 10 * EXAMPLES
ROOT = Path(__file__).parents[3]
_MODULE = ("-W", "ignore", "-m", "tests.collector.mlflow.differential")


@needs_torch
@pytest.mark.timeout(LIMIT_S + 300)
def test_the_client_sees_no_difference_to_mlflows_own_server(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector, mlflow_server(tmp_path / "mlflow") as server:
        clients = [_client(number, tmp_path, collector.url, collector.token, server.url) for number in range(CLIENTS)]
        codes = [client.wait(LIMIT_S) for client in clients]
    for number, code in enumerate(codes):
        told = _told(tmp_path, number).read_text()[-6000:]
        print(told)
        assert code == 0, told
        assert "were equal" in told


def _told(folder: Path, number: int) -> Path:
    return folder / f"client-{number}.txt"


def _client(number: int, folder: Path, *servers: str) -> subprocess.Popen[bytes]:
    examples = EXAMPLES // CLIENTS + (number < EXAMPLES % CLIENTS)
    command = [str(TRAINING_PYTHON), *_MODULE, *servers, str(examples), str(SEED + number)]
    with _told(folder, number).open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT)
