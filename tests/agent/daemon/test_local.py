"""Which runs of the queue a node has: by its own folders, whatever their users have written into them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from runyard import names
from runyard.agent.daemon.local import LocalRuns
from runyard.agent.daemon.reconcile import STATUSES
from runyard.agent.daemon.start import make_spool
from runyard.agent.telemetry.runs import Runs
from runyard.atomic import write_json
from runyard.collector.messages import NodeStatus
from runyard.configuration import load
from runyard.errors import InputError

PLACED: dict[str, Any] = {"run_id": "mine", "placement": {"gpus": [1]}}


@pytest.fixture
def spool() -> Iterator[Path]:
    """A spool that other users may pass, as the agent's is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def _run_dir(spool: Path, name: str, run: dict[str, Any]) -> Path:
    folder = spool / name
    for path in (folder, folder / names.PRIVATE_DIR, folder / "logs", folder / names.SYSTEM_LOGS_DIR):
        path.mkdir()
    write_json(str(folder / names.RUN_FILE), run)
    return folder


def _local(spool: Path) -> LocalRuns:
    return LocalRuns(spool, lambda run_dir: False, lambda run_dir: True)


def _to_nobody(folder: Path) -> None:
    subprocess.run(["chown", "-hR", "65534:65534", str(folder)], check=True)


def test_a_run_is_what_its_folder_is_called_not_what_its_user_makes_of_run_json(spool: Path) -> None:
    _run_dir(spool, "mine~2", PLACED | {"run_id": "another", "attempt": 7, "grace_s": "long", "placement": {"gpus": 5}})
    _run_dir(spool, ".removed.old", PLACED)
    (found,) = _local(spool).look()
    assert (found.key, found.gpus) == (("mine", 2), ())


@pytest.mark.parametrize("state", ['{"status": "Hacked", "ended_ns": 0}', '{"status": ["Running"]}', "[" * 100_000, "7"])
def test_a_state_that_its_user_has_written_keeps_no_node_from_telling_of_its_other_runs(spool: Path, state: str) -> None:
    folder = _run_dir(spool, "mine", PLACED)
    (folder / names.STATE_FILE).write_text(state)
    (found,) = _local(spool).look()
    assert found.status == "Starting"
    assert set(STATUSES) < set(get_args(NodeStatus))


def test_a_pipe_in_place_of_a_runs_files_holds_up_neither_the_agent_nor_its_samples(spool: Path) -> None:
    piped, whole = _run_dir(spool, "mine", PLACED), _run_dir(spool, "other", PLACED | {"node_id": "n", "created_ns": 1})
    runs = _local(spool)
    assert len(runs.look()) == 2
    for name in (names.STATE_FILE, names.STOP_FILE):
        os.mkfifo(piped / name)
    os.mkfifo(whole / names.STATE_FILE)
    assert {run.status for run in runs.look()} == {"Starting"}
    Runs(spool).sample({}, (), (), -1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root acts for others")
def test_a_sample_is_written_with_the_rights_of_the_runs_user(spool: Path) -> None:
    run = {"run_id": "theirs", "node_id": "x/../../../../kept/n", "created_ns": 1, "mark": "m", "ranks": []}
    folder = _run_dir(spool, "theirs", run)
    (folder / names.SYSTEM_LOGS_DIR / "telemetry-x").mkdir()
    (spool / "kept").mkdir(mode=0o755)
    _to_nobody(folder)
    Runs(spool).sample({}, (), (), -1)
    assert not list((spool / "kept").iterdir())
    (path,) = folder.glob(f"{names.SYSTEM_LOGS_DIR}/telemetry-*.jsonl")
    assert path.stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root acts for others")
def test_a_run_whose_user_has_removed_its_description_is_not_made_once_more(spool: Path) -> None:
    folder = _run_dir(spool, "theirs", PLACED)
    (folder / names.RUN_FILE).unlink()
    (folder / names.SPOOL_LOCK).symlink_to(spool / "led")
    _to_nobody(folder)
    order = {"spec": {"command": ["true"]}, "snapshot": None, "user": ""}
    placed = {"run_id": "theirs", "attempt": 0, "node_count": 1, "node_rank": 0, "order": order, "request": {}}
    settings = load(environ={"HOME": str(spool), "RUNYARD_SPOOL__DIR": str(spool)})
    with pytest.raises(InputError, match="has a run of that name already"):
        make_spool(placed, None, settings, cluster="lab", token="t")
    assert folder.exists()
    assert not (spool / "led").exists()
